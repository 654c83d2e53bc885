"""Stored files are read again in time, and what is damaged or missing comes from the peer, whichever asks."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from appliances import blobs, disk
from appliances.choices import FileProblem, RateUnit, RepairState, SyncStatus, SyncTrigger
from appliances.models import BackupSettings, FileStoreFile, Recording
from sync import journal, verified
from sync.datasync import damaged, lease, pull, repair, scrub
from sync.errors import PeerSilent
from sync.models import DamagedFile, FileScrub, StatusEvent
from sync.peer.client import PeerClient
from sync.peer.sync_messages import PullFiles
from sync.rules.facts import header_of
from tests.fakes import FakePeer
from tests.sync.datasync import world

There = Callable[..., Any]


def spoil(blob_id: str) -> None:
    """One bit of the stored file is another one, and its time is what it was."""
    path = blobs.path(blob_id)
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    os.utime(path, (before.st_atime, before.st_mtime))


def read_all() -> int:
    """Read all that is due; how many files were read."""
    return scrub.go_on(seconds=60, rate=0)


@pytest.fixture
def mends(peer: FakePeer, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Mends with the help of the peer process, whatever was tried before."""
    monkeypatch.setattr(PeerClient, "to_peer", lambda **_: peer)

    def mend() -> int:
        DamagedFile.objects.update(tried_at=None)
        return repair.mend()

    return mend


@pytest.mark.django_db
def test_every_file_is_read_once_and_again_after_three_days() -> None:
    for number in range(30):
        world.store_file(f"{number}", os.urandom(100))
        world.recording(f"{number}", b"all the same")
    assert read_all() == 31
    found = verified.read()
    assert (found.files, found.verified, found.are_all) == (31, 31, True)
    assert found.oldest_at == pytest.approx(timezone.now().timestamp(), abs=30)
    assert not scrub.is_due()
    assert read_all() == 0

    row = FileScrub.load()
    row.checked = {part: [at - 3 * 86400 - 1, files, new] for part, (at, files, new) in row.checked.items()}
    row.save()
    assert scrub.is_due()
    assert read_all() == 31


@pytest.mark.django_db
def test_verify_now_reads_all_again() -> None:
    world.store_file("a", b"content")
    assert read_all() == 1
    scrub.want()
    assert scrub.is_due()
    assert read_all() == 1
    assert not scrub.is_due()


@pytest.mark.django_db
def test_what_was_stored_since_is_read_soon_and_the_others_are_not_read_again() -> None:
    first = [os.urandom(100) for _ in range(600)]  # some in the same part as those below
    for number, content in enumerate(first):
        os.utime(blobs.path(world.store_file(f"{number}", content)), (1e9, 1e9))
    assert read_all() == 600
    FileScrub.objects.update(counted_at=None)
    assert not scrub.is_due()
    assert read_all() == 0
    at = FileScrub.load().checked["00"][0]

    for number in range(3):
        world.store_file(f"new {number}", os.urandom(100))
    assert not verified.read().are_all or verified.read().files == 600
    FileScrub.objects.update(counted_at=None)  # as after twenty seconds
    assert read_all() == 3
    assert verified.read().are_all
    assert verified.read().files == 603
    assert FileScrub.load().checked["00"][0] == at
    assert read_all() == 0


@pytest.mark.django_db
def test_it_goes_on_where_it_was_after_each_slice_even_within_a_large_file(monkeypatch: pytest.MonkeyPatch) -> None:
    large = world.store_file("large", os.urandom(3_000_000))
    for number in range(5):
        world.store_file(f"{number}", os.urandom(100))
    slices = []
    while scrub.is_due():
        slices.append(scrub.go_on(seconds=0.05, rate=10_000_000))
        assert len(slices) < 200
    assert sum(slices) == 6
    assert len(slices) > 3
    assert verified.read().are_all

    spoil(large)
    scrub.want()
    while scrub.is_due():
        scrub.go_on(seconds=0.05, rate=10_000_000)
    assert [row.blob_id for row in DamagedFile.objects.all()] == [large]


@pytest.mark.django_db
def test_more_files_than_a_batch_in_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrub, "BATCH", 2)
    ids = [f"ab{number:062x}" for number in range(7)] + ["ff" + "1" * 62, "ff" + "2" * 62]
    for blob_id in ids:
        FileStoreFile.objects.create(name=blob_id[:40] + blob_id[-4:], blob_id=blob_id, size_bytes=1)
    read_all()
    assert sorted(DamagedFile.objects.values_list("blob_id", flat=True)) == ids
    assert {row.problem for row in DamagedFile.objects.all()} == {FileProblem.MISSING}


