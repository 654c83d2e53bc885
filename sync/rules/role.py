"""The role protocol: one table, one function. Values in, values out.

`handle(state, event)` finds the first row of TABLE for this state and event whose conditions hold, and answers with the
new durable state and the effects to carry out after it is durable. A pair of state and event without a row raises
`UnknownEdge` and moves nothing; a row whose conditions do not hold gives a refusal with its sentence.

What a reader must know: a term belongs to one appliance for ever (parity); the old primary is durably backup before it
grants; whoever sees a higher term than its own stops serving. Numbers of rows: role protocol, section 2.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from appliances.choices import OperationKind, Severity, State
from sync.rules import events as e
from sync.rules.facts import (
    BACKUP_STATES,
    PRIMARY_STATES,
    Head,
    Operation,
    RoleState,
    ballot,
)

ALL_STATES = frozenset(State)
PAIRED_STATES = ALL_STATES - {State.NONE}
SWAPPING_BACKUP = frozenset({State.B_SYNCING, State.B_READY})


class UnknownEdge(Exception):
    """This cannot happen in this state; nothing was changed."""

    def __init__(self, state: State, event: e.Event) -> None:
        self.state, self.event = state, event
        super().__init__(f"{type(event).__name__} has no place while this appliance is {state.label!r}.")


# --- Effects: what is to be done once the new state is durable ---------------------------------------------------


@dataclass(frozen=True)
class Effect:
    """Something to carry out; every effect may be run twice."""


@dataclass(frozen=True)
class SendGrant(Effect):
    """Grant the role to the peer; repeated until answered. Without a challenge, one is fetched."""

    op_id: tuple[int, int]
    new_term: int
    challenge: str | None = None


@dataclass(frozen=True)
class SendCancel(Effect):
    """Tell the peer that the operation is given up; best effort."""

    op_id: tuple[int, int]
    reason: str


@dataclass(frozen=True)
class DisconnectClients(Effect):
    """End the sessions of clients and users."""


# --- The table ---------------------------------------------------------------------------------------------------

Condition = tuple[Callable[[RoleState, Any], bool], str]
Action = Callable[[RoleState, Any], tuple[RoleState, tuple[Effect, ...]]]


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
    action: Action
    conditions: tuple[Condition, ...] = ()
    severity: Severity = Severity.INFO


@dataclass(frozen=True)
class Result:
    """What `handle` answers: the new state, the effects in order, the rows taken, or the reason of a refusal."""

    state: RoleState
    effects: tuple[Effect, ...] = ()
    edges: tuple[Edge, ...] = ()
    refusal: str = ""


def _stay(state: RoleState, _: e.Event) -> tuple[RoleState, tuple[Effect, ...]]:
    return state, ()


def _to(target: State) -> Action:
    return lambda state, _: (replace(state, state=target), ())


def _establish(state: RoleState, event: e.Establish) -> tuple[RoleState, tuple[Effect, ...]]:
    founding = event.parity == 0
    head = Head(0 if founding else -1, 0)
    return RoleState(
        state=State.P_ACTIVE if founding else State.B_IDLE,
        parity=event.parity,
        term=0,
        own_term=0 if founding else -1,
        head=head,
        base_head=head,
        initialised=founding,
    ), ()


def _boot_primary(state: RoleState, _: e.Boot) -> tuple[RoleState, tuple[Effect, ...]]:
    return replace(state, state=State.P_SUPERSEDED if state.own_term < state.term else State.P_UNCONFIRMED, op=None), ()


def _supersede(state: RoleState, _: e.PeerSeen) -> tuple[RoleState, tuple[Effect, ...]]:
    return replace(state, state=State.P_SUPERSEDED, op=None, superseded_by=state.term), (DisconnectClients(),)


def _drain(state: RoleState, event: e.HandoverAsked) -> tuple[RoleState, tuple[Effect, ...]]:
    number = state.op_counter + 1
    operation = Operation(
        kind=OperationKind.DRAIN,
        op_id=(state.own_term, number),
        new_term=ballot(1 - state.parity, state.term),
        want_final_sync=event.want_final_sync,
    )
    effects = (DisconnectClients(),) if event.want_final_sync else ()
    return replace(state, state=State.P_DRAINING, op=operation, op_counter=number), effects


def _drop_operation(target: State) -> Action:
    def action(state: RoleState, event: e.Event) -> tuple[RoleState, tuple[Effect, ...]]:
        effects: tuple[Effect, ...] = ()
        if isinstance(event, e.OperationLost) and event.tell_peer:
            effects = (SendCancel(event.op_id, event.reason),)
        return replace(state, state=target, op=None), effects

    return action


def _yield(state: RoleState, event: e.ReadyReceived) -> tuple[RoleState, tuple[Effect, ...]]:
    assert state.op is not None
    return (
        replace(state, state=State.B_YIELDED, op=replace(state.op, kind=OperationKind.YIELDED)),
        (SendGrant(event.op_id, event.new_term, event.challenge), DisconnectClients()),
    )


def _grant_again(state: RoleState, event: e.ReadyReceived) -> tuple[RoleState, tuple[Effect, ...]]:
    return state, (SendGrant(event.op_id, event.new_term, event.challenge),)


def _accept_offer(state: RoleState, event: e.Offered) -> tuple[RoleState, tuple[Effect, ...]]:
    operation = Operation(OperationKind.OFFERED, event.op_id, event.new_term, event.want_final_sync)
    return replace(state, state=State.B_SYNCING, op=operation, last_op_id=event.op_id), ()


def _ready(state: RoleState, _: e.Prepared) -> tuple[RoleState, tuple[Effect, ...]]:
    assert state.op is not None
    return replace(state, state=State.B_READY, op=replace(state.op, kind=OperationKind.READY)), ()


def _promoted(state: RoleState, term: int) -> RoleState:
    """The state of a primary that has just begun `term`, which belongs to it."""
    return replace(
        state,
        state=State.P_ACTIVE,
        term=term,
        own_term=term,
        base_head=state.head,
        head=Head(term, 0),
        op=None,
        superseded_by=None,
    )


def _promote_granted(state: RoleState, event: e.Granted) -> tuple[RoleState, tuple[Effect, ...]]:
    return _promoted(state, event.new_term), ()


def _promote_alone(state: RoleState, event: e.Event) -> tuple[RoleState, tuple[Effect, ...]]:
    return _promoted(state, ballot(state.parity, state.term)), ()


def _promote_told(state: RoleState, event: e.PromoteReceived) -> tuple[RoleState, tuple[Effect, ...]]:
    return _promoted(state, event.new_term), ()


def _promote_after_demotion(state: RoleState, event: e.BecomePrimary) -> tuple[RoleState, tuple[Effect, ...]]:
    assert event.demoted_for is not None
    return _promoted(state, event.demoted_for), ()


def _step_down(state: RoleState, _: e.Event) -> tuple[RoleState, tuple[Effect, ...]]:
    return replace(state, state=State.B_IDLE, op=None, superseded_by=None), (DisconnectClients(),)


def _demoted(state: RoleState, event: e.DemoteReceived) -> tuple[RoleState, tuple[Effect, ...]]:
    effects = (DisconnectClients(),) if state.state in PRIMARY_STATES else ()
    return replace(state, state=State.B_IDLE, op=None, term=event.new_term, superseded_by=None), effects


def _break(state: RoleState, _: e.BreakRelationship) -> tuple[RoleState, tuple[Effect, ...]]:
    return RoleState(), ()


def _same_operation(state: RoleState, event: Any) -> bool:
    return state.op is not None and state.op.op_id == event.op_id


def _peer_is(*states: frozenset[State]) -> Callable[[RoleState, Any], bool]:
    return lambda _, event: any(event.header.state in group for group in states)


_IS_CURRENT: Condition = (lambda _, ev: ev.is_current, "The answer is older than the present state.")
_NO_OPERATION: Condition = (
    lambda s, ev: s.op is None and ev.header.op is None,
    "An operation is running on one of the appliances.",
)
_SAME_OPERATION: Condition = (_same_operation, "That operation is no longer running here.")
_IS_PEER_PRIMARY: Condition = (_peer_is(PRIMARY_STATES), "The peer is not primary.")
_IS_PEER_BACKUP: Condition = (_peer_is(BACKUP_STATES), "The peer is not backup.")

TABLE: tuple[Edge, ...] = (
    Edge(
        "1a",
        frozenset({State.NONE}),
        e.Establish,
        State.P_ACTIVE,
        "The failover relationship was established; this appliance is primary.",
        _establish,
        ((lambda _, ev: ev.parity == 0, "This appliance is the founding backup."),),
    ),
    Edge(
        "1b",
        frozenset({State.NONE}),
        e.Establish,
        State.B_IDLE,
        "The failover relationship was established; this appliance is backup.",
        _establish,
    ),
    Edge(
        "2",
        PRIMARY_STATES,
        e.Boot,
        State.P_UNCONFIRMED,
        "Started as primary; asking the peer before serving.",
        _boot_primary,
    ),
    Edge("2", ALL_STATES - PRIMARY_STATES, e.Boot, None, "", _stay),
    Edge(
        "3",
        frozenset({State.P_UNCONFIRMED}),
        e.PeerSeen,
        State.P_ACTIVE,
        "The peer confirmed that no other appliance is primary; this appliance serves.",
        _to(State.P_ACTIVE),
        (
            _IS_CURRENT,
            (lambda s, ev: ev.header.term <= s.own_term, "The peer knows a higher term."),
            (
                lambda s, ev: ev.header.state not in PRIMARY_STATES or ev.header.own_term < s.own_term,
                "The peer is primary with the same or a higher term.",
            ),
            (lambda _, ev: ev.is_healthy, "This appliance is not healthy."),
        ),
    ),
    Edge(
        "4",
        frozenset({State.P_UNCONFIRMED}),
        e.BootTimedOut,
        State.P_ACTIVE,
        "The peer did not answer during the boot time; this appliance serves, its term is the highest it knows.",
        _to(State.P_ACTIVE),
        ((lambda s, _: s.own_term == s.term, "Another appliance owns a higher term."),),
        Severity.WARNING,
    ),
    Edge(
        "11",
        frozenset({State.B_YIELDED}),
        e.PeerSeen,
        State.B_IDLE,
        "The peer is primary; this appliance is its backup.",
        _drop_operation(State.B_IDLE),
        ((lambda s, ev: s.op is not None and ev.header.own_term >= s.op.new_term, "The peer has not taken over yet."),),
    ),
    Edge(
        "15",
        SWAPPING_BACKUP,
        e.PeerSeen,
        State.B_IDLE,
        "The primary gave the swap up; this appliance stays backup.",
        _drop_operation(State.B_IDLE),
        (
            _IS_CURRENT,
            _IS_PEER_PRIMARY,
            (lambda _, ev: ev.header.op is None, "The primary still holds the operation."),
        ),
        Severity.WARNING,
    ),
    Edge(
        "23",
        frozenset({State.B_IDLE}),
        e.PeerSeen,
        None,
        "Conflict: both appliances are backup.",
        _stay,
        (
            _IS_CURRENT,
            _NO_OPERATION,
            _IS_PEER_BACKUP,
            (lambda _, ev: ev.same_role_polls == 2, "Seen once, or reported already."),
        ),
        Severity.ERROR,
    ),
    Edge(
        "25",
        frozenset({State.P_SUPERSEDED}),
        e.PeerSeen,
        State.P_ACTIVE,
        "The peer gave its role up and has no newer settings; this appliance serves again, with a new term.",
        _promote_alone,
        (
            _IS_CURRENT,
            _NO_OPERATION,
            _IS_PEER_BACKUP,
            (lambda _, ev: ev.same_role_polls >= 2, "Seen only once."),
            (lambda s, ev: ev.header.head <= s.head, "The peer has newer settings."),
        ),
        Severity.WARNING,
    ),
    Edge(
        "24",
        PRIMARY_STATES,
        e.PeerSeen,
        None,
        "Conflict: both appliances are primary.",
        _stay,
        (_IS_CURRENT, _IS_PEER_PRIMARY, (lambda _, ev: ev.same_role_polls == 1, "Reported already.")),
        Severity.ERROR,
    ),
    Edge("-", ALL_STATES, e.PeerSeen, None, "", _stay),
    Edge(
        "8",
        frozenset({State.P_ACTIVE}),
        e.HandoverAsked,
        State.P_DRAINING,
        "A swap of roles began; changes are refused until it ends.",
        _drain,
        (
            (lambda s, _: s.op is None, "Another operation is running."),
            _IS_PEER_BACKUP,
            (lambda _, ev: ev.schema_equal, "Product version, build or schema of the two appliances differ."),
            (
                lambda _, ev: ev.want_final_sync or ev.header.initialised,
                "The backup has never completed a data-sync. Tick the box to pull a data-sync first.",
            ),
        ),
    ),
    Edge(
        "9",
        frozenset({State.P_DRAINING}),
        e.OperationLost,
        State.P_UNCONFIRMED,
        "The swap was given up before the role was yielded; this appliance stays primary.",
        _drop_operation(State.P_UNCONFIRMED),
        (_SAME_OPERATION,),
        Severity.WARNING,
    ),
    Edge(
        "10",
        frozenset({State.P_DRAINING}),
        e.ReadyReceived,
        State.B_YIELDED,
        "The backup is ready; this appliance gave the primary role up.",
        _yield,
        (
            _SAME_OPERATION,
            (lambda s, ev: s.op is not None and s.op.new_term == ev.new_term, "The terms of the operation differ."),
            (lambda s, _: s.own_term == s.term, "A higher term than this appliance's exists."),
            (
                lambda s, ev: s.op is not None and (not s.op.want_final_sync or ev.head == s.head),
                "The backup does not hold the newest settings.",
            ),
        ),
    ),
    Edge(
        "10 again",
        frozenset({State.B_YIELDED}),
        e.ReadyReceived,
        None,
        "",
        _grant_again,
        (_SAME_OPERATION,),
    ),
    Edge(
        "12",
        frozenset({State.B_YIELDED}),
        e.GrantUnanswered,
        None,
        "The peer has not taken the primary role for 60 s: both appliances are backup. Become Primary is available on either.",
        _stay,
        (),
        Severity.ERROR,
    ),
    Edge(
        "13",
        frozenset({State.B_IDLE}),
        e.Offered,
        State.B_SYNCING,
        "The primary offered its role.",
        _accept_offer,
        (
            (lambda s, ev: ev.op_id > s.last_op_id, "That operation is not newer than the last one."),
            (lambda s, ev: ev.header.own_term >= s.term, "The offer is of an older term."),
            (lambda s, ev: ev.header.head >= s.head, "This appliance has newer settings than the primary."),
            (lambda s, ev: ev.new_term > s.term and ev.new_term % 2 == s.parity, "The offered term is not acceptable."),
        ),
    ),
    Edge(
        "13",
        frozenset({State.B_SYNCING}),
        e.Prepared,
        State.B_READY,
        "Ready to become primary.",
        _ready,
        (_SAME_OPERATION,),
    ),
    Edge(
        "15",
        SWAPPING_BACKUP,
        e.OperationLost,
        State.B_IDLE,
        "The swap was given up; this appliance stays backup.",
        _drop_operation(State.B_IDLE),
        (_SAME_OPERATION,),
        Severity.WARNING,
    ),
    Edge(
        "14",
        frozenset({State.B_READY}),
        e.Granted,
        State.P_ACTIVE,
        "The old primary granted the role; this appliance is primary and serves.",
        _promote_granted,
        (
            _SAME_OPERATION,
            (lambda s, ev: s.op is not None and s.op.new_term == ev.new_term, "The terms of the operation differ."),
            (lambda s, ev: ev.new_term > s.term, "A higher term exists already."),
        ),
    ),
    Edge(
        "14 again",
        frozenset({State.P_ACTIVE, State.P_UNCONFIRMED}),
        e.Granted,
        None,
        "",
        _stay,
        ((lambda s, ev: s.own_term == ev.new_term, "This appliance is primary of another term."),),
    ),
    Edge(
        "26",
        PRIMARY_STATES,
        e.BecomeBackup,
        State.B_IDLE,
        "Both appliances were primary; this one became backup.",
        _step_down,
        ((lambda _, ev: ev.peer is not None and ev.peer.state in PRIMARY_STATES, "The peer is not primary."),),
        Severity.WARNING,
    ),
    Edge(
        "16",
        PRIMARY_STATES,
        e.BecomeBackup,
        State.B_IDLE,
        "This appliance became backup although the peer could not be contacted.",
        _step_down,
        (
            (lambda _, ev: ev.peer is None, "The peer answers: a swap of roles is possible."),
            (
                lambda _, ev: ev.without_peer,
                "The failover was cancelled: the peer cannot be contacted, so the roles cannot be kept in step.",
            ),
        ),
        Severity.WARNING,
    ),
    Edge(
        "27",
        BACKUP_STATES,
        e.BecomePrimary,
        State.P_ACTIVE,
        "Both appliances were backup; this one became primary.",
        _promote_after_demotion,
        (
            (lambda _, ev: ev.peer is not None and ev.peer.state in BACKUP_STATES, "The peer is not backup."),
            (
                lambda s, ev: (s.op is None or s.op.kind == OperationKind.YIELDED) and ev.peer.op is None,
                "An operation is running on one of the appliances.",
            ),
            (
                lambda s, ev: ev.demoted_for is not None and ev.demoted_for > s.own_term and ev.demoted_for >= s.term,
                "The peer has not acknowledged that it is backup.",
            ),
        ),
        Severity.WARNING,
    ),
    Edge(
        "18",
        BACKUP_STATES,
        e.BecomePrimary,
        State.P_ACTIVE,
        "This appliance became primary without the peer; what the peer took in since the last data-sync is not here.",
        _promote_alone,
        ((lambda _, ev: ev.peer is None, "The peer answers: a swap of roles is possible."),),
        Severity.WARNING,
    ),
    Edge(
        "28",
        PAIRED_STATES,
        e.DemoteReceived,
        State.B_IDLE,
        "The peer takes the primary role in a higher term; this appliance is backup.",
        _demoted,
        ((lambda s, ev: ev.new_term > s.term, "A term as high is known here already."),),
        Severity.WARNING,
    ),
    Edge(
        "29",
        BACKUP_STATES,
        e.PromoteReceived,
        State.P_ACTIVE,
        "The peer became backup and handed the primary role to this appliance.",
        _promote_told,
        (
            (lambda s, ev: ev.new_term > s.term, "A term as high is known here already."),
            (lambda s, ev: ev.new_term % 2 == s.parity, "That term belongs to the other appliance."),
        ),
        Severity.WARNING,
    ),
    Edge(
        "22",
        PAIRED_STATES,
        e.BreakRelationship,
        State.NONE,
        "The failover relationship was broken; this appliance keeps its data and stands alone.",
        _break,
        (),
        Severity.WARNING,
    ),
)

_SUPERSEDED = Edge(
    "6",
    PRIMARY_STATES - {State.P_SUPERSEDED},
    e.PeerSeen,
    State.P_SUPERSEDED,
    "The peer owns a higher term: this appliance stopped serving.",
    _supersede,
    (),
    Severity.ERROR,
)


def learn(state: RoleState, term: int) -> RoleState:
    """The state after seeing `term`: the highest term seen never falls."""
    return replace(state, term=term) if term > state.term else state


def handle(state: RoleState, event: e.Event) -> Result:
    """What the appliance becomes and does when `event` happens in `state`.

    Raises:
        UnknownEdge: the table has no row for this state and event.
    """
    edges: tuple[Edge, ...] = ()
    effects: tuple[Effect, ...] = ()
    before = state
    header = getattr(event, "header", None)
    if header is not None and state.state != State.NONE:
        state = learn(state, max(header.term, header.own_term))
        if state.state in _SUPERSEDED.states and state.own_term < state.term:
            state, effects = _SUPERSEDED.action(state, event)
            edges = (_SUPERSEDED,)
    candidates = [edge for edge in TABLE if state.state in edge.states and isinstance(event, edge.event)]
    if not candidates:
        unknown = UnknownEdge(state.state, event)
        if state == before:
            raise unknown
        return Result(state, effects, edges, str(unknown))
    refusal = ""
    for edge in candidates:
        failing = [sentence for holds, sentence in edge.conditions if not holds(state, event)]
        if not failing:
            after, more = edge.action(state, event)
            return Result(after, effects + more, (*edges, edge))
        refusal = failing[0]
    return Result(state, effects, edges, refusal)
