"""The table of the role protocol, row by row, then a pair of appliances made of rules only."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace

import pytest

from appliances.choices import OperationKind, Role, State
from sync.rules import events as e
from sync.rules.edge import ALL_STATES
from sync.rules.effects import DisconnectClients, SendCancel, SendGrant
from sync.rules.facts import BACKUP_STATES, PRIMARY_STATES, Head, Header, Operation, RoleState, ballot, header_of
from sync.rules.role import UnknownEdge, handle, learn
from sync.rules.table import SUPERSEDED, TABLE

PRIMARY = RoleState(state=State.P_ACTIVE, parity=0, term=0, own_term=0, head=Head(0, 5), initialised=True)
BACKUP = RoleState(state=State.B_IDLE, parity=1, term=0, own_term=-1, head=Head(0, 3), initialised=True)
OP = Operation(OperationKind.DRAIN, (0, 1), 1, want_final_sync=True)
DRAINING = replace(PRIMARY, state=State.P_DRAINING, op=OP, op_counter=1)
SYNCING = replace(
    BACKUP, state=State.B_SYNCING, op=replace(OP, kind=OperationKind.OFFERED), last_op_id=(0, 1), head=PRIMARY.head
)
READY = replace(SYNCING, state=State.B_READY, op=replace(OP, kind=OperationKind.READY))
YIELDED = replace(DRAINING, state=State.B_YIELDED, op=replace(OP, kind=OperationKind.YIELDED))
UNCONFIRMED = replace(PRIMARY, state=State.P_UNCONFIRMED)
SUPERSEDED_STATE = replace(PRIMARY, state=State.P_SUPERSEDED, term=1, superseded_by=1)
PROMOTING = replace(BACKUP, state=State.B_PROMOTING)
TAKEN_OVER = replace(BACKUP, state=State.P_ACTIVE, term=1, own_term=1, base_head=Head(0, 3), head=Head(1, 0))


@pytest.mark.parametrize(("mine", "theirs"), [(SUPERSEDED_STATE, TAKEN_OVER), (TAKEN_OVER, SUPERSEDED_STATE)])
def test_a_primary_that_has_given_way_is_no_conflict(mine: RoleState, theirs: RoleState) -> None:
    assert "24" not in [edge.row for edge in handle(mine, seen(theirs, same_role_polls=1)).edges]


def ready_message(state: RoleState = READY, **changes: object) -> e.ReadyReceived:
    values = {"header": header_of(state), "op_id": (0, 1), "new_term": 1, "head": state.head, "challenge": "c"}
    return e.ReadyReceived(**(values | changes))  # type: ignore[arg-type]


def offer(**changes: object) -> e.Offered:
    values = {"header": header_of(DRAINING), "op_id": (0, 1), "new_term": 1, "want_final_sync": True}
    return e.Offered(**(values | changes))  # type: ignore[arg-type]


def seen(peer: RoleState, **changes: object) -> e.PeerSeen:
    return e.PeerSeen(header_of(peer), **({"is_current": True} | changes))  # type: ignore[arg-type]


MAC = "02:00:5e:00:53:01"
TAKEN = [
    ("1a", RoleState(), e.Establish(0), State.P_ACTIVE),
    ("1b", RoleState(), e.Establish(1), State.B_IDLE),
    ("2", PRIMARY, e.Boot(), State.P_UNCONFIRMED),
    ("2", DRAINING, e.Boot(), State.P_UNCONFIRMED),
    ("2", replace(PRIMARY, term=1), e.Boot(), State.P_SUPERSEDED),
    ("2", READY, e.Boot(), State.B_READY),
    ("3", UNCONFIRMED, seen(BACKUP), State.P_ACTIVE),
    ("2 lease", PRIMARY, e.LeaseRanOut("stood still"), State.P_UNCONFIRMED),
    ("7", PRIMARY, e.Isolated(72.0), State.P_UNCONFIRMED),
    ("7b", DRAINING, e.Unwell("no database"), State.P_UNCONFIRMED),
    ("12b", YIELDED, e.TakeoverDue("silent"), State.B_PROMOTING),
    ("19", BACKUP, e.TakeoverDue("silent"), State.B_PROMOTING),
    ("20", PROMOTING, e.TakeoverConfirmed("silent"), State.P_ACTIVE),
    ("21", PROMOTING, e.TakeoverAborted("the peer answered"), State.B_IDLE),
    ("2", PROMOTING, e.Boot(), State.B_IDLE),
    (
        "30",
        replace(SUPERSEDED_STATE, head=Head(0, 3)),
        seen(TAKEN_OVER, auto_resolve=True),
        State.B_IDLE,
    ),
    ("31", SUPERSEDED_STATE, e.ServeAgain(None), State.P_ACTIVE),
    ("4", UNCONFIRMED, e.BootTimedOut(), State.P_ACTIVE),
    ("5", UNCONFIRMED, e.BootTimedOut(address_holder=MAC), State.P_UNCONFIRMED),
    ("5", UNCONFIRMED, seen(BACKUP, address_holder=MAC), State.P_UNCONFIRMED),
    ("6", PRIMARY, e.PeerSeen(header_of(TAKEN_OVER)), State.P_SUPERSEDED),
    ("6", DRAINING, e.PeerSeen(header_of(TAKEN_OVER)), State.P_SUPERSEDED),
    ("8", PRIMARY, e.HandoverAsked(header_of(BACKUP), want_final_sync=True), State.P_DRAINING),
    ("9", DRAINING, e.OperationLost((0, 1), "cancelled"), State.P_UNCONFIRMED),
    ("10", DRAINING, ready_message(), State.B_YIELDED),
    ("10 again", YIELDED, ready_message(), State.B_YIELDED),
    ("11", YIELDED, e.PeerSeen(header_of(TAKEN_OVER)), State.B_IDLE),
    ("11 void", YIELDED, seen(replace(BACKUP, term=2)), State.B_IDLE),
    ("12", YIELDED, e.GrantUnanswered(), State.B_YIELDED),
    ("13", BACKUP, offer(), State.B_SYNCING),
    ("13", SYNCING, e.Prepared((0, 1)), State.B_READY),
    ("14", READY, e.Granted(header_of(YIELDED), (0, 1), 1), State.P_ACTIVE),
    ("14 late", replace(BACKUP, last_op_id=(0, 1)), e.Granted(header_of(YIELDED), (0, 1), 1), State.P_ACTIVE),
    ("14 again", TAKEN_OVER, e.Granted(header_of(YIELDED), (0, 1), 1), State.P_ACTIVE),
    ("15", READY, seen(PRIMARY), State.B_IDLE),
    ("15", SYNCING, e.OperationLost((0, 1), "cancelled"), State.B_IDLE),
    ("16", PRIMARY, e.BecomeBackup(None, without_peer=True), State.B_IDLE),
    ("18", BACKUP, e.BecomePrimary(None), State.P_ACTIVE),
    ("18", READY, e.BecomePrimary(None), State.P_ACTIVE),
    ("22", PRIMARY, e.BreakRelationship("asked for"), State.NONE),
    ("22", READY, e.BreakRelationship("asked for"), State.NONE),
    ("23", BACKUP, seen(replace(PRIMARY, state=State.B_IDLE), same_role_polls=2), State.B_IDLE),
    ("24", PRIMARY, seen(replace(TAKEN_OVER, term=0, own_term=-1), same_role_polls=1), State.P_ACTIVE),
    (
        "25",
        SUPERSEDED_STATE,
        seen(replace(TAKEN_OVER, state=State.B_IDLE, head=Head(0, 3)), same_role_polls=2),
        State.P_ACTIVE,
    ),
    (
        "26 deserted",
        SUPERSEDED_STATE,
        e.BecomeBackup(header_of(replace(TAKEN_OVER, state=State.B_IDLE)), without_peer=False),
        State.B_IDLE,
    ),
    ("26 superseded", SUPERSEDED_STATE, e.BecomeBackup(header_of(TAKEN_OVER), without_peer=False), State.B_IDLE),
    (
        "26",
        PRIMARY,
        e.BecomeBackup(header_of(replace(TAKEN_OVER, term=0, own_term=-1)), without_peer=False),
        State.B_IDLE,
    ),
    (
        "27",
        BACKUP,
        e.BecomePrimary(header_of(replace(PRIMARY, state=State.B_IDLE, term=1)), demoted_for=1),
        State.P_ACTIVE,
    ),
    (
        "27 stays",
        PRIMARY,
        e.BecomePrimary(header_of(replace(TAKEN_OVER, state=State.B_IDLE, term=2)), demoted_for=2),
        State.P_ACTIVE,
    ),
    ("29 stays", PRIMARY, e.PromoteReceived(header_of(replace(BACKUP, term=0)), 2), State.P_ACTIVE),
    ("28", PRIMARY, e.DemoteReceived(header_of(BACKUP), 1), State.B_IDLE),
    ("29", BACKUP, e.PromoteReceived(header_of(replace(PRIMARY, state=State.B_IDLE)), 1), State.P_ACTIVE),
]


@pytest.mark.parametrize(("row", "state", "event", "after"), TAKEN, ids=[f"row {t[0]}: {t[1].state}" for t in TAKEN])
def test_row_is_taken(row: str, state: RoleState, event: e.Event, after: State) -> None:
    result = handle(state, event)
    assert row in [edge.row for edge in result.edges]
    assert result.state.state == after
    assert (result.edges[-1].goes_to or state.state) == after or result.edges[-1].row == "-"
    assert not result.refusal


def test_every_row_of_the_table_is_shown_to_be_taken() -> None:
    assert {edge.row for edge in TABLE} | {SUPERSEDED.row} == {row for row, *_ in TAKEN} | {"-"}


REFUSED = [
    ("without a test IP nobody confirms itself", UNCONFIRMED, e.BootTimedOut(hears_test_ip=False), {}),
    ("nobody serves again while the peer answers", UNCONFIRMED, e.ServeAgain(header_of(BACKUP)), {}),
    ("nobody confirms itself while it is not well", UNCONFIRMED, e.BootTimedOut(can_serve=False), {}),
    ("nobody confirms itself against the witness", UNCONFIRMED, e.BootTimedOut(has_witness=False), {}),
    ("a peer that knows a higher term confirms nobody", UNCONFIRMED, e.BootTimedOut(), {"term": 1}),
    ("a drained primary yields only for the newest settings", DRAINING, ready_message(head=Head(0, 4)), {}),
    ("a drained primary yields only for its operation", DRAINING, ready_message(op_id=(0, 2)), {}),
    ("a drained primary yields only for the offered term", DRAINING, ready_message(new_term=3), {}),
    ("an offer is not taken twice", BACKUP, offer(), {"last_op_id": (0, 1)}),
    ("an offer of an older term is not taken", BACKUP, offer(), {"term": 1}),
    ("an offer of older settings is not taken", BACKUP, offer(), {"head": Head(0, 9)}),
    ("an offered term of the wrong parity is not taken", BACKUP, offer(new_term=2), {}),
    ("a grant of another operation is not taken", READY, e.Granted(header_of(YIELDED), (0, 2), 1), {}),
    ("a late grant loses against a higher term", READY, e.Granted(header_of(YIELDED), (0, 1), 1), {"term": 1}),
    ("no step down while the peer cannot be contacted", PRIMARY, e.BecomeBackup(None, without_peer=False), {}),
    ("no forced step down while the peer answers", PRIMARY, e.BecomeBackup(header_of(BACKUP), without_peer=True), {}),
    ("no take-over by hand while the primary answers", BACKUP, e.BecomePrimary(header_of(PRIMARY)), {}),
    ("no promotion without the peer's demotion", BACKUP, e.BecomePrimary(header_of(YIELDED)), {}),
    ("a promise is kept while the primary may have yielded", READY, e.OperationLost((0, 1), "cancelled"), {}),
    ("a grant of an operation given up long ago is not taken", BACKUP, e.Granted(header_of(YIELDED), (0, 1), 1), {}),
    ("a demotion to one's own term is refused", BACKUP, e.DemoteReceived(header_of(YIELDED), 1), {}),
    ("an old demotion is refused", PRIMARY, e.DemoteReceived(header_of(BACKUP), 0), {}),
    ("nobody is promoted beside a peer that is not backup", BACKUP, e.PromoteReceived(header_of(PRIMARY), 1), {}),
    ("a promotion to the peer's own term is refused", BACKUP, e.PromoteReceived(header_of(YIELDED), 2), {}),
    (
        "a backup that never synchronised gets no role without a data-sync",
        PRIMARY,
        e.HandoverAsked(header_of(replace(BACKUP, initialised=False)), want_final_sync=False),
        {},
    ),
    (
        "no swap between different builds",
        PRIMARY,
        e.HandoverAsked(header_of(BACKUP), want_final_sync=False, schema_equal=False),
        {},
    ),
]


@pytest.mark.parametrize(("why", "state", "event", "changes"), REFUSED, ids=[r[0] for r in REFUSED])
def test_refusal_says_why_and_moves_nothing(
    why: str, state: RoleState, event: e.Event, changes: dict[str, object]
) -> None:
    state = replace(state, **changes)  # type: ignore[arg-type]
    result = handle(state, event)
    assert result.refusal
    assert result.effects == ()
    assert replace(result.state, term=state.term) == state


def sample_events() -> list[e.Event]:
    return [event for _, _, event, _ in TAKEN] + [event for _, _, event, _ in REFUSED]


def test_pair_of_state_and_event_without_a_row_raises_and_moves_nothing() -> None:
    listed = {(state, edge.event) for edge in TABLE for state in edge.states}
    states = {
        s.state: s for s in (RoleState(), PRIMARY, DRAINING, BACKUP, SYNCING, READY, YIELDED, UNCONFIRMED, PROMOTING)
    }
    states[State.P_SUPERSEDED] = SUPERSEDED_STATE
    assert set(states) == set(ALL_STATES)
    raised = 0
    for state in states.values():
        for event in sample_events():
            header = getattr(event, "header", None)
            if (state.state, type(event)) in listed or (header is not None and header.term > state.term):
                continue
            with pytest.raises(UnknownEdge):
                handle(state, event)
            raised += 1
    assert raised > 50


SAMPLES: dict[str, object] = {
    "header": header_of(BACKUP),
    "peer": None,
    "parity": 0,
    "reason": "a reason",
    "seconds": 72.0,
    "op_id": (0, 1),
    "new_term": 1,
    "head": Head(0, 5),
    "challenge": "c",
    "want_final_sync": True,
    "without_peer": True,
}


def every_event() -> list[e.Event]:
    """One of each kind of event there is."""
    events: list[e.Event] = []
    for kind in e.Event.__subclasses__():
        needed = [field.name for field in fields(kind) if field.default is MISSING]
        events.append(kind(**{name: SAMPLES[name] for name in needed}))
    return events


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", every_event(), ids=lambda event: type(event).__name__)
def test_every_event_in_every_state_is_answered_by_a_row_a_refusal_or_an_error(state: State, event: e.Event) -> None:
    is_listed = any(state in edge.states and edge.event is type(event) for edge in TABLE)
    for op in (None, OP):
        for parity in (0, 1):
            before = RoleState(state=state, parity=parity, own_term=0, op=op, initialised=True)
            try:
                result = handle(before, event)
            except UnknownEdge:
                assert not is_listed
                continue
            assert is_listed
            assert bool(result.edges) is not bool(result.refusal)


def test_the_shared_address_is_told_with_whoever_holds_it() -> None:
    event = e.BootTimedOut(address_holder=MAC)
    assert MAC in handle(UNCONFIRMED, event).edges[0].tells(event)


def test_every_row_of_the_table_has_a_place_in_the_states_of_its_role() -> None:
    for edge in TABLE:
        assert edge.states
        assert edge.goes_to is None or edge.sentence


def test_a_term_belongs_to_one_appliance() -> None:
    assert [ballot(0, term) for term in range(4)] == [2, 2, 4, 4]
    assert [ballot(1, term) for term in range(4)] == [1, 3, 3, 5]


def test_the_highest_term_seen_never_falls() -> None:
    assert learn(PRIMARY, 7).term == 7
    assert learn(replace(PRIMARY, term=9), 7).term == 9


def test_a_higher_term_in_any_message_stops_a_primary_even_if_the_message_is_refused() -> None:
    header = replace(header_of(READY), term=3)
    result = handle(PRIMARY, ready_message(header=header))
    assert result.state.state == State.P_SUPERSEDED
    assert DisconnectClients() in result.effects
    assert result.refusal


def test_yield_is_durable_before_the_grant_goes_out() -> None:
    result = handle(DRAINING, ready_message())
    assert result.state.role == Role.BACKUP
    assert result.effects[0] == SendGrant((0, 1), 1, "c")


def test_promotion_begins_a_new_head_and_keeps_the_old_one_as_base() -> None:
    after = handle(READY, e.Granted(header_of(YIELDED), (0, 1), 1)).state
    assert (after.head, after.base_head) == (Head(1, 0), READY.head)
    assert (after.term, after.own_term, after.op) == (1, 1, None)


def test_cancelling_tells_the_peer_once() -> None:
    told = handle(SYNCING, e.OperationLost((0, 1), "no"))
    heard = handle(SYNCING, e.OperationLost((0, 1), "no", tell_peer=False))
    assert told.effects == (SendCancel((0, 1), "no"),)
    assert heard.effects == ()


def test_only_a_final_data_sync_stops_serving_and_every_swap_stops_writing() -> None:
    assert not DRAINING.is_serving
    without = replace(DRAINING, op=replace(OP, want_final_sync=False))
    assert without.is_serving
    assert not without.is_writable


def test_an_old_answer_confirms_nobody() -> None:
    result = handle(UNCONFIRMED, seen(BACKUP, is_current=False))
    assert result.state.state == State.P_UNCONFIRMED


@pytest.mark.parametrize("changes", [{"auto_resolve": False}, {"auto_resolve": True, "head": Head(0, 4)}])
def test_an_old_primary_rejoins_by_itself_only_if_it_holds_nothing_of_its_own(changes: dict[str, object]) -> None:
    head = changes.pop("head", Head(0, 3))
    state = replace(SUPERSEDED_STATE, head=head)  # type: ignore[arg-type]
    assert handle(state, seen(TAKEN_OVER, **changes)).state.state == State.P_SUPERSEDED


def test_an_unhealthy_primary_does_not_confirm_itself() -> None:
    assert handle(UNCONFIRMED, seen(BACKUP, can_serve=False)).state.state == State.P_UNCONFIRMED


def test_a_superseded_primary_does_not_serve_again_against_newer_settings() -> None:
    peer = replace(TAKEN_OVER, state=State.B_IDLE, head=Head(1, 4))
    assert handle(SUPERSEDED_STATE, seen(peer, same_role_polls=5)).state.state == State.P_SUPERSEDED


def test_header_carries_what_the_peer_needs_and_nothing_else() -> None:
    assert {f.name for f in fields(Header)} == {
        "state",
        "own_term",
        "term",
        "head",
        "base_head",
        "op",
        "initialised",
    }


def test_every_state_belongs_to_one_role() -> None:
    assert set(PRIMARY_STATES) | set(BACKUP_STATES) | {State.NONE} == set(State)
    assert not PRIMARY_STATES & BACKUP_STATES
