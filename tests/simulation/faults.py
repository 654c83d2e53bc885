"""Planted bugs: each is the real table with one row changed, or one rule replaced, and a search that must find it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from appliances.choices import Role, State
from sync.rules import actions as do
from sync.rules import events as e
from sync.rules.edge import Edge
from sync.rules.effects import SendGrant
from sync.rules.facts import Head, RoleState
from sync.rules.snapshot import Refusal, may_apply
from sync.rules.table import TABLE
from tests.simulation.configurations import TWO_BACKUPS
from tests.simulation.node import Rules
from tests.simulation.search import Configuration, Report, Search

Table = tuple[Edge, ...]


@dataclass(frozen=True)
class Fault:
    """A planted bug. `found_as` is the invariant that shows it; empty where another rule makes it harmless."""

    name: str
    rules: Rules
    search: Configuration
    found_as: str

    @property
    def is_harmless(self) -> bool:
        """Whether the search finds nothing, because the rule is a second line of defence."""
        return not self.found_as


def without(row: str, event: type[e.Event], *sentences: str, table: Table = TABLE) -> Table:
    """The table without the conditions of these sentences in the row for this event."""

    def change(edge: Edge) -> Edge:
        kept = tuple(one for one in edge.conditions if one[1] not in sentences)
        assert len(kept) == len(edge.conditions) - len(sentences), f"row {row} has other conditions"
        return replace(edge, conditions=kept)

    return _changed(row, event, change, table)


def acting(row: str, event: type[e.Event], action: do.Action, *, table: Table = TABLE) -> Table:
    """The table with another action in the row for this event."""
    return _changed(row, event, lambda edge: replace(edge, action=action), table)


def _changed(row: str, event: type[e.Event], change: Callable[[Edge], Edge], table: Table) -> Table:
    assert sum(edge.row == row and edge.event is event for edge in table) == 1, f"row {row} is not there once"
    return tuple(change(edge) if edge.row == row and edge.event is event else edge for edge in table)


def _next_term(state: RoleState, _: e.Event) -> do.Change:
    return do.promoted(state, state.term + 1), ()


def _grant_and_stay(state: RoleState, event: e.ReadyReceived) -> do.Change:
    return state, (SendGrant(event.op_id, event.new_term, event.challenge),)


def _promote_when_ready(state: RoleState, _: e.Event) -> do.Change:
    return do.promoted(state, do.operation_of(state).new_term), ()


def _confirms_superseded() -> Table:
    def change(edge: Edge) -> Edge:
        return replace(edge, states=edge.states | {State.P_SUPERSEDED})

    return _changed("3", e.PeerSeen, change, without("3", e.PeerSeen, "The peer knows a higher term."))


def _is_backup(state: RoleState, head: Head, own_term: int, op_id: tuple[int, int] | None) -> Refusal | None:
    return None if state.role is Role.BACKUP else Refusal.NOT_BACKUP


def _compares_terms_only(state: RoleState, head: Head, own_term: int, op_id: tuple[int, int] | None) -> Refusal | None:
    return may_apply(state, max(head, state.head), own_term, op_id)


def _compares_heads_only(state: RoleState, head: Head, own_term: int, op_id: tuple[int, int] | None) -> Refusal | None:
    return may_apply(state, head, max(own_term, state.own_term), op_id)


def _writes_while_draining(state: RoleState) -> bool:
    return state.is_writable or state.state == State.P_DRAINING


def _search(heals: bool = False, **budgets: int) -> Configuration:
    return Configuration("fault", budgets, heals=heals)


_HEADS = "The backup does not hold the newest settings."


def _grants_any_term() -> Table:
    table = without("14", e.Granted, "A higher term exists already.")
    return without("14 late", e.Granted, "A higher term exists already.", table=table)


def _unread_terms(state: RoleState, term: int) -> RoleState:
    return state


FAULTS: tuple[Fault, ...] = (
    Fault(
        "no parity of terms",
        Rules(table=acting("18", e.BecomePrimary, _next_term)),
        _search(promote=2, force=1),
        "I1:",
    ),
    Fault(
        "a grant is not compared with the term",
        Rules(table=_grants_any_term()),
        _search(swap=1, promote=1, status=1),
        "I2:",
    ),
    Fault(
        "the settings are not locked before the final data-sync, and heads are not compared",
        Rules(table=without("10", e.ReadyReceived, _HEADS), is_writable=_writes_while_draining),
        _search(swap=1, write=1),
        "I5:",
    ),
    Fault("the settings are not locked", Rules(is_writable=_writes_while_draining), _search(swap=1, write=2), ""),
    Fault("heads are not compared", Rules(table=without("10", e.ReadyReceived, _HEADS)), _search(swap=1, write=2), ""),
    Fault(
        "the backup promotes itself when it is ready",
        Rules(table=acting("13", e.Prepared, _promote_when_ready)),
        _search(swap=1),
        "I8:",
    ),
    Fault(
        "the grant goes out before the yield is durable",
        Rules(table=acting("10", e.ReadyReceived, _grant_and_stay)),
        _search(swap=1),
        "I8:",
    ),
    Fault(
        "the shared IP is not dropped before the grant",
        Rules(drops_address=False),
        Configuration("fault", {"swap": 1}, heals=False, has_address=True),
        "I7:",
    ),
    Fault(
        "evidence is not bound to the question",
        Rules(binds_evidence=False),
        Configuration("fault", {"fix": 1}, heals=False, begins=TWO_BACKUPS),
        "the terms grow without end",
    ),
    Fault(
        "a grant that can no longer be taken is repeated for ever",
        Rules(table=tuple(edge for edge in TABLE if edge.row != "11 void")),
        _search(heals=True, swap=1, press=1),
        "I9:",
    ),
    Fault("higher terms are not learned", Rules(learn=_unread_terms), _search(heals=True, promote=1), "I12:"),
    Fault(
        "a superseded primary confirms itself",
        Rules(table=_confirms_superseded()),
        _search(promote=1, force=1, status=2),
        "I6:",
    ),
    Fault("any snapshot is accepted", Rules(may_apply=_is_backup), _search(promote=1, force=1, sync=1), "I3:"),
    Fault(
        "an old snapshot of the same term is accepted",
        Rules(may_apply=_compares_terms_only),
        _search(write=1, sync=2),
        "I3:",
    ),
    Fault(
        "the term of a snapshot is not compared",
        Rules(may_apply=_compares_heads_only),
        _search(promote=1, force=2, write=1, sync=1),
        "",
    ),
    Fault(
        "recordings are replaced, not merged",
        Rules(merges_recordings=False),
        _search(record=2, promote=1, force=1, sync=1, status=1),
        "I4:",
    ),
    Fault(
        "recordings of the backup do not go up",
        Rules(pushes_recordings=False),
        _search(heals=True, swap=1, record=1),
        "I4:",
    ),
)


def find(fault: Fault) -> Report:
    """What the search finds under the planted bug."""
    report = Search(fault.search, fault.rules).run()
    report.name = fault.name
    return report
