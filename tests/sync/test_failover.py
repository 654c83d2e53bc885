"""Automatic failover on one appliance: pauses are noticed, verdicts are told once, fencing has to confirm."""

from __future__ import annotations

import datetime as dt
import json
import shlex
import sys
import threading
import time
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from pytest_django import Settings

from appliances.choices import ProbeOutcome, State
from appliances.models import BackupSettings, FailoverRelationship, IPConfig, SharedIP
from sync import cycle, failover, journal, role_changes, serving
from sync.models import PeerView, RoleJournal, StatusEvent
from sync.peer import messages
from sync.rules import events as e
from sync.rules import takeover
from sync.rules.timing import derive
from tests.sync import pair

TIMES = derive(10)


def left_by_the_last_process(boottime: float) -> None:
    """The process before this one turned at that moment for the last time."""
    serving.renew(None, turn_began=boottime)


def test_a_pause_makes_an_appliance_distrust_what_it_saw() -> None:
    left_by_the_last_process(99.0)
    pulse = failover.Pulse()
    assert pulse.beat(boottime=100.0, monotonic=100.0, times=TIMES) == 0
    assert pulse.beat(boottime=101.0, monotonic=101.0, times=TIMES) == 0
    assert pulse.beat(boottime=131.0, monotonic=131.0, times=TIMES) == 30
    assert pulse.tilt_until == 131.0 + TIMES.tilt


@pytest.mark.parametrize(("last_turn", "stood_still"), [(98.0, 0), (60.0, 40), (5000.0, 100), (None, 100)])
def test_the_time_in_which_the_appliance_was_switched_off_is_a_pause(
    last_turn: float | None, stood_still: float
) -> None:
    """5000.0: before the machine was started again. None: nothing is known."""
    if last_turn is not None:
        left_by_the_last_process(last_turn)
    pulse = failover.Pulse()
    assert pulse.beat(boottime=100.0, monotonic=100.0, times=TIMES) == stood_still
    assert pulse.tilt_until == (100.0 + TIMES.tilt if stood_still else 0.0)


@pytest.mark.django_db(transaction=True)
def test_a_restarted_backup_does_not_count_its_own_absence_as_silence_of_the_primary() -> None:
    """Both were switched off for a minute; this one is up first."""
    silent_primary(automatic=True, silence=60)
    FailoverRelationship.objects.update(peer_host="127.0.0.1", peer_port=9)
    left_by_the_last_process(journal.boottime() - 60)
    cycle.turn(failover.Pulse())
    assert journal.read().state == State.B_IDLE
    silence = journal.boottime() - (PeerView.load().answered_boottime or 0.0)
    assert silence < 30


def silent_primary(*, automatic: bool, silence: float) -> None:
    """This appliance is a synchronised backup whose primary has been silent for so many seconds."""
    pair.backup(takeover_after=10.0, test_ips=[], acknowledged_timeout=10.0)
    settings = BackupSettings.load()
    settings.enable_automatic_failover, settings.accept_no_test_ips = automatic, True
    settings.primary_timeout = dt.timedelta(seconds=10)
    settings.save()
    RoleJournal.objects.update(term=4, own_term=-1, parity=1)
    status = pair.full_status(State.P_ACTIVE, acknowledged_timeout=10.0, takeover_after=None)
    PeerView.objects.update(
        status=status,
        answered_at=timezone.now(),
        outcome=ProbeOutcome.SILENT,
        answered_boottime=journal.boottime() - silence,
        consecutive_failures=5,
        heard_boottime=None,
    )


def events() -> list[str]:
    return list(StatusEvent.objects.order_by("id").values_list("event", flat=True))


