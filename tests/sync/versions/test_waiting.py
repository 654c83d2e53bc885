"""While an old primary waits: a turn only says that its settings are to be compared, a worker does it, and once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_django import Settings

from appliances.choices import State
from appliances.models import FailoverRelationship
from sync import cycle, failover, journal
from sync.models import ConfigurationBackup, PeerView, RoleJournal
from sync.rules.due import Work
from sync.versions import waiting
from tests.sync import pair

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def waits(settings: Settings) -> None:
    """This old primary waits, and its peer serves; no data-sync can be had from it now."""
    settings.ALLOW_LOOPBACK_TARGETS = True
    pair.paired(State.P_SUPERSEDED)
    FailoverRelationship.objects.update(peer_host="127.0.0.1", peer_port=9)
    RoleJournal.objects.update(term=5)
    PeerView.objects.update(status=pair.full_status(State.P_ACTIVE))


@pytest.mark.usefixtures("waits")
def test_a_turn_asks_a_worker_and_does_nothing_of_it_itself() -> None:
    assert Work.COUNT_DIFFERENCES in cycle.turn(failover.Pulse())
    assert not ConfigurationBackup.objects.exists()
    assert PeerView.load().differences == {}


@pytest.mark.usefixtures("waits")
def test_a_comparison_that_fails_or_still_runs_is_not_begun_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting.count_if_due()
    assert set(PeerView.load().differences) == {"asked"}
    assert not waiting.is_due()
    began = journal.boottime()
    later: Callable[[], float] = lambda: began + waiting.AGAIN_SECONDS + 1  # noqa: E731
    monkeypatch.setattr(journal, "boottime", later)
    assert waiting.is_due()


@pytest.mark.usefixtures("waits")
def test_what_was_counted_stands_until_a_head_moves_and_is_forgotten_with_the_wait() -> None:
    PeerView.objects.update(differences={"heads": "0.0 0.0", "objects": 3})
    assert not waiting.is_due()
    RoleJournal.objects.update(head_seq=1)
    assert waiting.is_due()
    RoleJournal.objects.update(state=State.P_ACTIVE, own_term=6, term=6)
    assert not waiting.is_due()
    assert PeerView.load().differences == {}
