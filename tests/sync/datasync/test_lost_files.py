"""A stored file that is missing, rotten or unreadable on either appliance keeps nothing else from being replicated."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from appliances import blobs, disk
from appliances.choices import FileProblem, RepairState, SyncStatus
from appliances.models import Account, FileStoreFile, Recording, SessionEvent
from sync.datasync import repair
from sync.errors import SyncError, code_of
from sync.models import DamagedFile, StatusEvent, SyncRun
from sync.peer.client import PeerClient
from tests.fakes import FakePeer
from tests.sync.datasync import world
from tests.sync.datasync.test_pull import There, sync

SMALL, LARGE = 1000, 1_200_000
CODES = {"missing": "blob_missing", "rotten": "blob_corrupt", "unreadable": "blob_missing"}
DAMAGES = list(CODES)
NAMES = "from appliances.models import {0}; result = sorted({0}.objects.values_list('{1}', flat=True))"
NOTED = "from sync.models import DamagedFile; result = list(DamagedFile.objects.values_list('blob_id', flat=True))"

FULL = "from appliances import disk; disk.RESERVED = disk.Room.lacks; disk.Room.lacks = lambda *_, **__: 'no room'"
ROOM = "from appliances import disk; disk.Room.lacks = disk.RESERVED"


def sync_that_ends(peer: FakePeer, code: str) -> str:
    """What the data-sync says that ends so."""
    with pytest.raises(SyncError) as told:
        sync(peer)
    run = SyncRun.objects.order_by("-started_at").first()
    assert run is not None
    assert (run.status, run.code, code_of(told.value)) == (SyncStatus.REFUSED, code, code)
    return run.message


def lose(there: There, blob_id: str, how: str) -> None:
    there("lose_file", blob_id, how)


@pytest.fixture(autouse=True)
def _disks_are_well_again(there: There) -> Any:
    yield
    there("mend_disk")
    world.mend_disk()


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("how", DAMAGES)
def test_a_recording_lost_on_the_primary_keeps_nothing_else_from_the_backup(
    peer: FakePeer, there: There, how: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    there("account", "anna")
    there("store_file", "a.txt", b"content")
    there("events", 30)
    there("recording", "before", b"before")
    content = os.urandom(size)
    blob_id = there("recording", "the lost one", content)
    there("recording", "after", b"after" * 100_000)
    world.recording("ours", b"ours")
    lose(there, blob_id, how)

    told = sync_that_ends(peer, "recording_lost")

    assert "the lost one" in told
    assert blob_id in told
    assert "the primary" in told
    assert SessionEvent.objects.count() == 30
    assert FileStoreFile.objects.get().name == "a.txt"
    assert Account.objects.get().username == "anna"
    assert world.contents() == there("contents")
    assert len(world.blob_ids()) == 4
    row = DamagedFile.objects.get()
    assert (row.blob_id, row.problem, row.state) == (blob_id, FileProblem.MISSING, RepairState.WAITING)
    if how != "rotten":  # of which the primary itself learns when it reads the file again
        assert there("run", NOTED) == [blob_id]

    assert sync(peer).status == SyncStatus.SUCCESS  # so does a role change with data-sync go on
    there("mend_disk")
    there("store_again", content)
    monkeypatch.setattr(PeerClient, "to_peer", lambda **_: peer)
    assert repair.mend() == 1
    assert blobs.verify(blob_id) == size


def test_without_a_copy_on_either_side_the_recording_is_told_as_lost(
    peer: FakePeer, there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(there, there("recording", "r", b"r"), "missing")
    sync_that_ends(peer, "recording_lost")
    monkeypatch.setattr(PeerClient, "to_peer", lambda **_: peer)
    assert repair.mend() == 0
    assert DamagedFile.objects.get().state == RepairState.LOST
    assert StatusEvent.objects.filter(event="file_lost").count() == 1


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(("how", "code"), list(CODES.items()))
def test_a_file_of_the_settings_lost_on_the_primary_keeps_only_the_settings_back(
    peer: FakePeer, there: There, how: str, code: str, size: int
) -> None:
    there("account", "anna")
    blob_id = there("store_file", "terms.pdf", os.urandom(size))
    there("events", 30)
    there("recording", "theirs", b"theirs" * 100_000)
    world.recording("ours", b"ours")
    world.events(20)
    lose(there, blob_id, how)

    for _ in range(2):  # and so each time, until somebody mends it
        told = sync_that_ends(peer, code)
        assert "terms.pdf" in told
        assert blob_id in told
        assert not Account.objects.exists()
        assert SessionEvent.objects.count() == 50
        assert sorted(Recording.objects.values_list("name", flat=True)) == ["ours", "theirs"]
        assert there("run", NAMES.format("Recording", "name")) == ["ours", "theirs"]
    if how != "rotten":
        assert there("run", NOTED) == [blob_id]

    there("mend_disk")
    there("run", "from appliances.models import FileStoreFile; FileStoreFile.objects.all().delete()")
    assert sync(peer).status == SyncStatus.SUCCESS
    assert world.contents() == there("contents")


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("how", DAMAGES)
def test_a_recording_that_only_the_backup_had_and_lost_keeps_nothing_else_back(
    peer: FakePeer, there: There, how: str, size: int
) -> None:
    there("account", "anna")
    there("recording", "theirs", b"theirs")
    world.events(20)
    world.recording("before", b"before")
    blob_id = world.recording("the lost one", os.urandom(size))
    world.recording("after", b"after" * 100_000)
    world.lose_file(blob_id, how)

    told = sync_that_ends(peer, "recording_lost_here")

    assert "the lost one" in told
    assert blob_id in told
    assert "the backup" in told
    assert Account.objects.get().username == "anna"
    assert world.contents() == there("contents")
    assert len(there("blob_ids")) == 3
    assert DamagedFile.objects.get().blob_id == blob_id
    assert there("run", NOTED) == [blob_id]
    assert sync(peer).status == SyncStatus.SUCCESS


def test_rows_that_the_primary_has_no_room_for_keep_no_settings_from_being_applied(
    peer: FakePeer, there: There
) -> None:
    there("account", "anna")
    world.recording("ours", b"ours")
    world.events(20)
    there("run", FULL)
    try:
        with pytest.raises(SyncError) as told:
            sync(peer)
    finally:
        there("run", ROOM)
    assert code_of(told.value) == "no_space_there"
    assert Account.objects.get().username == "anna"
    assert there("run", "from appliances.models import SessionEvent; result = SessionEvent.objects.count()") == 20
    assert sync(peer).status == SyncStatus.SUCCESS
    assert world.contents() == there("contents")


def test_recordings_without_room_are_left_to_the_next_time_and_all_else_arrives(
    peer: FakePeer, there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    there("account", "anna")
    there("store_file", "a.txt", b"content")
    there("events", 30)
    there("recording", "large", b"r" * LARGE)
    world.events(20)
    lacks: Callable[..., str] = disk.Room.lacks

    def without_room(room: disk.Room, needed: int, files: int, **how: Any) -> str:
        return "no room" if needed > LARGE else lacks(room, needed, files, **how)

    with monkeypatch.context() as patch:
        patch.setattr(disk.Room, "lacks", without_room)
        sync_that_ends(peer, "no_space")
    assert Account.objects.get().username == "anna"
    assert FileStoreFile.objects.exists()
    assert SessionEvent.objects.count() == 50
    assert not Recording.objects.exists()
    assert not DamagedFile.objects.exists()
    assert sync(peer).status == SyncStatus.SUCCESS
    assert world.contents() == there("contents")
    assert len(world.blob_ids()) == 2
