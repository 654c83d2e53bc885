"""One appliance of the model: the real role state, its data as sets, and what its running processes hold in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from appliances.choices import State
from sync.rules import events as e
from sync.rules import role
from sync.rules.edge import Edge
from sync.rules.effects import Effect
from sync.rules.facts import Head, Operation, RoleState
from sync.rules.role import UnknownEdge, handle
from sync.rules.snapshot import Refusal, may_apply
from sync.rules.table import TABLE
from tests.simulation.letters import OpId, Question

ALONE_ROWS = frozenset({"16", "18", "20", "31"})
POLLS_COUNTED = 2
HIGHEST_TERM = 12  # above what the budgets of any search can bring

Stands = tuple[State, Operation | None, int]
MayApply = Callable[[RoleState, Head, int, OpId | None], Refusal | None]


@dataclass(frozen=True)
class Rules:
    """The real rules, or rules with one planted bug."""

    table: tuple[Edge, ...] = TABLE
    learn: Callable[[RoleState, int], RoleState] = role.learn
    may_apply: MayApply = may_apply
    is_writable: Callable[[RoleState], bool] = lambda state: state.is_writable
    merges_recordings: bool = True
    pushes_recordings: bool = True
    binds_evidence: bool = True
    drops_address: bool = True


class Violation(Exception):
    """An invariant of the role protocol does not hold."""


class Change(NamedTuple):
    """The record of a running role change."""

    number: int
    want_final_sync: bool


class Drive(NamedTuple):
    """A process that drives a swap. `phase`: asked, offered, synced or ready."""

    phase: str
    change: Change


class Press(NamedTuple):
    """An operator's press that waits for the peer: for its STATUS, or for its demotion.

    In the search a press that would begin a planned swap does nothing: those have a budget of their own.
    """

    target: str
    question: Question | None
    stands: Stands
    may_swap: bool = False
    demotes_for: int | None = None


class Node(NamedTuple):
    """One appliance. Sets of settings, recordings, ended changes and owned terms are bit masks.

    Durable: everything down to `is_alone`. The shared IP stays in the kernel (`holds`), the rest is lost in a restart.
    `owned` (terms that it has owned) and `is_alone` (it was promoted or demoted without its peer) are seen by the
    checker alone.
    """

    side: int
    role: RoleState
    settings: int = 0
    recordings: int = 0
    change: Change | None = None
    ended: int = 0
    polls: int = 0
    owned: int = 0
    is_alone: bool = False
    holds: bool = False
    ask: tuple[Question, Stands] | None = None
    press: Press | None = None
    drive: Drive | None = None
    withdraws: OpId | None = None
    pending: tuple[tuple[Effect, int], ...] = ()

    @property
    def op(self) -> Operation | None:
        """The running operation."""
        return self.role.op


def stands(state: RoleState) -> Stands:
    """What must not have changed between a question and its answer, as in `sync.act`."""
    return state.state, state.op, state.own_term


def forget(node: Node) -> Node:
    """The appliance after all its processes have ended."""
    return node._replace(ask=None, press=None, drive=None, withdraws=None, pending=())


def end_change(node: Node) -> Node:
    """The appliance after its running role change has ended, however it did."""
    if node.change is None:
        return node
    return node._replace(change=None, ended=node.ended | 1 << node.change.number)


class Delivered(NamedTuple):
    """What became of an event."""

    node: Node
    effects: tuple[Effect, ...]
    is_refused: bool
    is_unknown: bool = False


def deliver(rules: Rules, node: Node, event: e.Event, rows: set[str]) -> Delivered:
    """Let the rules answer, and keep the record of the role change as `sync.act.deliver` does.

    `rows` collects the rows that were taken. Raises Violation where a term is owned twice (I1b) or falls (I2).
    """
    before = node.role
    try:
        result = handle(before, event, table=rules.table, learn=rules.learn)
    except UnknownEdge:
        return Delivered(node, (), True, True)
    after = result.state
    node = node._replace(role=after)
    for edge in result.edges:
        rows.add(edge.row)
        if edge.end_of_change(before.state, after.state):
            node = end_change(node)
        if edge.row in ALONE_ROWS:
            node = node._replace(is_alone=True)
    if after.state == State.NONE:
        return Delivered(node, result.effects, bool(result.refusal))
    if after.term < before.term:
        raise Violation(f"I2: the term fell from {before.term} to {after.term}")
    if after.term > HIGHEST_TERM:
        raise Violation(f"the terms grow without end: {after.term}")
    if after.own_term != before.own_term:
        if node.owned >> after.own_term & 1 or after.own_term < before.own_term:
            raise Violation(f"I1b: term {after.own_term} was begun again")
        node = node._replace(owned=node.owned | 1 << after.own_term)
    if after.is_writable and after.own_term != after.term:
        raise Violation(f"I6: settings can be changed in term {after.own_term}, but term {after.term} is known")
    return Delivered(node, result.effects, bool(result.refusal))


def apply_snapshot(
    rules: Rules, node: Node, head: Head, own_term: int, settings: int, recordings: int, op_id: OpId | None
) -> Node | None:
    """The appliance after a data-sync, or None if the rules refuse it. Raises Violation if they should have (I3)."""
    if rules.may_apply(node.role, head, own_term, op_id) is not None:
        return None
    if head < node.role.head or own_term < node.role.own_term:
        raise Violation(f"I3: settings of {head} replaced those of {node.role.head}")
    if head == node.role.head and settings != node.settings:
        raise Violation(f"I3: {head} names different settings on the two appliances")
    return node._replace(
        role=replace(node.role, head=head, term=max(node.role.term, own_term), initialised=True),
        settings=settings,
        recordings=node.recordings | recordings if rules.merges_recordings else recordings,
    )
