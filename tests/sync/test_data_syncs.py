"""The history of data-syncs: both kinds, their figures, the chart, and the files that were damaged."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from appliances.choices import FileProblem, RepairState, SyncStatus, SyncTrigger
from appliances.models import Account
from sync.models import DamagedFile, FileScrub, ServedSync, SyncRun
from sync.views import chart
from tests.sync import pair

pytestmark = pytest.mark.django_db
PAGE = "/login/management/failover/data-syncs/"
NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)


def run(minutes: float, seconds: float = 2, **fields: Any) -> SyncRun:
    """A data-sync that began so many minutes before NOW and took so many seconds."""
    at = NOW - dt.timedelta(minutes=minutes)
    values = {"trigger": SyncTrigger.INTERVAL, "status": SyncStatus.SUCCESS, "started_at": at, **fields}
    return SyncRun(finished_at=at + dt.timedelta(seconds=seconds), reflects_at=at, **values)


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(Account.objects.create_superuser("anna", password="x"))
    return client


def served(**fields: Any) -> ServedSync:
    values = {"trigger": SyncTrigger.INTERVAL, "status": SyncStatus.SUCCESS, "finished_at": timezone.now(), **fields}
    return ServedSync.objects.create(id=uuid.uuid4(), **values)


def test_the_chart_shows_how_long_each_took_and_how_far_the_backup_was_behind() -> None:
    runs = [run(300, 10, rows_done=5), run(200, 1), run(100, 40, status=SyncStatus.FAILED), run(10, 2)]
    drawn = chart.draw(runs, run(26 * 60), NOW, 24)
    assert [bar.style for bar in drawn.bars] == ["moved", "idle", "bad", "idle"]
    assert max(drawn.bars, key=lambda bar: bar.height).style == "bad"
    assert drawn.longest == "40 s"
    assert drawn.furthest == "21 h"  # until the first of these ended: the one before began 26 h ago
    assert "4 data-syncs, 1 of them not successful" in drawn.description
    places = [float(pair.split(",")[0]) for pair in drawn.line.split()]
    assert places == sorted(places)
    assert places[0] == 0.0
    assert places[-1] == chart.BREADTH


def test_a_month_of_data_syncs_each_minute_is_drawn_with_few_bars() -> None:
    runs = [run(minutes) for minutes in range(43_000, 0, -10)]
    drawn = chart.draw(runs, None, NOW, 720)
    assert len(drawn.bars) <= chart.SLOTS
    assert 4 <= len(drawn.ticks) <= 8
    assert all(0 < float(place.rstrip("%")) < 100 for place, _ in drawn.ticks)


def test_nothing_to_draw_is_no_error() -> None:
    drawn = chart.draw([], None, NOW, 168)
    assert (drawn.bars, drawn.line, drawn.area) == ([], "", "")


@pytest.mark.parametrize("hours", ["6", "24", "168", "720", "x", ""])
def test_the_page_of_the_primary_lists_what_it_handed_out(admin: Client, hours: str) -> None:
    pair.paired()
    served(rows_done=12, blobs_done=1, bytes_done=34_000_000, root="ab" * 32)
    served(status=SyncStatus.REFUSED, message="There is not enough disk space. <b>")
    shown = admin.get(PAGE, {"hours": hours}).content.decode()
    for part in (
        "handed out to the backup",
        "12 rows, 1 file",
        "34.0 MB",
        "both hold abababab",
        "disk space. &lt;b&gt;",
    ):
        assert part in shown
    assert "<svg" in shown
    assert " style=" not in shown


def test_the_page_of_the_backup_lists_what_it_pulled_page_by_page(admin: Client) -> None:
    pair.backup()
    for number in range(30):
        pair.sync_run(status=SyncStatus.SUCCESS, finished_at=timezone.now(), rows_done=7000 + number)
    first, second = (admin.get(PAGE, {"page": page}).content.decode() for page in ("0", "1"))
    assert "7029 rows" in first
    assert "7000 rows" not in first
    assert "Older" in first
    assert "7000 rows" in second
    assert "Newer" in second
    assert "Older" not in second
    assert admin.get(PAGE, {"page": "99999999999"}).status_code == 200


def test_those_that_brought_nothing_can_be_left_out(admin: Client) -> None:
    pair.paired()
    served()
    assert "nothing new" in admin.get(PAGE).content.decode()
    assert "nothing new" not in admin.get(PAGE, {"only": "moved"}).content.decode()


def test_damaged_files_are_listed_and_everything_can_be_verified_now(admin: Client) -> None:
    pair.paired()
    fields = {"problem": FileProblem.MISSING, "state": RepairState.LOST, "detail": "The peer does not have it either."}
    DamagedFile.objects.create(blob_id="cd" * 32, name="manual.pdf", **fields)
    shown = admin.get(PAGE).content.decode()
    for part in ("manual.pdf", "cdcdcdcdcdcd", "On neither appliance", "The peer does not have it either."):
        assert part in shown
    answer = admin.post(f"{PAGE}verify/")
    assert answer.status_code == 302
    assert FileScrub.load().wanted_at is not None


def test_who_may_not_switch_roles_cannot_have_files_verified(client: Client) -> None:
    pair.paired()
    client.force_login(Account.objects.create_user("eve", password="x", is_staff=True))
    assert client.get(PAGE).status_code == 200
    assert client.post(f"{PAGE}verify/").status_code == 403


def test_the_failover_page_tells_how_many_files_are_verified_on_both(admin: Client) -> None:
    from appliances.choices import State
    from sync.models import PeerView
    from sync.rules.verified import Verified

    pair.paired()
    at = (timezone.now() - dt.timedelta(days=3)).timestamp()
    FileScrub.objects.create(counts={"00": 12}, checked={"00": [at, 12, at]})
    said = Verified(files=5, verified=3, oldest_at=at, found=2, repaired=1, waiting=1)
    PeerView.objects.update(status=pair.full_status(State.B_IDLE, verified=said))
    shown = " ".join(admin.get("/login/management/failover/").content.decode().split())
    for part in ("all 12 files verified", "oldest check 3 days ago", "3 of 5 files verified", "1 to be repaired"):
        assert part in shown
