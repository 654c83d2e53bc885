"""The primary is looked for under its own host name: found, not found, or somebody else found there."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings

from appliances.choices import State
from appliances.models import FailoverRelationship
from sync import alerts, journal
from sync.models import PeerView
from tests.sync import pair, peer_server

pytestmark = pytest.mark.django_db


def named(name: str) -> None:
    """The peer says that this is its host name."""
    if not FailoverRelationship.objects.exists():
        pair.backup()
    row = PeerView.objects.get(pk=1)
    row.status = {**row.status, "host_name": name}
    row.save()


def found() -> dict[str, object]:
    return dict(PeerView.load().by_name)


def test_only_a_backup_looks_and_only_when_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not alerts.claim_look_by_name()
    named("site2.example.com")
    assert alerts.claim_look_by_name()
    assert not alerts.claim_look_by_name(), "claimed"
    later = journal.boottime() + 61
    monkeypatch.setattr(journal, "boottime", lambda: later)
    assert alerts.claim_look_by_name()
    named("site3.example.com")
    assert alerts.claim_look_by_name(), "another name is looked for at once"


def test_where_names_stand_in_no_dns_nobody_looks(settings: Settings) -> None:
    named("site2.example.com")
    settings.LOOK_BY_NAME = False
    assert not alerts.claim_look_by_name()


def test_a_primary_does_not_look() -> None:
    pair.paired(State.P_ACTIVE)
    assert not alerts.claim_look_by_name()


def test_a_name_that_leads_nowhere_is_a_failure_and_failures_are_counted() -> None:
    named("no-such-host.invalid")
    for count in (1, 2, 3):
        alerts.claim_look_by_name()
        alerts.look_by_name()
        assert found()["failures"] == count
    assert "no-such-host.invalid" in str(found()["problem"])


def test_the_key_of_who_answers_tells_whether_it_is_the_peer(settings: Settings, tmp_path: Path) -> None:
    settings.ALLOW_LOOPBACK_TARGETS = True
    pem, pin = peer_server.certificate(tmp_path)
    named(peer_server.ADDRESS)
    with peer_server.serving(pem, lambda peer, _: peer.plain(b"{}")) as server:
        FailoverRelationship.objects.update(peer_port=server.server_address[1], peer_pins=[pin])
        alerts.look_by_name()
        assert (found()["failures"], found()["problem"]) == (0, "")
        FailoverRelationship.objects.update(peer_pins=["f" * 64])
        alerts.look_by_name()
        assert "presents another certificate" in str(found()["problem"])
    alerts.look_by_name()
    assert found()["failures"] == 2
