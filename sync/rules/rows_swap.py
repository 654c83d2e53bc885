"""The rows of a planned swap: what the two appliances say to each other, and what ends it."""

from __future__ import annotations

from appliances.choices import ChangeStatus, ChangeStep, Severity, State
from sync.rules import actions as do
from sync.rules import events as e
from sync.rules.edge import SWAPPING_BACKUP, Edge

SWAP: tuple[Edge, ...] = (
    Edge(
        "8",
        frozenset({State.P_ACTIVE}),
        e.HandoverAsked,
        State.P_DRAINING,
        "A swap of roles began; changes are refused until it ends.",
        do.drain,
        (
            (lambda s, _: s.op is None, "Another operation is running."),
            do.IS_PEER_BACKUP,
            (lambda _, ev: ev.schema_equal, "Product version, build or schema of the two appliances differ."),
            (
                lambda _, ev: ev.want_final_sync or ev.header.initialised,
                "The backup has never completed a data-sync. Tick the box to pull a data-sync first.",
            ),
        ),
        step=ChangeStep.DRAINING,
    ),
    Edge(
        "9",
        frozenset({State.P_DRAINING}),
        e.OperationLost,
        State.P_UNCONFIRMED,
        "The swap was given up before the role was yielded; this appliance stays primary.",
        do.drop_operation(State.P_UNCONFIRMED),
        (do.SAME_OPERATION,),
        Severity.WARNING,
        ends=ChangeStatus.CANCELLED,
    ),
    Edge(
        "10",
        frozenset({State.P_DRAINING}),
        e.ReadyReceived,
        State.B_YIELDED,
        "The backup is ready; this appliance gave the primary role up.",
        do.give_up_role,
        (
            do.SAME_OPERATION,
            (lambda s, ev: s.op is not None and s.op.new_term == ev.new_term, "The terms of the operation differ."),
            (lambda s, _: s.own_term == s.term, "A higher term than this appliance's exists."),
            (
                lambda s, ev: s.op is not None and (not s.op.want_final_sync or ev.head == s.head),
                "The backup does not hold the newest settings.",
            ),
        ),
        step=ChangeStep.YIELDED,
    ),
    Edge(
        "10 again",
        frozenset({State.B_YIELDED}),
        e.ReadyReceived,
        None,
        "",
        do.grant_again,
        (do.SAME_OPERATION,),
    ),
    Edge(
        "12",
        frozenset({State.B_YIELDED}),
        e.GrantUnanswered,
        None,
        "The peer has not taken the primary role for 60 s: both appliances are backup."
        " Become Primary is available on either.",
        do.stay,
        (),
        Severity.ERROR,
        told_once=True,
    ),
    Edge(
        "13",
        frozenset({State.B_IDLE}),
        e.Offered,
        State.B_SYNCING,
        "The primary offered its role.",
        do.accept_offer,
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
        do.ready,
        (do.SAME_OPERATION,),
        step=ChangeStep.READY,
    ),
    Edge(
        "15",
        SWAPPING_BACKUP,
        e.OperationLost,
        State.B_IDLE,
        "The swap was given up; this appliance stays backup.",
        do.drop_operation(State.B_IDLE),
        (
            do.SAME_OPERATION,
            (
                lambda s, ev: s.state == State.B_SYNCING or ev.is_peer_out,
                "This appliance has promised to take the role, and the primary may have given it up already.",
            ),
        ),
        Severity.WARNING,
        ends=ChangeStatus.CANCELLED,
    ),
    Edge(
        "14",
        frozenset({State.B_READY}),
        e.Granted,
        State.P_ACTIVE,
        "The old primary granted the role; this appliance is primary and serves.",
        do.promote_granted,
        (
            do.SAME_OPERATION,
            (lambda s, ev: s.op is not None and s.op.new_term == ev.new_term, "The terms of the operation differ."),
            (lambda s, ev: ev.new_term > s.term, "A higher term exists already."),
        ),
        step=ChangeStep.PROMOTED,
        ends=ChangeStatus.COMPLETED,
    ),
    Edge(
        "14 late",
        frozenset({State.B_IDLE}),
        e.Granted,
        State.P_ACTIVE,
        "The old primary granted the role of a swap that had been given up here; this appliance is primary and serves.",
        do.promote_granted,
        (
            (lambda s, ev: s.last_op_id == ev.op_id, "That is not the last operation of this appliance."),
            (lambda _, ev: ev.header.state == State.B_YIELDED, "The peer has not yielded the role."),
            (lambda s, ev: ev.new_term > s.term, "A higher term exists already."),
            (lambda s, ev: ev.new_term % 2 == s.parity, "That term belongs to the other appliance."),
        ),
        Severity.WARNING,
        step=ChangeStep.PROMOTED,
        ends=ChangeStatus.COMPLETED,
    ),
    Edge(
        "14 again",
        frozenset({State.P_ACTIVE, State.P_UNCONFIRMED}),
        e.Granted,
        None,
        "",
        do.stay,
        ((lambda s, ev: s.own_term == ev.new_term, "This appliance is primary of another term."),),
    ),
)
