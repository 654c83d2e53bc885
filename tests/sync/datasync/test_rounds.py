"""A data-sync is complete when nothing is left, and a snapshot that nobody reads any more holds nothing up."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from appliances.choices import SyncStatus, SyncTrigger
from appliances.models import SessionEvent
from sync.datasync import marks, snapshots
from sync.models import SyncRun
from tests.fakes import FakePeer
from tests.sync.datasync import world
from tests.sync.datasync.test_pull import There, both_hold_the_same, sync

NO_TIME = "from sync.datasync import export; result, export.SEAL_SECONDS = export.SEAL_SECONDS, {seconds}"
# The clock of the process jumps by a second with each look, so that the time for numbering is over after one batch.
SLOW = """
import itertools, time, types
from sync.datasync import marks
marks.time = types.SimpleNamespace(monotonic=itertools.count().__next__)
"""
QUICK = "import time; from sync.datasync import marks; marks.time = time"
LEFT = (
    "from django.conf import settings; from pathlib import Path; "
    "result = [p.name for p in (Path(settings.DATA_DIR) / 'snapshots').glob('*')]"
)


def test_a_first_data_sync_goes_on_until_the_primary_has_numbered_all_its_rows(peer: FakePeer, there: There) -> None:
    there("events", 3500)
    there("run", SLOW)
    there("run", NO_TIME.format(seconds=5))
    try:
        run = sync(peer, SyncTrigger.FIRST)
    finally:
        there("run", NO_TIME.format(seconds=20.0))
        there("run", QUICK)
    assert run.status == SyncStatus.SUCCESS
    assert peer.asked.count("pull-begin") > 1
    assert SessionEvent.objects.count() == 3500
    assert (run.rows_done, run.rows_total) == (3500, 3500)
    assert SyncRun.objects.count() == 1
    both_hold_the_same(there)


def test_a_primary_that_numbers_nothing_in_time_does_not_keep_the_backup_asking(peer: FakePeer, there: There) -> None:
    sync(peer)
    there("events", 5)
    there("run", NO_TIME.format(seconds=0))
    try:
        assert sync(peer).status == SyncStatus.SUCCESS
    finally:
        there("run", NO_TIME.format(seconds=20.0))
    sync(peer)
    both_hold_the_same(there)


def test_the_next_data_sync_takes_the_place_of_one_whose_backup_died(peer: FakePeer, there: There) -> None:
    there("account", "anna")
    there("run", "from sync.datasync import snapshots; snapshots.create('ab' * 16, [])")
    there("run", "from sync.datasync import snapshots; snapshots.create('cd' * 16, None)")
    sync(peer)
    assert there("run", LEFT) == ["cd" * 16]  # what somebody compares settings with


@pytest.mark.django_db
def test_a_snapshot_that_nobody_has_asked_for_in_an_hour_holds_up_no_numbering(settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    snapshots.create("ab" * 16, [])
    world.events(marks.BATCH_ROWS)
    assert marks.seal_beside(60) == 0
    folder = tmp_path / "snapshots" / ("ab" * 16)
    os.utime(folder, (time.time() - snapshots.KEEP_SECONDS - 1,) * 2)
    assert marks.seal_beside(60) == marks.BATCH_ROWS


def test_a_long_stream_keeps_its_snapshot(settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.DATA_DIR = tmp_path
    snapshots.create("ab" * 16, [])
    folder = tmp_path / "snapshots" / ("ab" * 16)
    monkeypatch.setattr(snapshots, "RENEW_SECONDS", 0.0)
    for _ in snapshots.kept_while(folder.name, [b"1", b"2", b"3"]):
        assert time.time() - folder.stat().st_mtime < 60
        os.utime(folder, (time.time() - 1000,) * 2)