@pytest.mark.django_db(transaction=True)
def test_the_count_down_is_told_once_and_then_the_role_is_taken() -> None:
    silent_primary(automatic=True, silence=4)
    failover.consider(failover.Pulse(), stood_still=0)
    failover.consider(failover.Pulse(), stood_still=0)
    assert events().count("failover.count_down") == 1
    assert journal.read().state == State.B_IDLE
    PeerView.objects.update(answered_boottime=journal.boottime() - 11)
    failover.consider(failover.Pulse(), stood_still=0)
    assert journal.read().state == State.P_ACTIVE
    assert journal.read().own_term == 5
    assert [event for event in events() if event.startswith("role.")] == ["role.19", "role.20"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("calls_as", "can_serve", "becomes"),
    [
        (State.P_ACTIVE, True, State.B_IDLE),
        (State.P_DRAINING, True, State.B_IDLE),
        (State.P_UNCONFIRMED, False, State.P_ACTIVE),
        (State.P_UNCONFIRMED, True, State.B_IDLE),
    ],
)
def test_a_primary_that_calls_and_says_that_it_cannot_serve_is_taken_over(
    calls_as: State, can_serve: bool, becomes: State
) -> None:
    """Its web server hangs, so it answers nobody; but its keeper lives, and has given the role up.

    One that is well again serves as soon as it is answered: to take over after that would make two that serve.
    """
    silent_primary(automatic=True, silence=11)
    said = pair.full_status(calls_as, acknowledged_timeout=10.0, takeover_after=None, can_serve=can_serve)
    role_changes.answer_status(messages.read(messages.Status, json.loads(json.dumps(said))))
    failover.consider(failover.Pulse(), stood_still=0)
    assert journal.read().state == becomes