@pytest.mark.django_db
def test_nothing_is_read_while_a_data_sync_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    world.store_file("a", b"content")
    with monkeypatch.context() as patch:
        patch.setattr(pull, "is_running", lambda: True)
        assert read_all() == 0
    assert read_all() == 1


@pytest.mark.django_db
def test_only_one_reads_at_a_time() -> None:
    world.store_file("a", b"content")
    with scrub._alone() as is_alone:
        assert is_alone
        assert read_all() == 0
    assert read_all() == 1


@pytest.mark.parametrize("damage", [spoil, lambda blob_id: blobs.path(blob_id).unlink()], ids=["damaged", "missing"])
@pytest.mark.parametrize("size", [100, 300_000], ids=["small", "large"])
def test_a_file_of_the_backup_is_mended_from_the_primary(
    peer: FakePeer, there: There, mends: Callable[[], int], damage: Callable[[str], None], size: int
) -> None:
    content = os.urandom(size)
    there("recording", "a.txt", content)
    blob_id = world.recording("a.txt", content)
    other = world.recording("b.txt", b"well")
    damage(blob_id)

    assert read_all() == 2
    assert (verified.read().waiting, verified.read().verified) == (1, 1)
    assert mends() == 1
    assert blobs.verify(blob_id) == size
    assert blobs.verify(other)
    found = verified.read()
    assert (found.found, found.repaired, found.waiting, found.lost, found.are_all) == (1, 1, 0, 0, True)
    events = list(StatusEvent.objects.order_by("id").values_list("event", flat=True))
    assert len(events) == 2
    assert events[1] == "file_repaired"
    assert mends() == 0


def test_the_primary_is_mended_from_its_backup(peer: FakePeer, there: There) -> None:
    content = b"x" * 1000
    blob_id = there("recording", "a.txt", content)
    world.recording("a.txt", content)
    there("run", f"from appliances import blobs; blobs.path('{blob_id}').unlink()")
    there("run", "from sync.datasync import scrub; scrub.go_on(60, 0)")
    # The roles make no difference to who answers: here the answer is made in this process, and given to that one.
    question = PullFiles(header=header_of(journal.read()), blobs=[blob_id])
    frames = [bytes(frame) for frame in repair.answer_files(question)]
    assert there("take_files", frames) == 1
    assert there("run", f"from appliances import blobs; result = blobs.verify('{blob_id}')") == 1000


def test_what_neither_has_is_lost_until_somebody_stores_it_again(
    peer: FakePeer, there: There, mends: Callable[[], int]
) -> None:
    content = b"only once"
    blob_id = world.recording("a.txt", content)
    there("recording", "a.txt", content)
    there("run", f"from appliances import blobs; blobs.path('{blob_id}').write_bytes(b'something')")
    missing = world.recording("b.txt", b"never there")
    spoil(blob_id)
    blobs.path(missing).unlink()
    read_all()
    assert mends() == 0
    assert verified.read().lost == 2
    told = verified.lost_sentence()
    assert "a.txt" in told
    assert "b.txt" in told
    mends()  # it is told once
    assert StatusEvent.objects.filter(event="file_lost").count() == 2

    blobs.store([content])
    Recording.objects.filter(name="b.txt").delete()
    mends()
    assert verified.lost_sentence() == ""
    assert set(DamagedFile.objects.values_list("state", flat=True)) == {RepairState.REPAIRED, RepairState.GONE}


def test_what_is_fetched_keeps_to_the_bandwidth_limit(peer: FakePeer, mends: Callable[[], int]) -> None:
    BackupSettings.objects.update_or_create(pk=1, defaults={"bandwidth_limit": 2, "bandwidth_unit": RateUnit.MEGABYTES})
    spoil(world.recording("a", b"content"))
    read_all()
    mends()
    assert peer.pace.rate == 2_000_000  # type: ignore[attr-defined]


def test_a_silent_peer_keeps_it_waiting(peer: FakePeer, mends: Callable[[], int]) -> None:
    blob_id = world.recording("a.txt", b"content")
    spoil(blob_id)
    read_all()

    def silence(path: str) -> None:
        raise PeerSilent("no answer")

    peer.before = silence
    assert mends() == 0
    row = DamagedFile.objects.get()
    assert (row.state, row.detail) == (RepairState.WAITING, "no answer")
    assert repair.mend() == 0
    assert peer.asked == ["pull-files"]


