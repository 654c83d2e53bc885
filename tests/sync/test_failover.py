"""Automatic failover on one appliance: pauses are noticed, verdicts are told once, fencing has to confirm."""

from __future__ import annotations

import datetime as dt
import sys

import pytest
from django.utils import timezone
from pytest_django import Settings

from appliances.choices import State
from appliances.models import BackupSettings, IPConfig, SharedIP
from sync import failover, journal
from sync.models import PeerView, RoleJournal, StatusEvent
from sync.rules.timing import derive
from tests.sync import pair

TIMES = derive(10)


def test_a_pause_makes_an_appliance_distrust_what_it_saw() -> None:
    pulse = failover.Pulse()
    assert pulse.beat(boottime=100.0, monotonic=100.0, times=TIMES) == 0
    assert pulse.beat(boottime=101.0, monotonic=101.0, times=TIMES) == 0
    assert pulse.beat(boottime=131.0, monotonic=131.0, times=TIMES) == 30
    assert pulse.tilt_until == 131.0 + TIMES.tilt


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
def test_with_automatic_failover_off_it_only_says_what_it_would_have_done() -> None:
    silent_primary(automatic=False, silence=11)
    failover.consider(failover.Pulse(), stood_still=0)
    failover.consider(failover.Pulse(), stood_still=0)
    assert journal.read().state == State.B_IDLE
    assert events().count("failover.shadow") == 1


@pytest.mark.django_db(transaction=True)
def test_a_backup_whose_shared_ip_has_no_link_does_not_take_over() -> None:
    silent_primary(automatic=True, silence=11)
    SharedIP.objects.create(address="192.0.2.52")
    IPConfig.objects.create(address="192.0.2.52", prefix_length=24, interface="nowhere0", enabled=False)
    failover.consider(failover.Pulse(), stood_still=0)
    assert journal.read().state == State.B_IDLE
    assert "shared IP has no link" in PeerView.load().decision["reason"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("command", "state"),
    [
        (f"{sys.executable} -c 'raise SystemExit(0)'", State.P_ACTIVE),
        (f"{sys.executable} -c 'raise SystemExit(1)'", State.B_IDLE),
        ("/nowhere/fence", State.B_IDLE),
    ],
    ids=["confirmed", "refused", "missing"],
)
def test_the_role_is_taken_only_when_the_fencing_command_confirms(
    settings: Settings, command: str, state: State
) -> None:
    settings.FENCING_COMMAND = command
    silent_primary(automatic=True, silence=11)
    failover.consider(failover.Pulse(), stood_still=0)
    assert journal.read().state == state


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
def test_a_primary_that_hears_nobody_stops_serving() -> None:
    pair.paired(State.P_ACTIVE)
    status = pair.full_status(State.B_IDLE, acknowledged_timeout=None, takeover_after=10.0, test_ips=["192.0.2.1"])
    long_ago = journal.boottime() - 4
    PeerView.objects.update(status=status, answered_boottime=long_ago, tests={"answered": long_ago})
    failover.consider(failover.Pulse(), stood_still=0)
    assert journal.read().state == State.P_UNCONFIRMED
