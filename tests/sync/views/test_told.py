"""Status History in the words of the page."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, replace

import pytest
from django.test import Client
from django.utils import timezone

from appliances.models import Account
from sync import history
from sync.models import StatusEvent
from sync.rules.conflict import Evidence
from sync.rules.facts import Head
from sync.views import told
from tests.sync import pair

pytestmark = pytest.mark.django_db
OWN = Evidence("a", has_site_name=True, initialised=True, head=Head(2, 7), own_term=2, is_normal_primary=True)
NEWEST = dt.datetime(2026, 11, 22, 3, 4, 5, tzinfo=dt.UTC)


def fixed() -> StatusEvent:
    """A line as Fix This Error writes it."""
    peer = replace(OWN, guid="b", has_site_name=False, head=Head(1, 3), newest_session=NEWEST.timestamp())
    compared = [["site1.example.com", asdict(OWN)], ["site2.example.com", asdict(peer)]]
    evidence = {"requested_by": "admin", "criterion": "has_site_name", "compared": compared}
    row = history.record("role_change.fixed", "Fix This Error.", evidence=evidence)
    row.refresh_from_db()
    return row


def test_the_evidence_of_both_stands_side_by_side_with_what_decided() -> None:
    [line] = told.lines([fixed()])
    assert line.facts == [("requested_by", "admin")]
    assert line.names == ["site1.example.com", "site2.example.com"]
    assert [row.name for row in line.compared if row.decides] == ["The site's name leads to it"]
    said = {row.name: (row.own, row.peer) for row in line.compared}
    assert said["The site's name leads to it"] == ("yes", "no")
    assert said["Version of its settings (term.changes)"] == ("2.7", "1.3")
    assert said["Newest session began"] == ("none", "2026-11-22 03:04:05 UTC")


def test_values_are_told_as_people_say_them() -> None:
    evidence = {"ids": ["a", "b"], "none": None, "forced": True, "empty": [], "count": 3}
    [line] = told.lines([history.record("test", "Something happened.", evidence=evidence)])
    assert dict(line.facts) == {"ids": "a, b", "none": "none", "forced": "yes", "empty": "none", "count": "3"}
    assert line.compared == []


def test_the_page_shows_the_newest_lines_and_folds_the_older_ones(client: Client) -> None:
    account = Account.objects.create_superuser("root", password="a long enough phrase")
    client.force_login(account, "django.contrib.auth.backends.ModelBackend")
    pair.paired()
    fixed()
    for number in range(8):
        history.record("test", f"Event {number}.")
    StatusEvent.objects.update(at=timezone.now())
    page = client.get("/login/management/failover/").content.decode()
    newest, older = page.split(" older</summary>")
    assert all(f"Event {number}." in newest for number in range(2, 8))
    assert all(f"Event {number}." in older for number in range(2))
    assert '<tr class="decides"><th scope="row">The site&#x27;s name leads to it' in older
    assert "&#x27;guid&#x27;" not in page