def test_a_file_that_the_asked_one_lacks_is_noted_there(there: There, mends: Callable[[], int]) -> None:
    blob_id = world.recording("a.txt", b"content")
    there("recording", "a.txt", b"content")
    there("run", f"from appliances import blobs; blobs.path('{blob_id}').unlink()")
    spoil(blob_id)
    read_all()
    mends()
    noted = "from sync.models import DamagedFile; result = list(DamagedFile.objects.values_list('blob_id', flat=True))"
    assert there("run", noted) == [blob_id]


@pytest.mark.django_db
def test_only_one_repairs_at_a_time_and_the_pause_begins_after_each_file(
    mends: Callable[[], int], there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    there("recording", "a.txt", b"content")
    blob_id = world.recording("a.txt", b"content")
    blobs.path(blob_id).unlink()
    damaged.note(blob_id, FileProblem.MISSING)
    take, beside = repair._take, []

    def long(*arguments: Any) -> bool:
        DamagedFile.objects.update(tried_at=None)  # as if it were time again while the first is still at it
        beside.append(repair.mend())
        return take(*arguments)

    monkeypatch.setattr(repair, "_take", long)
    assert mends() == 1
    assert beside == [0]
    assert DamagedFile.objects.get().tried_at is not None


@pytest.mark.django_db
@pytest.mark.parametrize("size", [100, 300_000], ids=["small", "large"])
def test_nothing_of_a_file_is_stored_for_which_there_is_no_room(
    mends: Callable[[], int], there: There, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    content = os.urandom(size)
    there("recording", "a.txt", content)
    blob_id = world.recording("a.txt", content)
    blobs.path(blob_id).unlink()
    damaged.note(blob_id, FileProblem.MISSING)
    room = disk.room()
    with monkeypatch.context() as patch:
        patch.setattr(disk, "room", lambda: dataclasses.replace(room, free_bytes=room.reserve_bytes + size // 2))
        assert mends() == 0
    row = DamagedFile.objects.get()
    assert (row.state, blobs.has(blob_id)) == (RepairState.WAITING, False)
    assert "room" in row.detail or "space" in row.detail or "free" in row.detail
    with monkeypatch.context() as patch:
        patch.setattr(blobs, "MAX_BLOB_BYTES", size - 1)
        assert mends() == 0
    assert str(size) in DamagedFile.objects.get().detail
    assert mends() == 1


@pytest.mark.django_db
def test_beside_a_data_sync_a_repair_takes_next_to_nothing_of_the_bandwidth_limit() -> None:
    assert repair._limit() == 0.0
    BackupSettings.objects.update_or_create(pk=1, defaults={"bandwidth_limit": 2, "bandwidth_unit": RateUnit.MEGABYTES})
    assert repair._limit() == 2_000_000.0
    run = lease.claim(SyncTrigger.INTERVAL)
    assert repair._limit() == repair.LEAST_RATE
    lease.end(run, SyncStatus.SUCCESS)
    assert repair._limit() == 2_000_000.0


def test_a_file_without_room_keeps_no_other_from_being_mended(
    mends: Callable[[], int], there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {"the large one": os.urandom(300_000), "a": b"a" * 1000, "b": b"b" * 2000}
    ids = {}
    for name, content in contents.items():
        there("recording", name, content)
        ids[name] = world.recording(name, content)
        blobs.path(ids[name]).unlink()
        damaged.note(ids[name], FileProblem.MISSING)
    room = disk.room()
    with monkeypatch.context() as patch:
        patch.setattr(disk, "room", lambda: dataclasses.replace(room, free_bytes=room.reserve_bytes + 10_000))
        assert mends() == 2
    left = DamagedFile.objects.get(ended_at=None)
    assert (left.name, left.state, blobs.has(left.blob_id)) == ("the large one", RepairState.WAITING, False)
    assert "room" in left.detail or "space" in left.detail or "free" in left.detail
    assert mends() == 1


@pytest.mark.parametrize("size", [100, 300_000], ids=["small", "large"])
def test_a_file_that_the_asked_one_cannot_read_is_noted_there_and_the_others_are_mended(
    there: There, mends: Callable[[], int], size: int
) -> None:
    content = os.urandom(size)
    blob_id = world.recording("a", content)
    there("recording", "a", content)
    other = world.recording("b", b"b")
    there("recording", "b", b"b")
    there("lose_file", blob_id, "unreadable")
    for lost in (blob_id, other):
        blobs.path(lost).unlink()
        damaged.note(lost, FileProblem.MISSING)
    try:
        assert mends() == 1
    finally:
        there("mend_disk")
    row = DamagedFile.objects.get(blob_id=blob_id)
    assert (row.state, blobs.has(other)) == (RepairState.LOST, True)
    noted = "from sync.models import DamagedFile; result = list(DamagedFile.objects.values_list('blob_id', flat=True))"
    assert there("run", noted) == [blob_id]
