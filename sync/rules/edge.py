"""One row of the transition table, and the sets of states that rows are for."""

from __future__ import annotations

from dataclasses import dataclass

from appliances.choices import Severity, State
from sync.rules import actions as do
from sync.rules import events as e

ALL_STATES = frozenset(State)
PAIRED_STATES = ALL_STATES - {State.NONE}
SWAPPING_BACKUP = frozenset({State.B_SYNCING, State.B_READY})


@dataclass(frozen=True)
class Edge:
    """One row of the table.

    `conditions` are pairs of a test and the sentence that says why it does not hold. `sentence` is what the operator
    reads in Status History; a row without one is not worth a line there. `goes_to` names where the row leads (None:
    it stays), for the diagram and the tests.
    """

    row: str
    states: frozenset[State]
    event: type[e.Event]
    goes_to: State | None
    sentence: str
    action: do.Action
    conditions: tuple[do.Condition, ...] = ()
    severity: Severity = Severity.INFO
