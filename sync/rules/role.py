"""The role protocol: one table, one function. Values in, values out.

`handle(state, event)` finds the first row of TABLE for this state and event whose conditions hold, and answers with the
new durable state and the effects to carry out after it is durable. A pair of state and event without a row raises
`UnknownEdge` and moves nothing; a row whose conditions do not hold gives a refusal with its sentence.

What a reader must know: a term belongs to one appliance for ever (parity); the old primary is durably backup before it
grants; whoever sees a higher term than its own stops serving. Rows are named by their numbers in TABLE.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from appliances.choices import State
from sync.rules import events as e
from sync.rules.edge import Edge
from sync.rules.effects import Effect
from sync.rules.facts import RoleState
from sync.rules.table import SUPERSEDED, TABLE


class UnknownEdge(Exception):
    """An event that cannot happen in this state; nothing was changed."""

    def __init__(self, state: State, event: e.Event) -> None:
        self.state, self.event = state, event
        super().__init__(f"{type(event).__name__} has no place while this appliance is {state.label!r}.")


@dataclass(frozen=True)
class Result:
    """What `handle` answers: the new state, the effects in order, the rows taken, or the reason of a refusal."""

    state: RoleState
    effects: tuple[Effect, ...] = ()
    edges: tuple[Edge, ...] = ()
    refusal: str = ""


def learn(state: RoleState, term: int) -> RoleState:
    """The state after seeing `term`: the highest term seen never falls."""
    return replace(state, term=term) if term > state.term else state


def handle(
    state: RoleState,
    event: e.Event,
    *,
    table: tuple[Edge, ...] = TABLE,
    learn: Callable[[RoleState, int], RoleState] = learn,
) -> Result:
    """What the appliance becomes and does when `event` happens in `state`.

    The product gives neither `table` nor `learn`: tests plant faults with them, to show that a search finds them.

    Raises:
        UnknownEdge: the table has no row for this state and event.
    """
    edges: tuple[Edge, ...] = ()
    effects: tuple[Effect, ...] = ()
    before = state
    header = getattr(event, "header", None)
    if header is not None and state.state != State.NONE:
        state = learn(state, max(header.term, header.own_term))
        if state.state in SUPERSEDED.states and state.own_term < state.term:
            state, effects = SUPERSEDED.action(state, event)
            edges = (SUPERSEDED,)
    candidates = [edge for edge in table if state.state in edge.states and isinstance(event, edge.event)]
    if not candidates:
        unknown = UnknownEdge(state.state, event)
        if state == before:
            raise unknown
        return Result(state, effects, edges, str(unknown))
    refusal = ""
    for edge in candidates:
        failing = next((sentence for holds, sentence in edge.conditions if not holds(state, event)), None)
        if failing is None:
            after, more = edge.action(state, event)
            return Result(after, effects + more, (*edges, edge))
        refusal = failing
    return Result(state, effects, edges, refusal)
