"""What was deleted by the retention is deleted on both appliances, and never comes back."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from appliances import blob_sweep, blobs
from appliances.choices import Role, SyncStatus, SyncTrigger
from appliances.models import Appliance, Recording, RetentionSettings, SessionEvent, SupportSession, Tombstone
from sync.datasync import brake, marks, pull, retention, snapshots, tidy, tombstones
from sync.errors import SyncError
from sync.models import BrakeStop, RoleJournal, SealedMark, StatusEvent, SyncRun
from tests.fakes import FakePeer
from tests.sync.datasync import world

There = Callable[..., Any]


def sync(peer: FakePeer) -> SyncRun:
    return pull.pull_data(SyncTrigger.SYNC_NOW, client=peer)  # type: ignore[arg-type]


def both_hold(there: There, *names: str) -> None:
    assert world.names_held() == there("names_held") == sorted(names)
    assert world.contents() == there("contents")


def test_the_backup_deletes_what_the_primary_deleted_and_both_agree(peer: FakePeer, there: There) -> None:
    there("whole_session", "old")
    there("whole_session", "new", 5)
    sync(peer)
    both_hold(there, "new", "new", "old", "old")

    deleted = there("expire", 30)

    assert deleted == "1 session with 3 lines of event log and 1 recording (3 bytes)"
    run = sync(peer)
    assert (run.status, run.rows_done, run.rows_sent) == (SyncStatus.SUCCESS, 2, 0)  # the tombstone and the settings
    both_hold(there, "new", "new")
    assert SessionEvent.objects.count() == 3
    run = sync(peer)
    assert (run.status, run.rows_done, run.rows_sent) == (SyncStatus.SUCCESS, 0, 0)


def test_a_recording_alone_is_deleted_on_both(peer: FakePeer, there: There) -> None:
    there("whole_session", "old")
    sync(peer)
    assert there("expire", None, 30) == "1 recording (3 bytes)"
    assert sync(peer).status == SyncStatus.SUCCESS
    both_hold(there, "old")


def test_what_the_backup_deleted_while_it_was_primary_goes_up(peer: FakePeer, there: There) -> None:
    key = there("whole_session", "gone")
    there("whole_session", "stays")
    sync(peer)
    world.delete_session(key)
    run = sync(peer)
    assert (run.status, run.rows_sent) == (SyncStatus.SUCCESS, 1)
    both_hold(there, "stays", "stays")


def test_rows_of_a_deleted_session_that_only_the_peer_has_go_instead_of_moving(peer: FakePeer, there: There) -> None:
    key = there("whole_session", "gone")
    sync(peer)
    there("delete_session", key)
    SessionEvent.objects.create(session_id=uuid.UUID(key), at=world.MOMENT, kind="note", text="late")
    assert sync(peer).status == SyncStatus.SUCCESS
    both_hold(there)
    assert not SessionEvent.objects.exists()


def test_a_deleted_row_does_not_return_from_a_primary_restored_from_an_image(peer: FakePeer, there: There) -> None:
    key = there("whole_session", "gone")
    there("whole_session", "stays")
    sync(peer)
    there("take_image")
    there("delete_session", key)
    sync(peer)
    both_hold(there, "stays", "stays")
    there("restore_image")
    assert there("names_held") == ["gone", "gone", "stays", "stays"]

    assert sync(peer).status == SyncStatus.SUCCESS

    both_hold(there, "stays", "stays")


def test_a_new_backup_gets_the_tombstones_and_only_what_lives(peer: FakePeer, there: There) -> None:
    there("whole_session", "old")
    there("whole_session", "new", 1)
    there("run", "from sync.datasync import marks; marks.seal_all()")
    there("expire", 30)
    assert sync(peer).status == SyncStatus.SUCCESS
    both_hold(there, "new", "new")
    assert Tombstone.objects.count() == 1


def test_both_delete_the_same_and_agree(peer: FakePeer, there: There) -> None:
    key = there("whole_session", "old")
    sync(peer)
    there("delete_session", key)
    world.delete_session(key)
    assert sync(peer).status == SyncStatus.SUCCESS
    both_hold(there)
    assert Tombstone.objects.count() == 2


def test_many_deletions_take_more_than_one_batch(peer: FakePeer, there: There) -> None:
    count = tombstones.BATCH + 5
    there("run", f"from tests.sync.datasync import world\nfor n in range({count}): world.whole_session(str(n))")
    sync(peer)
    assert SupportSession.objects.count() == count
    assert there("expire", 30).startswith(f"{count} sessions")
    with pytest.raises(SyncError, match=f"all {count} support sessions"):
        sync(peer)
    brake.allow(BrakeStop.waiting(Role.BACKUP)[0].fingerprint, "anna")
    assert sync(peer).status == SyncStatus.SUCCESS
    both_hold(there)
    assert {mark.rows for mark in SealedMark.objects.exclude(dataset=Tombstone._meta.label)} == {0}


@pytest.fixture
def alone(transactional_db: None) -> None:
    """One appliance without failover."""
    Appliance.objects.update_or_create(pk=1, defaults={"guid": "1" * 32, "host_name": "a.example.com"})


@pytest.mark.usefixtures("alone")
class TestOneAppliance:
    def test_the_marks_count_what_is_left(self) -> None:
        world.whole_session("old")
        world.whole_session("new", 1)
        marks.seal_all()
        world.expire(30)
        assert {mark.dataset: mark.rows for mark in SealedMark.objects.exclude(dataset=Tombstone._meta.label)} == {
            "appliances.SupportSession": 1,
            "appliances.SessionEvent": 3,
            "appliances.Recording": 1,
        }
        assert StatusEvent.objects.get(event="retention").sentence.startswith("Deleted by the retention settings: 1 ")

    def test_the_sweep_gives_the_bytes_back(self) -> None:
        world.whole_session("old")
        blob_id = Recording.objects.get().blob_id
        world.expire(30)
        assert blobs.has(blob_id)
        assert blob_sweep.sweep(set(), -tidy.GRACE).blobs == 1

    @pytest.mark.parametrize("state", ["b_idle", "p_superseded", "p_unconfirmed"])
    def test_only_the_serving_appliance_deletes(self, state: str) -> None:
        world.whole_session("old")
        RetentionSettings.objects.create(keep_sessions_days=30)
        RoleJournal.load()
        RoleJournal.objects.update(state=state)
        assert not retention.expire()
        assert SupportSession.objects.exists()

    def test_nothing_is_deleted_while_the_peer_pulls(self) -> None:
        world.whole_session("old")
        snapshot = snapshots.new_id()
        snapshots.create(snapshot, [])
        try:
            assert world.expire(30) == "nothing"
        finally:
            snapshots.remove(snapshot)
        assert world.expire(30) != "nothing"

    def test_without_settings_everything_is_kept(self) -> None:
        world.whole_session("old", 30_000)
        assert world.expire(None) == "nothing"

    def test_a_session_that_goes_on_is_kept(self) -> None:
        long_ago = timezone.now() - dt.timedelta(days=99)
        SupportSession.objects.create(started_at=long_ago, account_name="a", customer_name="b")
        assert world.expire(30) == "nothing"
