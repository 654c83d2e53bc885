"""Recordings arrive: go on after a cut, are sealed once, and are kept as incomplete when nothing more comes."""

from __future__ import annotations

import datetime as dt
import io
import os
import shutil
import time
import uuid
from collections import namedtuple
from pathlib import Path

import pytest
from blake3 import blake3
from django.conf import settings
from pytest_django import Settings

from appliances import blobs, disk
from appliances.incoming import uploads
from appliances.incoming.documents import RecordingGiven
from appliances.models import Recording, Tombstone, Upload

pytestmark = pytest.mark.django_db

NOW = dt.timedelta(0)
DAY = dt.timedelta(days=1)
GIVEN = RecordingGiven(uuid.uuid4(), "talk.webm", dt.datetime(2026, 1, 2, tzinfo=dt.UTC), None, "video/webm")
CONTENT = os.urandom(3_000_001)


def begin(length: int | None = len(CONTENT), key: uuid.UUID | None = None) -> uuid.UUID:
    key = key or uuid.uuid4()
    uploads.begin(key, GIVEN, length, "robot")
    return key


def send(key: uuid.UUID, content: bytes, offset: int = 0, length: int | None = None) -> uploads.Arrived:
    return uploads.receive(key, io.BytesIO(content).read, offset=offset, count=len(content), length=length)


def files() -> list[Path]:
    folder = Path(settings.STAGING_DIR) / uploads.FOLDER
    return list(folder.iterdir()) if folder.exists() else []


def test_with_the_last_byte_the_recording_is_there():
    key = begin()
    recording = send(key, CONTENT).recording
    assert recording == Recording.objects.get(pk=key)
    assert (recording.size_bytes, recording.is_incomplete, recording.name) == (len(CONTENT), False, "talk.webm")
    assert recording.blob_id == blake3(CONTENT).hexdigest()
    assert blobs.verify(recording.blob_id) == len(CONTENT)
    assert not Upload.objects.exists()
    assert files() == []


def test_what_arrived_before_a_cut_stays_and_the_rest_goes_on_from_there():
    key = begin()
    with pytest.raises(uploads.Cut):
        uploads.receive(key, io.BytesIO(CONTENT[:2_000_000]).read, offset=0, count=len(CONTENT))
    assert uploads.look(key)[1] == 2_000_000
    assert not Recording.objects.exists()
    with pytest.raises(uploads.OtherOffset) as refusal:
        send(key, CONTENT)
    assert refusal.value.arrived == 2_000_000
    assert send(key, CONTENT[2_000_000:], 2_000_000).recording is not None
    assert blobs.verify(Recording.objects.get().blob_id) == len(CONTENT)


def test_a_sealed_recording_is_never_begun_again():
    key = begin()
    send(key, CONTENT)
    with pytest.raises(uploads.Sealed):
        begin(key=key)
    with pytest.raises(uploads.Sealed):
        send(key, b"", len(CONTENT))
    assert Recording.objects.count() == 1
    assert files() == []


def test_a_recording_that_is_still_going_on_says_its_length_at_its_end():
    key = begin(None)
    assert send(key, b"one").recording is None
    recording = send(key, b"two", 3, 6).recording
    assert recording is not None
    assert recording.size_bytes == 6


@pytest.mark.parametrize(("content", "length"), [(b"four!", None), (b"", 7)])
def test_more_or_other_than_was_said_is_refused(content: bytes, length: int | None):
    key = begin(4)
    with pytest.raises(uploads.TooMuch):
        send(key, content, 0, length)
    assert send(key, b"four").recording is not None


def test_two_requests_cannot_write_one_recording():
    key = begin(6)

    def read_and_try(size: int) -> bytes:
        with pytest.raises(uploads.Busy):
            send(key, b"second")
        with pytest.raises(uploads.Busy):
            begin(6, key)
        return b"first!"[:size]

    assert uploads.receive(key, read_and_try, offset=0, count=6).recording is not None
    assert b"".join(blobs.iterate(Recording.objects.get().blob_id)) == b"first!"


def test_a_recording_without_content_is_one():
    assert send(begin(0), b"").recording is not None


def test_an_upload_that_stands_still_is_kept_as_incomplete():
    key = begin()
    with pytest.raises(uploads.Cut):
        uploads.receive(key, io.BytesIO(b"half").read, offset=0, count=len(CONTENT))
    assert uploads.seal_stale(DAY) == 0
    assert uploads.seal_stale(NOW) == 1
    recording = Recording.objects.get()
    assert (recording.is_incomplete, recording.size_bytes, recording.session_id) == (True, 4, GIVEN.session_id)
    assert recording.pk != key  # the whole one may come to the other appliance under that number
    assert b"".join(blobs.iterate(recording.blob_id)) == b"half"
    assert (uploads.seal_stale(NOW), Upload.objects.count(), files()) == (0, 0, [])


