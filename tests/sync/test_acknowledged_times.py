"""The backup takes over by itself only after times that the primary has said it keeps to."""

from __future__ import annotations

import datetime as dt

import pytest

from appliances.choices import State
from appliances.models import BackupSettings
from sync import cycle, failover, journal, probes, serving
from sync.models import PeerView, RoleJournal
from sync.rules import timing
from sync.rules.timing import Entered
from tests.sync import pair
from tests.sync.test_failover import silent_primary


@pytest.mark.django_db(transaction=True)
def test_times_that_do_not_go_together_are_not_acknowledged() -> None:
    pair.paired(State.P_ACTIVE)
    status = pair.full_status(State.B_IDLE, takeover_after=60.0, takeover_times=Entered(isolation=55.0))
    PeerView.objects.update(status=status)
    assert probes.own_status().acknowledged_timeout is None


@pytest.mark.django_db(transaction=True)
def test_times_that_the_primary_has_not_acknowledged_do_not_lead_to_a_take_over() -> None:
    silent_primary(automatic=True, silence=11)
    BackupSettings.objects.update(isolation_time=3.2)
    failover.consider(failover.Pulse(), stood_still=0)
    assert journal.read().state == State.P_ACTIVE
    RoleJournal.objects.update(state=State.B_IDLE)
    PeerView.objects.update(status=pair.full_status(State.P_ACTIVE, acknowledged_timeout=60.0, takeover_after=None))
    failover.consider(failover.Pulse(), stood_still=0)
    assert journal.read().state == State.B_IDLE
    assert "not acknowledged" in PeerView.load().decision["reason"]


def wish(**changes: object) -> None:
    """An administrator saves other backup settings."""
    settings = BackupSettings.load()
    for name, value in changes.items():
        setattr(settings, name, value)
    settings.save()


@pytest.mark.django_db(transaction=True)
def test_an_acknowledgement_of_before_automatic_failover_was_off_for_a_while_is_worth_nothing() -> None:
    """The primary may have heard of "off" and no longer watch whether it is cut off, and then the line was cut."""
    silent_primary(automatic=True, silence=11)
    assert probes.is_acknowledged(probes.times())
    wish(enable_automatic_failover=False)
    wish(enable_automatic_failover=True)
    failover.consider(failover.Pulse(), stood_still=0)
    assert journal.read().state == State.B_IDLE
    assert "not acknowledged" in PeerView.load().decision["reason"]
    PeerView.objects.update(status=pair.full_status(State.P_ACTIVE, acknowledged_timeout=10.0))
    failover.consider(failover.Pulse(), stood_still=0)
    assert journal.read().state == State.P_ACTIVE, "it has acknowledged the new announcement"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("changes", "is_acknowledged"),
    [
        ({"primary_timeout": dt.timedelta(seconds=30)}, True),
        ({"data_sync_interval": dt.timedelta(minutes=5)}, True),
        ({"primary_timeout": dt.timedelta(seconds=10)}, True),
        ({"connectivity_test_ips": "192.0.2.1"}, False),
        ({"isolation_time": 3.3}, False),
    ],
)
def test_only_what_asks_more_of_the_primary_has_to_be_acknowledged_anew(
    changes: dict[str, object], is_acknowledged: bool
) -> None:
    """So an administrator may still give a silent primary more time."""
    silent_primary(automatic=True, silence=11)
    wish(**changes)
    assert probes.is_acknowledged(probes.times()) is is_acknowledged


@pytest.mark.django_db(transaction=True)
def test_an_acknowledgement_does_not_outlive_a_time_as_primary() -> None:
    silent_primary(automatic=True, silence=11)
    RoleJournal.objects.update(own_term=5, term=6)
    assert not probes.is_acknowledged(probes.times())


@pytest.mark.django_db(transaction=True)
def test_a_primary_acknowledges_the_announcement_that_it_has_heard() -> None:
    pair.paired(State.P_ACTIVE)
    PeerView.objects.update(status=pair.full_status(State.B_IDLE, takeover_after=60.0, announcement="3.abc"))
    cycle.boot()
    assert probes.own_status().acknowledged == "3.abc"
    PeerView.objects.update(status=pair.full_status(State.B_IDLE, takeover_after=None, announcement="3.abd"))
    assert probes.own_status().acknowledged == ""


@pytest.mark.django_db(transaction=True)
def test_a_primary_acknowledges_no_times_before_its_word_is_bound_by_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backup may take over as soon as it hears it, and no other turn may come to its end before that."""
    pair.paired(State.P_ACTIVE)
    serving.renew(None, turn_began=journal.boottime() - 1)
    heard = pair.full_status(State.B_IDLE, takeover_after=10.0, announcement="3.abc")
    told: list[str] = []

    def hear() -> None:
        PeerView.objects.update(status=heard)
        told.append(probes.own_status().acknowledged)

    monkeypatch.setattr(cycle, "_look", hear)
    began = journal.boottime()
    cycle.turn(failover.Pulse())
    assert told == [""]
    assert probes.own_status().acknowledged == "3.abc"
    now = journal.boottime()
    least = timing.derive(10.0)
    monkeypatch.setattr(journal, "boottime", lambda: now + max(serving.LEAST_SECONDS, least.isolation) + 0.1)
    assert serving.has_run_out(), f"a word of {now - began:.1f} s ago, of the times that this turn has brought"


@pytest.mark.django_db(transaction=True)
def test_a_shorter_timeout_is_acknowledged_once_the_word_is_shorter() -> None:
    pair.paired(State.P_ACTIVE)
    serving.renew(timing.derive(180), turn_began=journal.boottime(), announced="3.abc")
    PeerView.objects.update(status=pair.full_status(State.B_IDLE, takeover_after=10.0, announcement="3.abd"))
    assert probes.own_status().acknowledged_timeout is None
    serving.renew(timing.derive(10), turn_began=journal.boottime(), announced="3.abd")
    assert probes.own_status().acknowledged_timeout == 10.0
