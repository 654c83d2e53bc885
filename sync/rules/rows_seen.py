"""The rows that a look at the peer may take, the most important first."""

from __future__ import annotations

from appliances.choices import ChangeStatus, ChangeStep, Severity, State
from sync.rules import actions as do
from sync.rules import events as e
from sync.rules.edge import ALL_STATES, SWAPPING_BACKUP, Edge
from sync.rules.facts import PRIMARY_STATES

SEEN: tuple[Edge, ...] = (
    Edge(
        "5",
        frozenset({State.P_UNCONFIRMED}),
        e.PeerSeen,
        None,
        "The shared IP address is in use by {event.address_holder}, which is not the peer: this appliance does not "
        "serve, and looks again each second.",
        do.stay,
        (do.IS_CURRENT, do.IS_ADDRESS_HELD, *do.IS_CONFIRMED),
        Severity.ERROR,
        told_once=True,
    ),
    Edge(
        "3",
        frozenset({State.P_UNCONFIRMED}),
        e.PeerSeen,
        State.P_ACTIVE,
        "The peer confirmed that no other appliance is primary; this appliance serves.",
        do.to(State.P_ACTIVE),
        (
            do.IS_CURRENT,
            *do.IS_CONFIRMED,
            do.CAN_SERVE,
        ),
    ),
    Edge(
        "11",
        frozenset({State.B_YIELDED}),
        e.PeerSeen,
        State.B_IDLE,
        "The peer is primary; this appliance is its backup.",
        do.drop_operation(State.B_IDLE),
        ((lambda s, ev: s.op is not None and ev.header.own_term >= s.op.new_term, "The peer has not taken over yet."),),
        step=ChangeStep.PROMOTED,
        ends=ChangeStatus.COMPLETED,
    ),
    Edge(
        "11 void",
        frozenset({State.B_YIELDED}),
        e.PeerSeen,
        State.B_IDLE,
        "The peer knows a newer term and can take the role of this swap no more: both appliances are backup.",
        do.drop_operation(State.B_IDLE),
        (
            do.IS_CURRENT,
            do.IS_PEER_BACKUP,
            (lambda _, ev: ev.header.op is None, "The peer still holds an operation."),
            (lambda s, ev: s.op is not None and ev.header.term >= s.op.new_term, "The peer can take the role."),
        ),
        Severity.ERROR,
        ends=ChangeStatus.CANCELLED,
    ),
    Edge(
        "15",
        SWAPPING_BACKUP,
        e.PeerSeen,
        State.B_IDLE,
        "The primary gave the swap up; this appliance stays backup.",
        do.drop_operation(State.B_IDLE),
        (
            do.IS_CURRENT,
            do.IS_PEER_PRIMARY,
            (lambda _, ev: ev.header.op is None, "The primary still holds the operation."),
        ),
        Severity.WARNING,
        ends=ChangeStatus.CANCELLED,
    ),
    Edge(
        "23",
        frozenset({State.B_IDLE}),
        e.PeerSeen,
        None,
        "Conflict: both appliances are backup.",
        do.stay,
        (
            do.IS_CURRENT,
            do.NO_OPERATION,
            do.IS_PEER_BACKUP,
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
        do.promote_alone,
        (
            do.IS_CURRENT,
            do.NO_OPERATION,
            do.IS_PEER_BACKUP,
            (lambda _, ev: ev.same_role_polls >= 2, "Seen only once."),
            (lambda s, ev: ev.header.head <= s.head, "The peer has newer settings."),
        ),
        Severity.WARNING,
    ),
    Edge(
        "30",
        frozenset({State.P_SUPERSEDED}),
        e.PeerSeen,
        State.B_IDLE,
        "The peer is primary and this appliance holds nothing that the peer lacks: it became backup by itself.",
        do.step_down,
        (
            do.IS_CURRENT,
            do.IS_PEER_PRIMARY,
            (lambda _, ev: ev.auto_resolve, "Resolving by itself is switched off."),
            (lambda s, ev: s.head == ev.header.base_head, "This appliance has settings that the peer lacks."),
        ),
        Severity.WARNING,
        ends=ChangeStatus.CANCELLED,
    ),
    Edge(
        "24",
        PRIMARY_STATES - {State.P_SUPERSEDED},
        e.PeerSeen,
        None,
        "Conflict: both appliances are primary.",
        do.stay,
        (do.IS_CURRENT, do.DOES_PEER_CLAIM, (lambda _, ev: ev.same_role_polls == 1, "Reported already.")),
        Severity.ERROR,
    ),
    Edge("-", ALL_STATES, e.PeerSeen, None, "", do.stay),
)
