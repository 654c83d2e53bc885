"""A primary that must not go on stops serving, and in time: cut off, without the witness, after standing still."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from django.db import OperationalError
from pytest_django import Settings

from appliances.choices import State
from appliances.models import FailoverRelationship
from sync import act, cycle, failover, health, journal, outside, probes, serving
from sync.keeper import Keeper
from sync.models import PeerView, RoleJournal, StatusEvent
from sync.rules.timing import LOOP_LATENESS, Entered, derive
from tests.sync import pair
from tests.sync.test_failover import TIMES, program, silent_primary


@pytest.mark.django_db(transaction=True)
def test_a_primary_that_neither_peer_nor_witness_hears_stops_serving(settings: Settings, tmp_path: Path) -> None:
    settings.WITNESS_COMMAND = program(tmp_path, "witness", 1)
    pair.paired(State.P_ACTIVE)
    now = journal.boottime()
    status = pair.full_status(State.B_IDLE, acknowledged_timeout=None, takeover_after=10.0)
    PeerView.objects.update(status=status, answered_boottime=now)
    pulse = failover.Pulse()
    failover.consider(pulse, stood_still=0)
    assert pulse.lease is not None
    pulse.lease.granted = now - 3.0
    failover.consider(pulse, stood_still=0)
    assert journal.read().state == State.P_ACTIVE, "the peer answers"
    PeerView.objects.update(answered_boottime=now - 4)
    failover.consider(pulse, stood_still=0)
    assert journal.read().state == State.P_UNCONFIRMED
    assert "witness" in StatusEvent.objects.get(event="role.7").sentence


@pytest.mark.django_db(transaction=True)
def test_a_primary_that_stood_still_asks_before_it_serves_again() -> None:
    pair.paired(State.P_ACTIVE)
    status = pair.full_status(State.B_IDLE, acknowledged_timeout=None, takeover_after=10.0)
    PeerView.objects.update(status=status, answered_boottime=journal.boottime())
    failover.consider(failover.Pulse(), stood_still=2.0)
    assert journal.read().state == State.P_ACTIVE
    failover.consider(failover.Pulse(), stood_still=5.0)
    assert journal.read().state == State.P_UNCONFIRMED


@pytest.mark.django_db(transaction=True)
def test_a_pause_is_not_forgotten_with_the_process_that_saw_it() -> None:
    """The turn that noticed it told its health, and its process died before the role was given up."""
    pair.paired(State.P_ACTIVE)
    FailoverRelationship.objects.update(peer_host="127.0.0.1", peer_port=9)
    status = pair.full_status(State.B_IDLE, acknowledged_timeout=None, takeover_after=10.0)
    PeerView.objects.update(status=status, answered_boottime=journal.boottime())
    serving.renew(TIMES, turn_began=journal.boottime() - 20)
    health.write(health.Health(True, health.HEALTHY))
    cycle.turn(failover.Pulse())
    assert journal.read().state == State.P_UNCONFIRMED


@pytest.mark.django_db(transaction=True)
def test_a_primary_that_hears_nobody_stops_serving() -> None:
    pair.paired(State.P_ACTIVE)
    status = pair.full_status(State.B_IDLE, acknowledged_timeout=None, takeover_after=10.0, test_ips=["192.0.2.1"])
    long_ago = journal.boottime() - 4
    just_read = journal.boottime()  # a message of the peer, sent who knows when
    PeerView.objects.update(
        status=status, answered_boottime=long_ago, tests={"answered": long_ago}, heard_boottime=just_read
    )
    failover.consider(failover.Pulse(), stood_still=0)
    assert journal.read().state == State.P_UNCONFIRMED


def serving_since(seconds: float, **view: object) -> None:
    """This appliance serves for so many seconds, and keeps to an armed backup's timeout of 10 s."""
    pair.paired(State.P_ACTIVE)
    RoleJournal.objects.update(since_boottime=journal.boottime() - seconds)
    status = pair.full_status(State.B_IDLE, acknowledged_timeout=None, takeover_after=10.0, test_ips=["192.0.2.1"])
    PeerView.objects.update(status=status, **view)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("seconds", "state"), [(3.0, State.P_ACTIVE), (4.0, State.P_UNCONFIRMED)])
def test_what_a_primary_heard_before_its_machine_was_started_keeps_nobody_from_seeing_that_it_is_cut_off(
    seconds: float, state: State
) -> None:
    """It was up for 30 days, and began to serve by a test IP that has been silent ever since (row 4)."""
    before = journal.boottime() + 30 * 86400
    serving_since(seconds, answered_boottime=before, tests={"answered": before})
    failover.consider(failover.Pulse(), stood_still=0)
    assert journal.read().state == state


