"""The count-down: four mails at most, then one that tells how it ended."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from appliances.choices import ProbeOutcome, State
from appliances.models import BackupSettings, FailoverRelationship
from sync import failover, history, journal
from sync.models import AlertEpisode, AlertMail, PeerView, RoleJournal
from sync.peer import identity
from tests.sync import pair
from tests.sync.alerts.world import World

pytestmark = pytest.mark.django_db(transaction=True)
TIMEOUT = 180


def said_by(state: State) -> dict[str, Any]:
    """A STATUS of the peer in this state, of the same build."""
    return pair.full_status(state, acknowledged_timeout=float(TIMEOUT), schema=identity.schema_digest())


@pytest.fixture
def world() -> World:
    """A backup that is armed, whose primary answers."""
    pair.backup()
    settings = BackupSettings.load()
    settings.enable_automatic_failover, settings.accept_no_test_ips = True, True
    settings.primary_timeout = dt.timedelta(seconds=TIMEOUT)
    settings.save()
    RoleJournal.objects.update(term=4, own_term=-1, parity=1)
    PeerView.objects.update(status=said_by(State.P_ACTIVE))
    return World()


def silent_for(world: World, seconds: float, failures: int = 3) -> list[str]:
    """The primary has been silent for so long; one turn of automatic failover, and what is told then."""
    PeerView.objects.update(
        outcome=ProbeOutcome.SILENT,
        detail="10.0.4.12:8443: no answer in time.",
        answered_at=timezone.now() - dt.timedelta(seconds=seconds + 10),
        answered_boottime=journal.boottime() - seconds,
        consecutive_failures=failures,
    )
    failover.consider(failover.Pulse(), stood_still=0)
    return [mail.event.removeprefix("primary_silent.") for mail in world.look()]


def answers() -> None:
    PeerView.objects.update(
        outcome=ProbeOutcome.ANSWERED,
        answered_at=timezone.now(),
        answered_boottime=journal.boottime(),
        consecutive_failures=0,
    )


def test_the_series_comes_at_the_quarters_and_ends_with_the_take_over(world: World) -> None:
    assert silent_for(world, 6, failures=2) == []
    told = {seconds: silent_for(world, seconds) for seconds in range(9, TIMEOUT, 3)}
    assert {seconds: events for seconds, events in told.items() if events} == {
        9: ["begun"],
        45: ["count_down"],
        90: ["count_down"],
        135: ["count_down"],
    }
    assert silent_for(world, TIMEOUT + 1) == ["took_over.begun"]
    assert journal.read().state == State.P_ACTIVE
    world.restart()
    assert world.events(3600) == []
    answers()
    PeerView.objects.update(status=said_by(State.B_IDLE))
    FailoverRelationship.objects.update(last_pulled_at=timezone.now() + dt.timedelta(seconds=1))
    assert world.events(20) == ["took_over.ended"]


def test_the_series_ends_when_the_primary_answers(world: World) -> None:
    assert silent_for(world, 10) == ["begun"]
    assert silent_for(world, 50) == ["count_down"]
    answers()
    failover.consider(failover.Pulse(), stood_still=0)
    assert world.events(20) == ["primary_silent.ended"]


def test_what_was_missed_is_not_made_up_for(world: World) -> None:
    assert silent_for(world, 100) == ["begun"]
    assert silent_for(world, 120) == []
    assert silent_for(world, 140) == ["count_down"]


def test_an_announced_take_over_that_is_held_is_told_once_for_each_reason(world: World) -> None:
    assert silent_for(world, 50) == ["begun"]
    BackupSettings.objects.update(enable_backup_operations=False)
    told = []
    for seconds in range(60, 90, 3):
        world.now += 3
        told += silent_for(world, seconds)
    assert sorted(told) == ["backup_off.begun", "held"]
    BackupSettings.objects.update(enable_backup_operations=True, enable_automatic_failover=False)
    told = []
    for seconds in range(90, 150, 3):
        world.now += 3
        told += silent_for(world, seconds)
    assert sorted(told) == ["backup_off.ended", "held"]


def test_a_take_over_that_was_given_up_is_told_once_for_each_reason(world: World) -> None:
    assert silent_for(world, 170) == ["begun"]
    for _ in range(3):
        history.record("role.21", "Given up.", evidence={"reason": "The fencing command did not confirm."})
    [mail] = world.look()
    assert mail.event == "primary_silent.given_up"
    assert mail.subject.endswith("The take-over was given up: The fencing command did not confirm")
    assert world.events(60) == []
    history.record("role.21", "Given up.", evidence={"reason": "The witness did not grant the role."})
    assert world.events(60) == ["primary_silent.given_up"]


def test_a_take_over_that_was_given_up_says_when_the_next_attempt_comes(world: World) -> None:
    assert silent_for(world, 170) == ["begun"]
    history.record("role.21", "Given up.", evidence={"reason": "The fencing command did not confirm."})
    reason = "The primary has been silent for the whole timeout."
    PeerView.objects.update(decision={"verdict": "take_over", "reason": reason, "seconds_left": 0.0})
    assert world.look() == [], "the latest look was before it was given up"
    count_down = {"verdict": "count_down", "reason": "The primary is silent; take-over in 53 s.", "seconds_left": 53.0}
    PeerView.objects.update(decision=count_down)
    [mail] = world.look()
    assert mail.event == "primary_silent.given_up"
    text = " ".join(mail.text.split())
    assert "site1.example.com tries again in 53 s" in text
    assert "after the last answer)" not in text


def test_the_reason_for_acting_is_not_told_as_one_against_it(world: World) -> None:
    reason = "The primary has been silent for the whole timeout."
    silent_for(world, 170)
    AlertMail.objects.all().delete()
    AlertEpisode.objects.all().delete()
    PeerView.objects.update(decision={"verdict": "take_over", "reason": reason, "seconds_left": 0.0})
    [mail] = world.look()
    text = " ".join(mail.text.split())
    assert reason not in text
    assert "does not take over by itself now" not in text
    assert "the time to take over has come" in text


def test_a_take_over_that_waits_for_others_is_told(world: World) -> None:
    assert silent_for(world, 170) == ["begun"]
    RoleJournal.objects.update(state=State.B_PROMOTING)
    [mail] = world.wait(3)
    assert "is becoming primary: site2.example.com has not answered" in mail.subject
    assert world.events(60) == []


def test_the_first_mail_says_when_it_would_take_over(world: World) -> None:
    silent_for(world, 10)
    [mail] = AlertMail.objects.all()
    assert mail.subject == "[site1.example.com] The primary site2.example.com does not answer: take-over in 2 min 50 s"
    text = " ".join(mail.text.split())
    assert "has not answered this backup for 10 s" in text
    assert "If site2.example.com stays silent, site1.example.com becomes primary in 2 min 50 s (3 min after" in text


def test_two_mails_do_not_come_at_once_where_the_timeout_is_short(world: World) -> None:
    BackupSettings.objects.update(primary_timeout=dt.timedelta(seconds=10))
    PeerView.objects.update(
        status=pair.full_status(State.P_ACTIVE, acknowledged_timeout=10.0, schema=identity.schema_digest())
    )
    assert silent_for(world, 7) == ["begun"]
    assert silent_for(world, 8) == []
    assert silent_for(world, 9) == []
