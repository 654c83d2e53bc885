"""Housekeeping gives disk space back, and never what a data-sync still needs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from appliances import blobs
from appliances.choices import BackupReason, SyncStatus, SyncTrigger
from sync import tasks
from sync.datasync import backups, lease, snapshots
from sync.errors import SyncRefused
from tests.sync.datasync import world

pytestmark = pytest.mark.django_db

DAY = 24 * 3600.0


@pytest.fixture(autouse=True)
def own_data_folder(settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def unreferenced(seconds: float, content: bytes = b"old") -> str:
    blob = blobs.store([content])
    age(blobs.path(blob.blob_id), seconds)
    return blob.blob_id


def test_a_file_that_nothing_refers_to_goes_after_a_day_and_the_others_stay() -> None:
    gone, young = unreferenced(DAY + 60), unreferenced(DAY - 60, b"young")
    kept = [world.store_file("a.txt", b"file"), world.recording("r", b"recording")]
    for blob_id in kept:
        age(blobs.path(blob_id), 10 * DAY)
    tasks.housekeeping()
    assert sorted(blobs.all_ids()) == sorted([*kept, young])
    assert not blobs.has(gone)


def test_nothing_goes_while_a_data_sync_runs() -> None:
    blob_id = unreferenced(2 * DAY)
    run = lease.claim(SyncTrigger.FIRST)
    tasks.housekeeping()
    assert blobs.has(blob_id)
    lease.end(run, SyncStatus.SUCCESS)
    tasks.housekeeping()
    assert not blobs.has(blob_id)


def test_nothing_goes_on_the_primary_while_the_backup_reads_a_snapshot() -> None:
    blob_id, snapshot_id = unreferenced(2 * DAY), snapshots.new_id()
    snapshots.create(snapshot_id, [])
    tasks.housekeeping()
    assert blobs.has(blob_id)
    snapshots.remove(snapshot_id)
    tasks.housekeeping()
    assert not blobs.has(blob_id)


def test_a_snapshot_that_nobody_asked_for_within_a_day_goes(tmp_path: Path) -> None:
    snapshot_id = snapshots.new_id()
    snapshots.create(snapshot_id, [])
    age(tmp_path / "snapshots" / snapshot_id, DAY + 60)
    tasks.housekeeping()
    with pytest.raises(SyncRefused):
        snapshots.folder(snapshot_id)


def test_the_age_of_a_snapshot_begins_anew_whenever_it_is_asked_for(tmp_path: Path) -> None:
    snapshot_id = snapshots.new_id()
    snapshots.create(snapshot_id, [])
    age(tmp_path / "snapshots" / snapshot_id, DAY - 60)
    snapshots.limits(snapshot_id)
    assert time.time() - (tmp_path / "snapshots" / snapshot_id).stat().st_mtime < 60


def test_nothing_goes_while_a_configuration_backup_cannot_be_read() -> None:
    """It may name a file that nothing else does; one that is gone for good names none."""
    blob_id = unreferenced(2 * DAY)
    backup = backups.save(BackupReason.BY_HAND)
    place = backups.path_of(backup)
    place.unlink()
    place.mkdir()  # to read it is an error of the disk, as far as a test can have one
    tasks.housekeeping()
    assert blobs.has(blob_id)
    place.rmdir()
    tasks.housekeeping()
    assert not blobs.has(blob_id)
