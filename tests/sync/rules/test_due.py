"""What is due, at which moment."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliances.choices import OperationKind, State
from sync.rules import due
from sync.rules import events as e
from sync.rules.facts import Observation, Operation, RoleState, header_of

NOW = dt.datetime(2026, 11, 22, 9, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
SECOND = dt.timedelta(seconds=1)
OP = Operation(OperationKind.DRAIN, (0, 1), 1, want_final_sync=True)
QUIET = Observation(
    state=RoleState(state=State.B_IDLE),
    seconds_in_state=500.0,
    seconds_since_answer=1.0,
    failures=0,
    peer_op=None,
    peer_change="",
    change="",
    change_age=0.0,
    is_driven=False,
    is_sync_due=False,
    is_sync_running=False,
    boot_seconds=30.0,
    hears_test_ip=True,
    can_serve=True,
)


def in_state(state: State, op: Operation | None = None, **changes: object) -> Observation:
    return replace(QUIET, state=RoleState(state=state, op=op), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("last_asked", "is_due"), [(None, True), (97.1, False), (97.0, True), (200.0, True)], ids=str)
def test_peer_is_asked_each_three_seconds_and_after_a_restart_of_the_machine(
    last_asked: float | None, is_due: bool
) -> None:
    assert due.is_probe_due(100.0, last_asked, due.probe_interval(State.P_ACTIVE, 3.0)) == is_due


@pytest.mark.parametrize(("last_asked", "is_due"), [(None, True), (99.1, False), (99.0, True)], ids=str)
def test_a_primary_that_confirms_its_role_asks_each_second(last_asked: float | None, is_due: bool) -> None:
    assert due.is_probe_due(100.0, last_asked, due.probe_interval(State.P_UNCONFIRMED, 3.0)) == is_due


@pytest.mark.parametrize(
    ("established", "last_started", "is_due"),
    [
        (NOW - 0.5 * MINUTE, None, False),
        (NOW - MINUTE, None, True),
        (NOW - 60 * MINUTE, NOW - 90 * MINUTE, True),
        (NOW - 60 * MINUTE, NOW - 14 * MINUTE, False),
        (NOW - 60 * MINUTE, NOW - 15 * MINUTE, True),
        (NOW - 60 * MINUTE, NOW + 15 * MINUTE, True),
    ],
    ids=["just paired", "a minute after", "synced in an earlier pair", "not yet", "interval over", "clock set back"],
)
def test_data_sync_comes_a_minute_after_pairing_and_then_by_its_interval(
    established: dt.datetime, last_started: dt.datetime | None, is_due: bool
) -> None:
    found = due.is_data_sync_due(
        NOW,
        established_at=established,
        last_started_at=last_started,
        interval=15 * MINUTE,
        first_delay=MINUTE,
    )
    assert found == is_due


def test_a_data_sync_that_failed_is_tried_again_soon() -> None:
    times = {"established_at": NOW - 60 * MINUTE, "interval": 15 * MINUTE, "first_delay": MINUTE, "failures": 1}
    assert not due.is_data_sync_due(NOW, last_started_at=NOW - 0.3 * MINUTE, **times)  # type: ignore[arg-type]
    assert due.is_data_sync_due(NOW, last_started_at=NOW - 0.4 * MINUTE, **times)  # type: ignore[arg-type]


@pytest.mark.parametrize(("failures", "seconds"), [(2, 20), (3, 40), (4, 40), (5, 80), (10, 320), (99, 320)])
def test_a_data_sync_that_fails_again_and_again_is_tried_ever_more_rarely(failures: int, seconds: int) -> None:
    long_ago = NOW - 60 * MINUTE
    for passed, is_due in ((seconds - 1, False), (seconds, True)):
        found = due.is_data_sync_due(
            NOW,
            established_at=long_ago,
            last_started_at=NOW - passed * SECOND,
            interval=15 * MINUTE,
            first_delay=MINUTE,
            failures=failures,
        )
        assert found == is_due


def test_nothing_is_due_on_a_quiet_backup() -> None:
    assert due.events_due(QUIET) == []
    assert due.work_due(QUIET) == []


def test_a_primary_that_hears_nobody_for_the_boot_time_serves() -> None:
    assert due.events_due(in_state(State.P_UNCONFIRMED, seconds_since_answer=None)) == [e.BootTimedOut()]
    assert due.events_due(in_state(State.P_UNCONFIRMED, seconds_since_answer=None, seconds_in_state=29.0)) == []
    assert due.events_due(in_state(State.P_UNCONFIRMED, seconds_since_answer=2.0)) == []
    unwell = in_state(State.P_UNCONFIRMED, seconds_since_answer=None, can_serve=False)
    assert due.events_due(unwell) == [e.BootTimedOut(can_serve=False)]


def test_a_drained_primary_takes_its_role_back_when_the_backup_is_lost_or_idle() -> None:
    lost = due.events_due(in_state(State.P_DRAINING, OP, failures=3, seconds_in_state=9.0))
    idle = due.events_due(in_state(State.P_DRAINING, OP, seconds_in_state=120.0))
    syncing = replace(OP, kind=OperationKind.OFFERED)
    at_work = due.events_due(in_state(State.P_DRAINING, OP, seconds_in_state=3600.0, peer_op=syncing))
    mute = due.events_due(
        in_state(State.P_DRAINING, OP, seconds_in_state=120.0, peer_op=replace(OP, kind=OperationKind.READY))
    )
    assert [type(event) for event in (*lost, *idle, *mute)] == [e.OperationLost] * 3
    assert at_work == []


@pytest.mark.parametrize(
    ("changes", "is_released"),
    [
        ({"peer_change": ""}, True),
        ({"peer_change": "another"}, True),
        ({"peer_change": "c1"}, False),
        ({"peer_change": "", "seconds_since_answer": 4.0}, False),
        ({"peer_change": "", "seconds_since_answer": None}, False),
        ({"peer_change": "", "peer_op": OP}, False),
        ({"peer_change": "", "change": ""}, False),
    ],
    ids=[
        "ended there",
        "another one",
        "at it",
        "asked before draining",
        "never asked",
        "holds an operation",
        "unknown",
    ],
)
def test_a_drained_primary_is_released_as_soon_as_the_backup_holds_the_swap_no_more(
    changes: dict[str, object], is_released: bool
) -> None:
    """The word that it was given up may be lost with the process that was to send it."""
    drained = replace(
        in_state(State.P_DRAINING, OP, seconds_in_state=3.0, seconds_since_answer=1.0),
        **({"change": "c1"} | changes),  # type: ignore[arg-type]
    )
    assert [type(event) for event in due.events_due(drained)] == [e.OperationLost] * is_released


def test_a_backup_gives_up_a_final_data_sync_that_stands_still() -> None:
    syncing = in_state(State.B_SYNCING, replace(OP, kind=OperationKind.OFFERED), seconds_in_state=121.0)
    assert [type(event) for event in due.events_due(syncing)] == [e.OperationLost]
    assert due.events_due(replace(syncing, is_sync_running=True)) == []


@pytest.mark.parametrize(
    ("changes", "is_over"),
    [
        ({"failures": 3}, True),
        ({"peer_change": "", "change_age": 29.0}, False),
        ({"peer_change": "", "change_age": 30.0}, True),
        ({"peer_change": "c1", "change_age": 3600.0}, False),
    ],
    ids=["peer lost", "just asked", "backup does not know it", "backup is at it"],
)
def test_a_primary_gives_up_a_change_that_the_backup_does_not_hold(changes: dict[str, object], is_over: bool) -> None:
    asked = replace(in_state(State.P_ACTIVE), change="c1", **changes)  # type: ignore[arg-type]
    assert bool(due.why_change_is_over(asked)) == is_over


def test_a_backup_in_a_swap_waits_two_minutes_for_a_silent_primary() -> None:
    ready = replace(OP, kind=OperationKind.READY)
    assert due.events_due(in_state(State.B_READY, ready, failures=40, seconds_in_state=119.0)) == []
    assert len(due.events_due(in_state(State.B_READY, ready, failures=40, seconds_in_state=120.0))) == 1


def test_an_unanswered_grant_is_repeated_and_reported() -> None:
    yielded = in_state(State.B_YIELDED, replace(OP, kind=OperationKind.YIELDED), seconds_in_state=61.0)
    assert due.events_due(yielded) == [e.GrantUnanswered()]
    assert due.is_grant_to_be_repeated(yielded)
    assert not due.is_grant_to_be_repeated(replace(yielded, seconds_in_state=1.0))


def test_a_due_data_sync_starts_only_on_an_idle_backup() -> None:
    assert due.work_due(replace(QUIET, is_sync_due=True)) == [due.Work.PULL_DATA]
    assert due.work_due(replace(QUIET, is_sync_due=True, is_sync_running=True)) == []
    assert due.work_due(replace(QUIET, is_sync_due=True, change="c1", is_driven=True)) == []
    assert due.work_due(in_state(State.P_ACTIVE, is_sync_due=True)) == []


def test_a_swap_that_nobody_drives_is_taken_up_again_by_the_backup() -> None:
    abandoned = replace(QUIET, change="c1")
    assert due.work_due(abandoned) == [due.Work.DRIVE_ROLE_CHANGE]
    assert due.work_due(replace(abandoned, is_driven=True)) == []
    assert due.work_due(in_state(State.P_ACTIVE, change="c1")) == []


SUPERSEDED = RoleState(state=State.P_SUPERSEDED, own_term=0, term=1)


@pytest.mark.parametrize(
    ("state", "peer", "is_unsettled"),
    [
        (RoleState(state=State.P_ACTIVE), RoleState(state=State.P_ACTIVE), True),
        (RoleState(state=State.B_IDLE), RoleState(state=State.B_IDLE), True),
        (SUPERSEDED, RoleState(state=State.B_IDLE), True),
        (RoleState(state=State.P_ACTIVE), RoleState(state=State.B_IDLE), False),
        (RoleState(state=State.B_IDLE), SUPERSEDED, False),
        (SUPERSEDED, RoleState(state=State.B_YIELDED, op=OP), False),
    ],
    ids=str,
)
def test_a_pair_is_unsettled_with_one_role_on_both_or_with_nobody_to_serve(
    state: RoleState, peer: RoleState, *, is_unsettled: bool
) -> None:
    assert due.is_unsettled(state, header_of(peer)) is is_unsettled


def test_an_alert_begins_and_ends_only_after_it_has_lasted() -> None:
    hold = due.Hold(begins=3, ends=10)
    turn = due.alert_turn
    assert turn(hold, is_open=False, is_seen=True, seconds=2.9) is None
    assert turn(hold, is_open=False, is_seen=True, seconds=3) == due.Turn.BEGINS
    assert turn(hold, is_open=True, is_seen=False, seconds=9.9) is None
    assert turn(hold, is_open=True, is_seen=False, seconds=10) == due.Turn.ENDS
    assert turn(hold, is_open=True, is_seen=None, seconds=99) is None
    assert turn(hold, is_open=True, is_seen=False, seconds=599, begun_this_hour=3) is None
    assert turn(hold, is_open=True, is_seen=False, seconds=600, begun_this_hour=3) == due.Turn.ENDS


@given(looks=st.lists(st.tuples(st.sampled_from([True, False, None]), st.floats(0, 30)), max_size=200))
def test_an_alert_never_begins_twice_without_an_end(looks: list[tuple[bool | None, float]]) -> None:
    hold, is_open, since, now, last = due.Hold(begins=3, ends=10), False, 0.0, 0.0, None
    begun: list[float] = []
    for is_seen, passed in looks:
        now += passed
        if is_seen != last:
            last, since = is_seen, now
        count = sum(1 for at in begun if now - at <= 3600)
        turn = due.alert_turn(hold, is_open=is_open, is_seen=is_seen, seconds=now - since, begun_this_hour=count)
        assert (turn == due.Turn.BEGINS) <= (not is_open and is_seen is True and now - since >= 3)
        assert (turn == due.Turn.ENDS) <= (is_open and is_seen is False and now - since >= 10)
        if turn == due.Turn.BEGINS:
            begun.append(now)
        is_open = turn == due.Turn.BEGINS if turn else is_open


@given(timeout=st.floats(10, 86400), looks=st.lists(st.floats(0, 1.5), max_size=60))
def test_the_count_down_tells_each_part_once_in_its_order_and_never_too_early(
    timeout: float, looks: list[float]
) -> None:
    told: list[int] = []
    for part_of_timeout in sorted(looks):
        part = due.count_down_part(part_of_timeout * timeout, timeout, told)
        if part is not None:
            assert part_of_timeout * timeout >= due.COUNT_DOWN_PARTS[part] * timeout
            assert part > max(told, default=-1)
            told.append(part)
    reached = [part for part in range(4) if max(looks, default=-1) * timeout >= due.COUNT_DOWN_PARTS[part] * timeout]
    assert told[-1:] == reached[-1:]


@given(st.integers(1, 10_000))
def test_a_mail_waits_longer_each_time_up_to_an_hour(attempts: int) -> None:
    wait = due.mail_wait(attempts)
    assert due.MAIL_FIRST_WAIT <= wait <= due.MAIL_LONGEST_WAIT
    assert due.mail_wait(attempts + 1) >= wait


@pytest.mark.parametrize(
    ("own", "interval", "threshold"),
    [(None, 15, 60), (None, 45, 90), (5, 45, 5), (600, 15, 600)],
    ids=["default", "twice a long interval", "a short one of its own", "a long one of its own"],
)
def test_the_threshold_of_the_primary(own: int | None, interval: int, threshold: int) -> None:
    set_here = None if own is None else own * MINUTE
    assert due.pull_threshold(set_here, interval * MINUTE) == threshold * MINUTE


def test_the_primary_is_looked_for_by_name_each_minute_and_sooner_after_a_failure() -> None:
    assert due.is_name_look_due(100.0, None, has_failed=False)
    assert not due.is_name_look_due(100.0, 41.0, has_failed=False)
    assert due.is_name_look_due(100.0, 40.0, has_failed=False)
    assert not due.is_name_look_due(100.0, 86.0, has_failed=True)
    assert due.is_name_look_due(100.0, 85.0, has_failed=True)
