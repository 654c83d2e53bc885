"""The actions and conditions of the rows of the role protocol's table (`sync.rules.table`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from appliances.choices import OperationKind, State
from sync.rules import events as e
from sync.rules.effects import DisconnectClients, Effect, SendCancel, SendGrant
from sync.rules.facts import BACKUP_STATES, PRIMARY_STATES, Head, Operation, RoleState, ballot

Condition = tuple[Callable[[RoleState, Any], bool], str]
Change = tuple[RoleState, tuple[Effect, ...]]
Action = Callable[[RoleState, Any], Change]


def operation_of(state: RoleState) -> Operation:
    """The running operation.

    Raises:
        ValueError: none runs; the conditions of the row should have seen to that.
    """
    if state.op is None:
        raise ValueError("no operation is running")
    return state.op


def stay(state: RoleState, _: e.Event) -> Change:
    """Nothing changes."""
    return state, ()


def to(target: State) -> Action:
    """The state changes and nothing else."""
    return lambda state, _: (replace(state, state=target), ())


def establish(state: RoleState, event: e.Establish) -> Change:
    """A new relationship begins in term 0."""
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


def unconfirm(state: RoleState, _: e.Event) -> Change:
    """Stop serving until the role is confirmed again; an operation that had not come to the yield ends."""
    return replace(state, state=State.P_UNCONFIRMED, op=None), ()


def stand_back(state: RoleState, _: e.Boot) -> Change:
    """A primary that starts in a term that is over does not serve."""
    return replace(state, state=State.P_SUPERSEDED, op=None), ()


def supersede(state: RoleState, _: e.PeerSeen) -> Change:
    """A higher term exists: stop serving."""
    return replace(state, state=State.P_SUPERSEDED, op=None, superseded_by=state.term), (DisconnectClients(),)


def drain(state: RoleState, event: e.HandoverAsked) -> Change:
    """Take no more changes, and hold the operation that is offered."""
    number = state.op_counter + 1
    operation = Operation(
        kind=OperationKind.DRAIN,
        op_id=(state.own_term, number),
        new_term=ballot(1 - state.parity, state.term),
        want_final_sync=event.want_final_sync,
    )
    effects = (DisconnectClients(),) if event.want_final_sync else ()
    return replace(state, state=State.P_DRAINING, op=operation, op_counter=number), effects


def drop_operation(target: State) -> Action:
    """The operation ends without a change of role, or after it."""

    def action(state: RoleState, event: e.Event) -> Change:
        effects: tuple[Effect, ...] = ()
        if isinstance(event, e.OperationLost) and event.tell_peer:
            effects = (SendCancel(event.op_id, event.reason),)
        return replace(state, state=target, op=None), effects

    return action


def give_up_role(state: RoleState, event: e.ReadyReceived) -> Change:
    """Be backup durably; only then grant the role."""
    return (
        replace(state, state=State.B_YIELDED, op=replace(operation_of(state), kind=OperationKind.YIELDED)),
        (SendGrant(event.op_id, event.new_term, event.challenge), DisconnectClients()),
    )


def grant_again(state: RoleState, event: e.ReadyReceived) -> Change:
    """The grant was lost: send it again."""
    return state, (SendGrant(event.op_id, event.new_term, event.challenge),)


def accept_offer(state: RoleState, event: e.Offered) -> Change:
    """Hold the offered operation."""
    operation = Operation(OperationKind.OFFERED, event.op_id, event.new_term, event.want_final_sync)
    return replace(state, state=State.B_SYNCING, op=operation, last_op_id=event.op_id), ()


def ready(state: RoleState, _: e.Prepared) -> Change:
    """Promise to take the role."""
    return replace(state, state=State.B_READY, op=replace(operation_of(state), kind=OperationKind.READY)), ()


def promoted(state: RoleState, term: int) -> RoleState:
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


def promote_granted(state: RoleState, event: e.Granted) -> Change:
    """Begin the granted term."""
    return promoted(state, event.new_term), ()


def promote_alone(state: RoleState, event: e.Event) -> Change:
    """Begin the next term of this appliance."""
    return promoted(state, ballot(state.parity, state.term)), ()


def promote_told(state: RoleState, event: e.PromoteReceived) -> Change:
    """Begin the term that the peer asked for."""
    return promoted(state, event.new_term), ()


def promote_after_demotion(state: RoleState, event: e.BecomePrimary) -> Change:
    """Begin the term for which the peer became backup."""
    if event.demoted_for is None:
        raise ValueError("the peer has not acknowledged a demotion")
    return promoted(state, event.demoted_for), ()


def step_down(state: RoleState, _: e.Event) -> Change:
    """Be backup; the term stays."""
    return replace(state, state=State.B_IDLE, op=None, superseded_by=None), (DisconnectClients(),)


def demoted(state: RoleState, event: e.DemoteReceived) -> Change:
    """Be backup under the higher term of the peer."""
    effects = (DisconnectClients(),) if state.state in PRIMARY_STATES else ()
    return replace(state, state=State.B_IDLE, op=None, term=event.new_term, superseded_by=None), effects


def leave(state: RoleState, _: e.BreakRelationship) -> Change:
    """Forget the pair."""
    return RoleState(), ()


def same_operation(state: RoleState, event: Any) -> bool:
    """Whether the event belongs to the running operation."""
    return state.op is not None and state.op.op_id == event.op_id


def peer_is(*states: frozenset[State]) -> Callable[[RoleState, Any], bool]:
    """A test whether the peer is in one of these states."""
    return lambda _, event: any(event.header.state in group for group in states)


IS_ADDRESS_HELD: Condition = (lambda _, ev: ev.address_holder != "", "Nobody else holds the shared IP address.")
CAN_SERVE: Condition = (lambda _, ev: ev.can_serve, "The web server or the database of this appliance does not work.")
IS_CONFIRMED: tuple[Condition, ...] = (
    (lambda s, ev: ev.header.term <= s.own_term, "The peer knows a higher term."),
    (
        lambda s, ev: ev.header.state not in PRIMARY_STATES or ev.header.own_term < s.own_term,
        "The peer is primary with the same or a higher term.",
    ),
)
IS_CURRENT: Condition = (lambda _, ev: ev.is_current, "The answer is older than the present state.")
NO_OPERATION: Condition = (
    lambda s, ev: s.op is None and ev.header.op is None,
    "An operation is running on one of the appliances.",
)
SAME_OPERATION: Condition = (same_operation, "That operation is no longer running here.")
IS_PEER_PRIMARY: Condition = (peer_is(PRIMARY_STATES), "The peer is not primary.")
DOES_PEER_CLAIM: Condition = (peer_is(PRIMARY_STATES - {State.P_SUPERSEDED}), "The peer does not claim the role.")
IS_PEER_BACKUP: Condition = (peer_is(BACKUP_STATES), "The peer is not backup.")
