"""One row of the transition table, and the sets of states that rows are for."""

from __future__ import annotations

from dataclasses import dataclass

from appliances.choices import ChangeStatus, ChangeStep, Severity, State
from sync.rules import actions as do
from sync.rules import events as e

ALL_STATES = frozenset(State)
PAIRED_STATES = ALL_STATES - {State.NONE}
SWAPPING_BACKUP = frozenset({State.B_SYNCING, State.B_READY})


@dataclass(frozen=True)
class Edge:
    """One row of the table.

    `conditions` are pairs of a test and the sentence that says why it does not hold. `sentence` is what the operator
    reads in Status History, with `{event.field}` for a value of the event; a row without one is not worth a line
    there, and one that is `told_once` is written down once while the state lasts, however often the row is taken.
    `goes_to` names where the row leads (None: it stays), for the diagram and the tests. `step` and `ends` say what
    becomes of the readable record of a role change that runs while the row is taken.
    """

    row: str
    states: frozenset[State]
    event: type[e.Event]
    goes_to: State | None
    sentence: str
    action: do.Action
    conditions: tuple[do.Condition, ...] = ()
    severity: Severity = Severity.INFO
    step: ChangeStep | None = None
    ends: ChangeStatus | None = None
    told_once: bool = False

    def tells(self, event: e.Event) -> str:
        """The sentence that the operator reads when this row answers `event`; empty where there is none."""
        return self.sentence.format(event=event)

    def end_of_change(self, before: State, after: State) -> ChangeStatus | None:
        """How a running role change has ended once this row has led from one state to the other; None if it goes on."""
        return self.ends if before != after else None