@pytest.mark.django_db(transaction=True)
def test_a_peer_heard_before_the_machine_was_started_does_not_stand_in_for_the_witness(settings: Settings) -> None:
    settings.WITNESS_COMMAND = "false"
    serving_since(4.0, answered_boottime=journal.boottime() + 30 * 86400, tests={"answered": journal.boottime()})
    pulse = failover.Pulse()
    failover.consider(pulse, stood_still=0)
    assert pulse.lease is not None
    pulse.lease.granted = journal.boottime() - 3.0
    failover.consider(pulse, stood_still=0)
    assert journal.read().state == State.P_UNCONFIRMED


def not_taken(*_: object) -> None:
    raise OperationalError("database is locked")


@pytest.mark.django_db(transaction=True)
def test_a_stop_that_the_database_does_not_take_is_still_due_at_the_next_look(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither peer nor witness has answered meanwhile: the time of this primary does not begin anew."""
    settings.WITNESS_COMMAND = "false"
    serving_since(60.0, answered_boottime=journal.boottime() - 4, tests={"answered": journal.boottime()})
    pulse = failover.Pulse()
    failover.consider(pulse, stood_still=0)
    assert pulse.lease is not None
    pulse.lease.granted = journal.boottime() - 3.0
    with monkeypatch.context() as patch:
        patch.setattr(act, "deliver", not_taken)
        with pytest.raises(OperationalError):
            failover.consider(pulse, stood_still=0)
    assert journal.read().state == State.P_ACTIVE
    assert pulse.limit is not None
    assert pulse.limit < journal.boottime()
    failover.stop_in_time(pulse)
    assert journal.read().state == State.P_UNCONFIRMED
    failover.consider(pulse, stood_still=0)
    assert pulse.lease is None, "the witness is asked no more"


@pytest.mark.django_db(transaction=True)
def test_a_pause_counts_until_the_database_has_taken_what_follows_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    serving_since(60.0, answered_boottime=journal.boottime(), tests={"answered": journal.boottime()})
    pulse = failover.Pulse()
    pulse.last = (journal.boottime() - 30, time.monotonic() - 30)
    stood_still = pulse.beat(boottime=journal.boottime(), monotonic=time.monotonic(), times=TIMES)
    with monkeypatch.context() as patch:
        patch.setattr(act, "deliver", not_taken)
        with pytest.raises(OperationalError):
            failover.consider(pulse, stood_still=stood_still)
    failover.consider(pulse, stood_still=0)
    assert journal.read().state == State.P_UNCONFIRMED
    RoleJournal.objects.update(state=State.P_ACTIVE, since_boottime=journal.boottime())
    failover.consider(pulse, stood_still=0)
    assert journal.read().state == State.P_ACTIVE, "it counts once"


@pytest.mark.django_db(transaction=True)
def test_moments_of_an_earlier_run_of_the_machine_do_not_come_true_later() -> None:
    """The clock of the new run passes them while the primary serves: nobody has answered then."""
    serving_since(0.0, answered_boottime=journal.boottime() + 2, tests={"answered": journal.boottime() + 2})
    cycle.boot()
    view = PeerView.load()
    assert (view.answered_boottime, view.tests["answered"]) == (None, None)


@pytest.mark.django_db(transaction=True)
def test_pauses_of_a_primary_that_is_cut_off_do_not_begin_its_time_anew() -> None:
    long_ago = journal.boottime() - 3
    serving_since(60.0, answered_boottime=long_ago, tests={"answered": long_ago})
    probes.forget_failures()
    assert PeerView.load().answered_boottime == long_ago
    assert PeerView.load().test_rounds == []


@pytest.mark.django_db(transaction=True)
def test_a_primary_keeps_to_the_isolation_timer_that_the_backup_has_entered() -> None:
    pair.paired(State.P_ACTIVE)
    entered = Entered(isolation=20.0)
    status = pair.full_status(State.B_IDLE, takeover_after=60.0, takeover_times=entered, test_ips=["192.0.2.1"])
    long_ago = journal.boottime() - 21
    PeerView.objects.update(status=status, answered_boottime=long_ago, tests={"answered": long_ago})
    serving.renew(derive(60.0, entered), turn_began=journal.boottime())
    assert probes.own_status().acknowledged_times == entered
    failover.consider(failover.Pulse(), stood_still=0)
    assert journal.read().state == State.P_UNCONFIRMED


@pytest.mark.django_db(transaction=True)
def test_a_primary_stops_when_its_time_is_over_and_not_only_in_the_next_turn(tmp_path: Path) -> None:
    """The rule that keeps two primaries apart allows it to be 0.2 s late; the turns are a second apart."""
    lateness = []
    for attempt in range(3):
        FailoverRelationship.objects.all().delete()
        heard = journal.boottime() - TIMES.isolation + 0.5
        serving_since(60.0, answered_boottime=heard, tests={"answered": heard})
        pulse = failover.Pulse()
        failover.consider(pulse, stood_still=0)
        assert pulse.limit == pytest.approx(heard + TIMES.isolation)
        sentry = Keeper(partial(cycle.between_turns, pulse), partial(tmp_path.joinpath, str(attempt)), seconds=0.05)
        sentry.ensure()
        time.sleep(1.2)
        sentry.stop()
        for thread in threading.enumerate():
            if thread.name in ("keeper", "turn"):  # its last look may still be in the database
                thread.join(10)
        assert journal.read().state == State.P_UNCONFIRMED
        lateness.append(RoleJournal.load().since_boottime - heard - TIMES.isolation)
    assert 0 < min(lateness) < LOOP_LATENESS


@pytest.mark.django_db(transaction=True)
def test_what_a_primary_hears_before_its_time_is_over_is_seen_by_the_sentry() -> None:
    long_ago = journal.boottime() - TIMES.isolation - 1
    serving_since(60.0, answered_boottime=journal.boottime(), tests={"answered": long_ago})
    pulse = failover.Pulse()
    pulse.limit = long_ago
    failover.stop_in_time(pulse)
    assert journal.read().state == State.P_ACTIVE
    assert pulse.limit is not None
    assert pulse.limit > journal.boottime()


@pytest.mark.django_db(transaction=True)
def test_a_primary_that_wakes_says_that_it_stood_still_and_not_that_it_is_cut_off() -> None:
    """The sentry is the first to wake, long before the next turn."""
    long_ago = journal.boottime() - 30
    serving_since(60.0, answered_boottime=long_ago, tests={"answered": long_ago})
    pulse = failover.Pulse()
    pulse.last, pulse.limit = (long_ago, time.monotonic() - 30), long_ago + TIMES.isolation
    failover.stop_in_time(pulse)
    assert journal.read().state == State.P_UNCONFIRMED
    assert "stood still" in StatusEvent.objects.order_by("-at")[0].sentence


@pytest.mark.django_db(transaction=True)
def test_the_sentry_takes_nothing_over() -> None:
    """It does not tell a backup that this appliance stood still, so what that saw before would count."""
    silent_primary(automatic=True, silence=11)
    pulse = failover.Pulse()
    pulse.limit = 1.0
    failover.stop_in_time(pulse)
    assert journal.read().state == State.B_IDLE


@pytest.mark.django_db(transaction=True)
def test_a_primary_stops_before_the_word_of_the_witness_is_over(settings: Settings) -> None:
    settings.WITNESS_COMMAND = "true"
    serving_since(60.0, answered_boottime=journal.boottime() - 9, tests={"answered": journal.boottime()})
    pulse = failover.Pulse()
    failover.consider(pulse, stood_still=0)
    assert pulse.lease is not None
    assert pulse.limit is not None
    ttl = outside.witness_seconds(TIMES)
    assert pulse.limit + LOOP_LATENESS <= pulse.lease.granted + ttl * 0.98


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("look", [failover.stop_in_time, partial(failover.consider, stood_still=0)])
def test_a_primary_that_stood_still_asks_the_witness_no_more_with_its_old_term(
    look: Callable[[failover.Pulse], None], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentry, or a turn begun before, is the first to wake; the witness may have promised the role since."""
    settings.WITNESS_COMMAND = "true"
    serving_since(60.0, answered_boottime=journal.boottime(), tests={"answered": journal.boottime()})
    pulse = failover.Pulse()
    failover.consider(pulse, stood_still=0)
    assert pulse.lease is not None
    lease, asked = pulse.lease, list[object]()
    lease.end()
    assert lease._thread is not None
    lease._thread.join(10)
    monkeypatch.setattr(lease, "keep", lambda *wish: asked.append(wish))
    long_after = journal.boottime() + 60
    monkeypatch.setattr(journal, "boottime", lambda: long_after)
    look(pulse)
    assert asked == []
    assert journal.read().state == State.P_UNCONFIRMED
