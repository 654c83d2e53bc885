"""Both sides keep how each data-sync went, and it is good only where both hold the same as read from the tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from appliances.choices import SyncStatus, SyncTrigger
from sync.datasync import apply, pull
from sync.errors import SyncError
from sync.models import ServedSync, SyncRun
from tests.fakes import FakePeer
from tests.sync.pairs import settings_open

There = Callable[..., Any]
NAMES = ("trigger", "status", "code", "message", "root", *ServedSync.FIGURES)
SERVED = "from sync.models import ServedSync; result = list(ServedSync.objects.values({names}))"


def sync(peer: FakePeer, trigger: SyncTrigger = SyncTrigger.SYNC_NOW) -> SyncRun:
    return pull.pull_data(trigger, client=peer)  # type: ignore[arg-type]


def served(there: There) -> list[dict[str, Any]]:
    """What the primary has kept, the newest first."""
    return list(there("run", SERVED.format(names=", ".join(map(repr, NAMES)))))


def test_the_primary_keeps_what_the_backup_reports_and_both_have_the_root(peer: FakePeer, there: There) -> None:
    there("account", "anna")
    there("store_file", "a.txt", b"content")
    there("events", 20)
    run = sync(peer)
    assert served(there) == [{name: getattr(run, name) for name in NAMES}]
    assert len(run.root) == 64

    idle = sync(peer, SyncTrigger.INTERVAL)
    assert idle.root == run.root  # nothing has changed
    newest = served(there)[0]
    assert (newest["status"], newest["trigger"], newest["root"]) == (SyncStatus.SUCCESS, "interval", run.root)


def test_what_the_backup_adds_is_in_the_root_of_both(peer: FakePeer, there: There) -> None:
    from tests.sync.datasync import world

    world.events(1500)
    there("events", 10)
    run = sync(peer)
    assert run.rows_sent == 1500
    assert served(there)[0]["root"] == run.root != ""


def test_a_failed_data_sync_stands_on_the_primary_with_its_reason(peer: FakePeer, there: There) -> None:
    blob_id = there("store_file", "a.txt", b"content")
    there("run", f"from appliances import blobs; blobs.path('{blob_id}').unlink()")
    with pytest.raises(SyncError):
        sync(peer)
    [row] = served(there)
    assert (row["status"], row["code"], row["root"]) == (SyncStatus.REFUSED, "blob_missing", "")
    assert "missing" in row["message"]


def test_a_data_sync_that_is_heard_of_no_more_ends_with_the_next(peer: FakePeer, there: There) -> None:
    there("account", "anna")

    def no_end(path: str) -> None:
        if path == "pull-end":
            raise SyncError("cut")

    peer.before = no_end
    with pytest.raises(SyncError):
        sync(peer)
    assert served(there)[0]["status"] == SyncStatus.RUNNING
    peer.before = lambda path: None
    sync(peer)
    assert [row["status"] for row in served(there)] == [SyncStatus.SUCCESS, SyncStatus.FAILED]


def test_a_data_sync_of_a_backup_that_never_returns_ends_after_an_hour(peer: FakePeer, there: There) -> None:
    there("account", "anna")

    def no_end(path: str) -> None:
        if path == "pull-end":
            raise SyncError("cut")

    peer.before = no_end
    with pytest.raises(SyncError):
        sync(peer)
    tidy = "from sync.datasync import tidy; tidy.tidy()"
    there("run", tidy)
    assert served(there)[0]["status"] == SyncStatus.RUNNING
    there(
        "run",
        "import datetime as dt; from django.utils import timezone; from sync.models import ServedSync\n"
        "ServedSync.objects.update(started_at=timezone.now() - dt.timedelta(hours=2))",
    )
    there("run", tidy)
    assert served(there)[0]["status"] == SyncStatus.RUNNING, "its snapshot is asked for"
    there(
        "run",
        "import os; from django.conf import settings; from pathlib import Path\n"
        "for folder in (Path(settings.DATA_DIR) / 'snapshots').glob('*/'): os.utime(folder, (0, 0))",
    )
    there("run", tidy)
    [row] = served(there)
    assert (row["status"], row["code"]) == (SyncStatus.FAILED, "abandoned")
    assert "not said how" in row["message"]


def test_settings_that_read_back_otherwise_are_no_success(
    peer: FakePeer, there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    there("account", "anna")
    apply_settings = apply.apply_settings

    def spoil(*arguments: Any) -> None:
        apply_settings(*arguments)
        with settings_open(), connection.cursor() as cursor:
            cursor.execute("UPDATE appliances_account SET display_name = 'spoiled'")

    monkeypatch.setattr(apply, "apply_settings", spoil)
    with pytest.raises(SyncError):
        sync(peer)
    run = SyncRun.objects.get()
    assert (run.status, run.code) == (SyncStatus.REFUSED, "root_differs")
    [row] = served(there)
    assert (row["status"], row["code"], row["root"]) == (SyncStatus.REFUSED, "root_differs", "")


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the trigger that spoils the row is one of SQLite")
def test_a_log_row_that_reads_back_otherwise_is_no_success(peer: FakePeer, there: There) -> None:
    there("events", 5)
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TRIGGER spoils AFTER INSERT ON appliances_sessionevent WHEN NEW.text = 'line 3' "
            "BEGIN UPDATE appliances_sessionevent SET text = 'line 8' WHERE id = NEW.id; END"
        )
    try:
        with pytest.raises(SyncError):
            sync(peer)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER spoils")
    assert SyncRun.objects.get().code == "append_only_differs"