@pytest.mark.parametrize("is_whole", [False, True])
def test_a_recording_whose_session_was_deleted_meanwhile_goes_with_it(is_whole: bool):
    key = begin(4)
    Tombstone.objects.create(dataset="appliances.SupportSession", row_id=GIVEN.session_id, deleted_at=GIVEN.started_at)
    if is_whole:
        with pytest.raises(uploads.Gone, match="deleted by the retention"):
            send(key, b"four")
    else:
        with pytest.raises(uploads.Cut):
            uploads.receive(key, io.BytesIO(b"fo").read, offset=0, count=4)
        assert uploads.seal_stale(NOW) == 0
    assert (Recording.objects.count(), Upload.objects.count(), files()) == (0, 0, [])


def test_of_what_never_came_nothing_is_left():
    begin()
    assert uploads.seal_stale(NOW) == 0
    assert (Upload.objects.count(), Recording.objects.count(), files()) == (0, 0, [])


@pytest.mark.parametrize("has_moved", [False, True])
def test_a_crash_while_it_was_sealed_leaves_a_whole_recording(has_moved: bool):
    key = begin()
    path = Path(settings.STAGING_DIR) / uploads.FOLDER / key.hex
    path.write_bytes(CONTENT)
    blob_id = blake3(CONTENT).hexdigest()
    Upload.objects.update(blob_id=blob_id)
    if has_moved:
        blobs.adopt(path, blob_id)
    assert uploads.seal_stale(DAY) == 1
    assert (Recording.objects.get(pk=key).is_incomplete, files()) == (False, [])


def test_a_part_of_what_is_here_whole_is_not_kept_beside_it():
    key = begin()
    with pytest.raises(uploads.Cut):
        uploads.receive(key, io.BytesIO(CONTENT[:500]).read, offset=0, count=len(CONTENT))
    whole = blobs.store([CONTENT])
    Recording.objects.create(
        id=key, session_id=uuid.uuid4(), name="a", started_at=GIVEN.started_at, blob_id=whole.blob_id,
        size_bytes=whole.size_bytes,
    )  # fmt: skip
    assert uploads.seal_stale(NOW) == 0
    assert (Recording.objects.count(), Upload.objects.count(), files()) == (1, 0, [])


def test_an_upload_that_was_given_up_is_gone():
    key = begin()
    uploads.discard(key)
    assert files() == []
    with pytest.raises(uploads.Gone):
        uploads.look(key)
    with pytest.raises(uploads.Gone):
        send(key, b"x")
    assert files() == []


def test_a_file_that_no_upload_refers_to_goes_after_the_patience():
    begin()
    lost = files()[0].with_name("0" * 32)
    lost.write_bytes(b"lost")
    uploads.seal_stale(DAY)
    assert lost.exists()
    long_ago = time.time() - settings.UPLOAD_PATIENCE_SECONDS - 1
    os.utime(lost, (long_ago, long_ago))
    uploads.seal_stale(DAY)
    assert not lost.exists()


def test_a_full_disk_is_said_before_anything_is_read(monkeypatch: pytest.MonkeyPatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: usage(1, 1, disk.least_bytes() + (settings.BALLAST_MIB << 20) + 100)
    )
    begin(100)
    with pytest.raises(blobs.StoreFull):
        begin(101)


def test_the_limit_can_be_set(settings: Settings):
    settings.MAX_UPLOAD_GIB = 1
    key = begin(None)
    with pytest.raises(uploads.TooMuch, match="1 GiB"):
        uploads.receive(key, io.BytesIO().read, offset=0, count=(1 << 30) + 1)


def left_by_a_crash() -> uuid.UUID:
    """All its bytes are in the store, and its row is not there yet."""
    key = begin()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uploads, "_record", interrupted)
        with pytest.raises(KeyboardInterrupt):
            send(key, CONTENT)
    assert (uploads.look(key)[1], Recording.objects.exists()) == (0, False)
    return key


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_recording_that_a_crash_left_in_the_store_is_not_begun_again_by_who_goes_on():
    key = left_by_a_crash()
    with pytest.raises(uploads.Sealed):
        send(key, CONTENT[:1000])
    assert (Recording.objects.get().pk, Recording.objects.get().size_bytes) == (key, len(CONTENT))
    assert not Upload.objects.exists()


def test_a_recording_that_a_crash_left_in_the_store_is_not_begun_again_from_the_start():
    key = left_by_a_crash()
    with pytest.raises(uploads.Sealed):
        begin(key=key)
    recording = Recording.objects.get(pk=key)
    assert not recording.is_incomplete
    assert blobs.verify(recording.blob_id) == len(CONTENT)


def test_a_recording_that_a_crash_left_in_the_store_counts_as_complete():
    key = left_by_a_crash()
    uploads.finish(key)
    uploads.finish(key)
    assert Recording.objects.get(pk=key).size_bytes == len(CONTENT)
    assert files() == []
