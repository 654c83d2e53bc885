"""The word that a primary may go on serving runs out by itself."""

from __future__ import annotations

import threading

import pytest

from appliances.choices import State
from sync import cycle, gate, journal, probes, serving
from sync.models import RoleJournal
from sync.rules.timing import derive

TIMES = derive(30)


def test_without_a_word_or_without_automatic_failover_it_never_runs_out() -> None:
    assert not serving.has_run_out()
    serving.renew(None, turn_began=0.0)
    assert not serving.has_run_out()


def test_it_runs_out_after_the_isolation_time_counted_from_the_beginning_of_the_turn() -> None:
    now = journal.boottime()
    serving.renew(TIMES, turn_began=now - TIMES.isolation - 0.1)
    assert serving.has_run_out()
    serving.renew(TIMES, turn_began=now - TIMES.isolation + 5)
    assert not serving.has_run_out()


def test_a_turn_that_took_long_takes_nothing_back() -> None:
    now = journal.boottime()
    serving.renew(TIMES, turn_began=now)
    serving.renew(TIMES, turn_began=now - TIMES.isolation - 1)
    assert not serving.has_run_out()


def test_a_shorter_time_counts_from_the_next_turn_on() -> None:
    now = journal.boottime()
    serving.renew(derive(180), turn_began=now - 20)
    serving.renew(derive(10), turn_began=now - 19)
    assert serving.has_run_out()


def test_a_word_from_before_the_machine_was_started_again_is_replaced() -> None:
    now = journal.boottime()
    serving.renew(TIMES, turn_began=now + 100_000)
    serving.renew(TIMES, turn_began=now - TIMES.isolation - 1)
    assert serving.has_run_out()


@pytest.mark.django_db
@pytest.mark.parametrize(("state", "serves"), [(State.P_ACTIVE, False), (State.NONE, True)])
def test_a_primary_without_the_word_lets_nobody_in(state: State, serves: bool) -> None:
    RoleJournal.load()
    RoleJournal.objects.update(state=state)
    assert gate.read().is_serving
    serving.renew(TIMES, turn_began=journal.boottime() - TIMES.isolation - 1)
    here = gate.read()
    assert (here.is_serving, here.is_writable) == (serves, serves)
    assert bool(here.sentence) != serves


@pytest.mark.django_db
def test_the_start_of_an_appliance_is_not_a_turn() -> None:
    """What was not listened to while it was switched off is still a pause to the first turn."""
    serving.renew(None, turn_began=journal.boottime() - 60)
    cycle.boot()
    assert serving.last_turn() == pytest.approx(journal.boottime() - 60, abs=5)


@pytest.mark.django_db
def test_a_turn_that_heard_of_former_times_does_not_replace_the_word_for_new_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Turns overlap. The backup may take over after the new times as soon as they are acknowledged."""
    now, has_read, may_go_on = journal.boottime(), threading.Event(), threading.Event()

    def acknowledged() -> probes.Acknowledged:
        if threading.current_thread() is slow:
            has_read.set()
            may_go_on.wait(30)
            return probes.Acknowledged(180.0, announcement="former")
        return probes.Acknowledged(10.0, announcement="new")

    slow = threading.Thread(target=lambda: cycle._give_word(now))
    other = threading.Thread(target=lambda: cycle._give_word(now))
    monkeypatch.setattr(probes, "acknowledged", acknowledged)
    slow.start()
    assert has_read.wait(30)
    other.start()
    other.join(0.3)
    may_go_on.set()
    slow.join(30)
    other.join(30)
    assert serving.is_bound_by("new")
