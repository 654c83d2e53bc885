"""The transition table of the role protocol: data. `sync.rules.role.handle` reads it from top to bottom."""

from __future__ import annotations

from dataclasses import dataclass

from appliances.choices import OperationKind, Severity, State
from sync.rules import actions as do
from sync.rules import events as e
from sync.rules.facts import BACKUP_STATES, PRIMARY_STATES

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


TABLE: tuple[Edge, ...] = (
    Edge(
        "1a",
        frozenset({State.NONE}),
        e.Establish,
        State.P_ACTIVE,
        "The failover relationship was established; this appliance is primary.",
        do.establish,
        ((lambda _, ev: ev.parity == 0, "This appliance is the founding backup."),),
    ),
    Edge(
        "1b",
        frozenset({State.NONE}),
        e.Establish,
        State.B_IDLE,
        "The failover relationship was established; this appliance is backup.",
        do.establish,
    ),
    Edge(
        "2",
        PRIMARY_STATES,
        e.Boot,
        State.P_UNCONFIRMED,
        "Started as primary; asking the peer before serving.",
        do.boot_primary,
    ),
    Edge("2", ALL_STATES - PRIMARY_STATES, e.Boot, None, "", do.stay),
    Edge(
        "3",
        frozenset({State.P_UNCONFIRMED}),
        e.PeerSeen,
        State.P_ACTIVE,
        "The peer confirmed that no other appliance is primary; this appliance serves.",
        do.to(State.P_ACTIVE),
        (
            do.IS_CURRENT,
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
        do.to(State.P_ACTIVE),
        (
            (lambda s, _: s.own_term == s.term, "Another appliance owns a higher term."),
            (lambda _, ev: ev.hears_test_ip, "No connectivity test IP answers either: this appliance may be cut off."),
        ),
        Severity.WARNING,
    ),
    Edge(
        "2 lease",
        frozenset({State.P_ACTIVE, State.P_DRAINING}),
        e.LeaseRanOut,
        State.P_UNCONFIRMED,
        "This appliance stood still for too long; it asks the peer before it serves again.",
        do.unconfirm,
        (),
        Severity.WARNING,
    ),
    Edge(
        "7",
        frozenset({State.P_ACTIVE, State.P_DRAINING}),
        e.Isolated,
        State.P_UNCONFIRMED,
        "Neither the peer nor any connectivity test IP answers: this appliance is cut off and stopped serving.",
        do.unconfirm,
        (),
        Severity.ERROR,
    ),
    Edge(
        "7b",
        frozenset({State.P_ACTIVE, State.P_DRAINING}),
        e.Unwell,
        State.P_UNCONFIRMED,
        "This appliance is not well and stopped serving.",
        do.unconfirm,
        (),
        Severity.ERROR,
    ),
    Edge(
        "11",
        frozenset({State.B_YIELDED}),
        e.PeerSeen,
        State.B_IDLE,
        "The peer is primary; this appliance is its backup.",
        do.drop_operation(State.B_IDLE),
        ((lambda s, ev: s.op is not None and ev.header.own_term >= s.op.new_term, "The peer has not taken over yet."),),
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
    Edge(
        "26",
        PRIMARY_STATES,
        e.BecomeBackup,
        State.B_IDLE,
        "Both appliances were primary; this one became backup.",
        do.step_down,
        ((lambda _, ev: ev.peer is not None and ev.peer.state in PRIMARY_STATES, "The peer is not primary."),),
        Severity.WARNING,
    ),
    Edge(
        "16",
        PRIMARY_STATES,
        e.BecomeBackup,
        State.B_IDLE,
        "This appliance became backup although the peer could not be contacted.",
        do.step_down,
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
        do.promote_after_demotion,
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
        do.promote_alone,
        ((lambda _, ev: ev.peer is None, "The peer answers: a swap of roles is possible."),),
        Severity.WARNING,
    ),
    Edge(
        "19",
        frozenset({State.B_IDLE}),
        e.TakeoverDue,
        State.B_PROMOTING,
        "The primary has been silent for the whole timeout: this appliance is taking over.",
        do.to(State.B_PROMOTING),
        (),
        Severity.ERROR,
    ),
    Edge(
        "12b",
        frozenset({State.B_YIELDED}),
        e.TakeoverDue,
        State.B_PROMOTING,
        "The appliance that was to take the role has been silent for the whole timeout: this one is taking it back.",
        do.drop_operation(State.B_PROMOTING),
        (),
        Severity.ERROR,
    ),
    Edge(
        "20",
        frozenset({State.B_PROMOTING}),
        e.TakeoverConfirmed,
        State.P_ACTIVE,
        "This appliance took over and serves; what the peer took in since the last data-sync is not here.",
        do.promote_alone,
        (),
        Severity.ERROR,
    ),
    Edge(
        "21",
        frozenset({State.B_PROMOTING}),
        e.TakeoverAborted,
        State.B_IDLE,
        "The take-over was given up at the last moment.",
        do.to(State.B_IDLE),
        (),
        Severity.WARNING,
    ),
    Edge(
        "31",
        frozenset({State.P_SUPERSEDED, State.P_UNCONFIRMED}),
        e.ServeAgain,
        State.P_ACTIVE,
        "Serve again was pressed while the peer could not be contacted; this appliance serves with a new term.",
        do.promote_alone,
        ((lambda _, ev: ev.peer is None, "The peer answers: resolve the conflict with it."),),
        Severity.WARNING,
    ),
    Edge(
        "28",
        PAIRED_STATES,
        e.DemoteReceived,
        State.B_IDLE,
        "The peer takes the primary role in a higher term; this appliance is backup.",
        do.demoted,
        (
            (lambda s, ev: ev.new_term > s.term, "A term as high is known here already."),
            (lambda s, ev: ev.new_term % 2 != s.parity, "That term belongs to this appliance."),
        ),
        Severity.WARNING,
    ),
    Edge(
        "29",
        BACKUP_STATES,
        e.PromoteReceived,
        State.P_ACTIVE,
        "The peer became backup and handed the primary role to this appliance.",
        do.promote_told,
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
        do.leave,
        (),
        Severity.WARNING,
    ),
)

SUPERSEDED = Edge(
    "6",
    PRIMARY_STATES - {State.P_SUPERSEDED},
    e.PeerSeen,
    State.P_SUPERSEDED,
    "The peer owns a higher term: this appliance stopped serving.",
    do.supersede,
    (),
    Severity.ERROR,
)