@pytest.mark.django_db(transaction=True)
def test_a_primary_that_is_answered_while_the_role_is_being_taken_hears_of_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answer "I am backup" lets a primary that is well again serve: it must not be given and then be untrue."""
    silent_primary(automatic=True, silence=11)
    said = pair.full_status(State.P_UNCONFIRMED, acknowledged_timeout=10.0, takeover_after=None)
    heard: list[messages.Status] = []
    tried, is_taken = threading.Event(), threading.Event()

    def call() -> None:
        message = messages.read(messages.Status, json.loads(json.dumps(said)))
        try:
            heard.append(role_changes.answer_status(message))
        except OperationalError:  # SQLite in memory refuses where it would wait on a disk
            tried.set()
            is_taken.wait(30)
            heard.append(role_changes.answer_status(message))
        finally:
            tried.set()
            connection.close()

    caller, judged, judge = threading.Thread(target=call), [0], takeover.judge

    def judge_and_be_called(facts: takeover.TakeoverFacts) -> takeover.Decision:
        judged[0] += 1
        found = judge(facts)
        if judged[0] == 2:  # the last one
            caller.start()
            tried.wait(0.5)
        return found

    monkeypatch.setattr(takeover, "judge", judge_and_be_called)
    failover.consider(failover.Pulse(), stood_still=0)
    is_taken.set()
    caller.join(30)
    assert journal.read().state == State.P_ACTIVE
    assert [status.header.state for status in heard] == [State.P_ACTIVE]


@pytest.mark.django_db(transaction=True)
def test_with_automatic_failover_off_it_only_says_what_it_would_have_done() -> None:
    silent_primary(automatic=False, silence=11)
    failover.consider(failover.Pulse(), stood_still=0)
    failover.consider(failover.Pulse(), stood_still=0)
    assert journal.read().state == State.B_IDLE
    assert events().count("failover.shadow") == 1
    would = StatusEvent.objects.get(event="failover.shadow")
    assert would.evidence["automatic failover"] == "NO", "as it was, not as it would have had to be"
    StatusEvent.objects.filter(pk=would.pk).update(at=would.at - dt.timedelta(seconds=90))
    PeerView.objects.update(outcome="answered", consecutive_failures=0, answered_boottime=journal.boottime())
    failover.consider(failover.Pulse(), stood_still=0)
    sentence = StatusEvent.objects.get(event="failover.shadow_over").sentence
    assert f"would have taken over at {would.at - dt.timedelta(seconds=90):%H:%M:%S} UTC" in sentence
    assert "the primary was back 90" in sentence


@pytest.mark.django_db(transaction=True)
def test_a_backup_whose_shared_ip_has_no_link_does_not_take_over() -> None:
    silent_primary(automatic=True, silence=11)
    SharedIP.objects.create(address="192.0.2.52")
    IPConfig.objects.create(address="192.0.2.52", prefix_length=24, interface="nowhere0", enabled=False)
    failover.consider(failover.Pulse(), stood_still=0)
    assert journal.read().state == State.B_IDLE
    assert "shared IP has no link" in PeerView.load().decision["reason"]


@pytest.mark.django_db(transaction=True)
def test_the_guard_says_that_nobody_was_asked_about_the_shared_ip() -> None:
    silent_primary(automatic=True, silence=4)
    failover.consider(failover.Pulse(), stood_still=0)
    (clause,) = [clause for clause in PeerView.load().decision["clauses"] if clause["name"] == "shared IP free"]
    assert clause["value"] == "not asked: this appliance does not move addresses"


def program(folder: Path, name: str, status: int) -> str:
    """A command that notes what it was told, one line a run, and ends with this status."""
    code = (
        "import json, os, sys; told = {k: os.environ.get(k) for k in ('PAIR_ID', 'NODE', 'PEER_HOST', 'TERM', 'TTL')};"
        f"open({str(folder / name)!r}, 'a').write(json.dumps(told) + chr(10)); sys.exit({status})"
    )
    return shlex.join([sys.executable, "-c", code])


def runs(folder: Path, name: str) -> list[dict[str, str]]:
    """What each run of the program was told."""
    file = folder / name
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def turn_until(pulse: failover.Pulse, *states: State) -> None:
    """Turns follow each other, overlapping as they may, until this appliance is in one of the states."""
    deadline = time.monotonic() + 20
    while journal.read().state not in states:
        assert time.monotonic() < deadline
        failover.consider(pulse, stood_still=0)
        time.sleep(0.02)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("fence", "state"), [(0, State.P_ACTIVE), (1, State.B_IDLE), (None, State.B_IDLE)], ids=["confirmed", "no", "gone"]
)
def test_the_role_is_taken_only_when_the_fencing_command_confirms(
    settings: Settings, tmp_path: Path, fence: int | None, state: State
) -> None:
    settings.FENCING_COMMAND = "/nowhere/fence" if fence is None else program(tmp_path, "fence", fence)
    silent_primary(automatic=True, silence=11)
    pulse = failover.Pulse()
    failover.consider(pulse, stood_still=0)
    assert StatusEvent.objects.filter(event="role.19").exists(), "it has begun"
    turn_until(pulse, State.P_ACTIVE, State.B_IDLE)
    assert journal.read().state == state
    for _ in range(3):
        failover.consider(pulse, stood_still=0)
    if fence is not None:
        (told,) = runs(tmp_path, "fence")
        assert (told["TERM"], told["PEER_HOST"]) == ("5", "10.0.4.12")
    assert journal.read().state == state


@pytest.mark.django_db(transaction=True)
def test_a_take_over_that_was_given_up_is_tried_again_after_half_a_minute(settings: Settings, tmp_path: Path) -> None:
    settings.FENCING_COMMAND = program(tmp_path, "fence", 1)
    silent_primary(automatic=True, silence=11)
    pulse = failover.Pulse()
    failover.consider(pulse, stood_still=0)
    turn_until(pulse, State.B_IDLE)
    line = StatusEvent.objects.get(event="role.21")
    assert "did not confirm" in line.sentence
    assert line.evidence["fenced"] == "NO (refused)"
    left = pulse.back_off_until - journal.boottime()
    assert 25 < left <= 30
    failover.consider(pulse, stood_still=0)
    decision = PeerView.load().decision
    assert decision["verdict"] == "count_down"
    assert 25 < decision["seconds_left"] <= 30
    pulse.back_off_until = 0.0
    failover.consider(pulse, stood_still=0)
    turn_until(pulse, State.B_IDLE)
    assert len(runs(tmp_path, "fence")) == 2
    assert pulse.back_off_until - journal.boottime() > 55, "the same reason again: twice as long"


@pytest.mark.django_db(transaction=True)
def test_nobody_is_fenced_or_asked_while_automatic_failover_is_off(settings: Settings, tmp_path: Path) -> None:
    settings.FENCING_COMMAND = program(tmp_path, "fence", 0)
    settings.WITNESS_COMMAND = program(tmp_path, "witness", 0)
    silent_primary(automatic=False, silence=11)
    pulse = failover.Pulse()
    for _ in range(3):
        failover.consider(pulse, stood_still=0)
    assert events().count("failover.shadow") == 1
    assert pulse.attempt is None
    assert runs(tmp_path, "fence") == runs(tmp_path, "witness") == []


@pytest.mark.django_db(transaction=True)
def test_a_fence_at_work_is_left_alone_when_the_primary_answers(settings: Settings, tmp_path: Path) -> None:
    settings.FENCING_COMMAND = shlex.join([sys.executable, "-c", "import time; time.sleep(1)"])
    silent_primary(automatic=True, silence=11)
    pulse = failover.Pulse()
    failover.consider(pulse, stood_still=0)
    PeerView.objects.update(consecutive_failures=0, answered_boottime=journal.boottime())
    failover.consider(pulse, stood_still=0)
    assert journal.read().state == State.B_IDLE
    assert "answered lately" in StatusEvent.objects.get(event="role.21").sentence


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("status", "state"), [(0, State.P_ACTIVE), (1, State.B_IDLE)], ids=["granted", "refused"])
def test_the_witness_is_asked_before_the_timeout_is_over_and_before_the_fence(
    settings: Settings, tmp_path: Path, status: int, state: State
) -> None:
    settings.WITNESS_COMMAND = program(tmp_path, "witness", status)
    settings.FENCING_COMMAND = program(tmp_path, "fence", 0)
    silent_primary(automatic=True, silence=9.2)
    pulse = failover.Pulse()
    failover.consider(pulse, stood_still=0)
    assert pulse.attempt is not None
    deadline = time.monotonic() + 10
    while pulse.attempt.has_witness is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert journal.read().state == State.B_IDLE, "the timeout is not over"
    PeerView.objects.update(answered_boottime=journal.boottime() - 11)
    failover.consider(pulse, stood_still=0)
    if status == 0:
        turn_until(pulse, State.P_ACTIVE)
    assert journal.read().state == state
    (told, *_) = runs(tmp_path, "witness")
    assert (told["TERM"], told["TTL"], told["PAIR_ID"]) == ("5", "3", "a" * 32)
    assert len(runs(tmp_path, "fence")) == (1 if status == 0 else 0)


@pytest.mark.django_db(transaction=True)
def test_a_primary_that_starts_alone_asks_the_witness(settings: Settings, tmp_path: Path) -> None:
    settings.WITNESS_COMMAND = program(tmp_path, "witness", 1)
    pair.paired(State.P_UNCONFIRMED)
    pulse = failover.Pulse()
    assert failover.with_witness(pulse, e.BootTimedOut()) is None
    deadline = time.monotonic() + 10
    while (event := failover.with_witness(pulse, e.BootTimedOut())) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert event == e.BootTimedOut(has_witness=False)
    settings.WITNESS_COMMAND = ""
    assert failover.with_witness(failover.Pulse(), e.BootTimedOut()) == e.BootTimedOut()


@pytest.mark.django_db(transaction=True)
def test_an_appliance_that_has_just_started_tells_why_it_does_not_take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "boottime", lambda: 5.0)
    silent_primary(automatic=False, silence=4)
    failover.consider(failover.Pulse(), stood_still=0)
    assert "failover.held" in events()


@pytest.mark.django_db(transaction=True)
def test_other_reasons_not_to_take_over_are_told_when_they_change_while_the_primary_is_silent() -> None:
    silent_primary(automatic=True, silence=4)
    BackupSettings.objects.update(enable_backup_operations=False)
    pulse = failover.Pulse()
    for _ in range(3):
        failover.consider(pulse, stood_still=0)
    (line,) = StatusEvent.objects.filter(event="failover.held")
    assert "Backup operations are disabled." in line.sentence
    assert line.evidence["silence"].startswith("NO (4.")
    pulse.tilt_until = journal.boottime() + 30
    failover.consider(pulse, stood_still=0)
    assert StatusEvent.objects.filter(event="failover.held").count() == 1, "not so soon"
    view = PeerView.load()
    PeerView.objects.update(decision=view.decision | {"told_at": journal.boottime() - 11})
    failover.consider(pulse, stood_still=0)
    failover.consider(pulse, stood_still=0)
    assert StatusEvent.objects.filter(event="failover.held").count() == 2
    assert "stood still" in StatusEvent.objects.filter(event="failover.held").order_by("-id")[0].sentence
