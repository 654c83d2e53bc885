"""A recording arrives: its bytes in a file of staging, hashed while they are copied, and sealed once at the end.

1. The row of the upload says what will come; then its file grows, byte by byte, never rewritten.
2. Whatever ends a request, the bytes that have arrived stay; the next request goes on from there.
3. With the last byte the file is made durable, moves into the store, and the recording's row is inserted.

An upload that stands still for too long, after a crash for one, is sealed as an incomplete recording.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import fcntl
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from appliances import blobs, disk, durable, selectors
from appliances.incoming.documents import RecordingGiven
from appliances.models import Recording, SupportSession, Tombstone, Upload

FOLDER = "uploads"

Read = Callable[[int], bytes]  # at most so many bytes of what is sent; b"" at its end
DELETED = "The session of this recording was deleted by the retention meanwhile."


class UploadError(Exception):
    """The upload cannot go on like this; what has arrived stays."""


class Sealed(UploadError):
    """The recording is complete, and is never changed."""


class Gone(UploadError):
    """There is no such upload on this appliance."""


class Busy(UploadError):
    """Another request is sending this recording just now."""


class OtherOffset(UploadError):
    """The bytes do not follow those that are here."""

    def __init__(self, arrived: int) -> None:
        super().__init__(f"{arrived} bytes have arrived: go on from there.")
        self.arrived = arrived


class TooMuch(UploadError):
    """More bytes than the recording was said to have."""


class Cut(UploadError):
    """The request ended before all its bytes had come."""


@dataclass(frozen=True)
class Arrived:
    """How an upload stands: how many bytes are here, and the recording once it is sealed."""

    size_bytes: int
    recording: Recording | None = None


def max_bytes() -> int:
    """The size of the largest recording that is taken in."""
    return int(settings.MAX_UPLOAD_GIB) << 30


def begin(key: uuid.UUID, given: RecordingGiven, length: int | None, account_name: str) -> Upload:
    """An upload of this recording, of which nothing has arrived yet.

    Raises:
        Sealed, blobs.StoreFull
    """
    not_sealed(key)
    check_room(length or 0)
    upload = Upload(
        id=key,
        session_id=given.session_id,
        name=given.name,
        started_at=given.started_at,
        duration=given.duration,
        content_type=given.content_type,
        length=length,
        account_name=account_name,
    )
    with _held(key) as file:
        not_sealed(key)
        file.truncate(0)
        upload.save()
    return upload


def look(key: uuid.UUID) -> tuple[Upload, int]:
    """An upload that is going on, and how many of its bytes have arrived.

    Raises:
        Gone
    """
    upload = Upload.objects.filter(pk=key).first()
    if upload is None:
        raise Gone(f"No upload of a recording {key} is going on here.")
    return upload, _size(key)


def receive(key: uuid.UUID, read: Read, *, offset: int, count: int, length: int | None = None) -> Arrived:
    """So many bytes more have arrived; with the last one of the recording, it is sealed.

    `length` tells how long the recording is, where that was not known at its beginning.

    Raises:
        Sealed, Gone, Busy, OtherOffset, TooMuch: nothing was read.
        Cut, blobs.StoreFull: what had come until then is kept.
    """
    not_sealed(key)
    look(key)
    with _held(key) as file:
        upload, arrived = look(key)
        if offset != arrived:
            raise OtherOffset(arrived)
        if length is not None and upload.length is None:
            upload.length = length
            upload.save(update_fields=["length"])
        _check_length(upload, length, offset + count)
        check_room((upload.length or offset + count) - offset)
        hasher = blake3() if offset == 0 else None
        with _full_disk_named():
            durable.reserve(file.fileno(), upload.length or offset + count)
            try:
                arrived = _copy(file, read, offset, count, hasher)
            finally:
                os.fsync(file.fileno())
        if arrived != upload.length:
            return Arrived(arrived)
        return Arrived(arrived, _seal(file, upload, hasher.hexdigest() if hasher else "", is_incomplete=False))


def discard(key: uuid.UUID) -> None:
    """The upload is given up, and what had arrived is gone.

    Raises:
        Sealed, Gone, Busy
    """
    not_sealed(key)
    look(key)
    with _held(key):
        _drop(Upload(id=key))


def seal_stale(patience: dt.timedelta, stuck: dict[str, str] | None = None) -> int:
    """Uploads that stood still for so long, and those a crash left at their end, are recordings; how many.

    What did not arrive whole is marked incomplete. Of what nothing arrived, nothing is left. A file that the disk does
    not give stops none of the others; it and the reason are added to `stuck`.
    """
    sealed, stuck = 0, {} if stuck is None else stuck
    for upload in list(Upload.objects.all()):
        try:
            with contextlib.suppress(Gone, Busy, blobs.StoreFull):
                sealed += _seal_if_stale(upload.pk, patience)
        except OSError as error:
            stuck[f"the upload {upload.name!r} ({upload.pk})"] = disk.reason(error)
    _remove_orphans(stuck)
    return sealed


def expires_at(key: uuid.UUID) -> dt.datetime:
    """When the upload is sealed as it is unless more arrives."""
    return _last_byte_at(key) + dt.timedelta(seconds=settings.UPLOAD_PATIENCE_SECONDS)


def check_room(size_bytes: int) -> None:
    """Raises StoreFull unless so many bytes fit beside the reserve."""
    if lack := disk.lacks(size_bytes):
        raise blobs.StoreFull(f"The disk of this appliance has no room for the recording: {lack}")


def not_sealed(key: uuid.UUID) -> None:
    """Raises Sealed if the recording is here, or was deleted; Busy if it is being sealed at this moment."""
    finish(key)
    if Recording.objects.filter(pk=key).exists():
        raise Sealed(f"The recording {key} is complete and is never changed.")
    if Tombstone.objects.filter(row_id=key).exists():
        raise Sealed(f"The recording {key} was deleted by the retention, and does not come back.")


def finish(key: uuid.UUID) -> None:
    """A recording that a crash left in the store, before it had its row, has it. Raises Busy."""
    found = Upload.objects.filter(pk=key).first()
    if found is None or not _is_in_store(found, _size(key)):
        return
    with contextlib.suppress(Gone), _held(key):
        upload, size = look(key)
        if _is_in_store(upload, size):
            _finish(upload)


def _is_in_store(upload: Upload, size: int) -> bool:
    """Whether it had moved into the store already; its file, where one is here, was made anew, and is empty."""
    return bool(upload.blob_id) and not size and blobs.has(upload.blob_id)


def _finish(upload: Upload) -> None:
    moved, file = blobs.size(upload.blob_id), _path(upload.pk)
    _record(upload, moved, is_incomplete=moved != upload.length)
    file.unlink(missing_ok=True)


def _check_length(upload: Upload, said: int | None, reached: int) -> None:
    if said is not None and said != upload.length:
        raise TooMuch(f"The recording was said to have {upload.length} bytes, now {said}.")
    if reached > max_bytes():
        raise TooMuch(f"A recording can have at most {settings.MAX_UPLOAD_GIB} GiB.")
    if upload.length is not None and reached > upload.length:
        raise TooMuch(f"The recording was said to have {upload.length} bytes; these would make it {reached}.")


def _copy(file: BinaryIO, read: Read, offset: int, count: int, hasher: blake3 | None) -> int:
    """How many bytes are there afterwards."""
    file.seek(offset)
    left = count
    while left:
        if not (chunk := read(min(blobs.CHUNK_BYTES, left))):
            raise Cut(f"The request ended {left} bytes early.")
        durable.write_all(file, chunk)
        if hasher is not None:
            hasher.update(chunk)
        left -= len(chunk)
    return offset + count


def _seal(file: BinaryIO, upload: Upload, digest: str, *, is_incomplete: bool) -> Recording:
    if _is_session_deleted(upload):
        _drop(upload)
        raise Gone(DELETED)
    size = os.fstat(file.fileno()).st_size
    file.truncate(size)  # gives back the room that was kept for more
    upload.blob_id = digest or _hash(file)
    upload.save(update_fields=["blob_id"])
    blobs.adopt(_path(upload.pk), upload.blob_id)
    return _record(upload, size, is_incomplete=is_incomplete)


def _is_session_deleted(upload: Upload) -> bool:
    return Tombstone.objects.filter(row_id=upload.session_id).exists()


def _drop(upload: Upload) -> None:
    Upload.objects.filter(pk=upload.pk).delete()
    _path(upload.pk).unlink(missing_ok=True)


def _record(upload: Upload, size: int, *, is_incomplete: bool) -> Recording:
    """The row that says so. An incomplete one has a number of its own: the whole may be on the other appliance.

    Raises:
        Gone: the session was deleted meanwhile.
    """
    guid = selectors.this_appliance().guid
    recording = Recording(
        id=uuid.uuid5(upload.pk, f"incomplete on {guid}") if is_incomplete else upload.pk,
        session_id=upload.session_id,
        name=upload.name,
        started_at=upload.started_at,
        duration=upload.duration,
        blob_id=upload.blob_id,
        size_bytes=size,
        content_type=upload.content_type,
        is_incomplete=is_incomplete,
    )
    with transaction.atomic():
        # Held until the recording is there: whoever deletes the session waits, and deletes it with it.
        SupportSession.objects.select_for_update().filter(pk=upload.session_id).first()
        is_deleted = _is_session_deleted(upload)
        if not is_deleted and not Recording.objects.filter(pk=recording.pk).exists():
            recording.save(force_insert=True)
        upload.delete()
    if is_deleted:
        raise Gone(DELETED)
    return recording


def _seal_if_stale(key: uuid.UUID, patience: dt.timedelta) -> int:
    with _held(key) as file:
        upload, size = look(key)
        if _is_in_store(upload, size):
            _finish(upload)
            return 1
        is_whole = size == upload.length
        if not is_whole and timezone.now() - _last_byte_at(key) < patience:
            return 0
        if size and not _is_part_of_whole(upload, file):
            _seal(file, upload, "", is_incomplete=not is_whole)
            return 1
        _drop(upload)
        return 0


def _is_part_of_whole(upload: Upload, file: BinaryIO) -> bool:
    """Whether the whole recording is here, sent to the other appliance after a cut, and begins with these bytes."""
    whole = Recording.objects.filter(pk=upload.pk).first()
    if whole is None or not blobs.has(whole.blob_id):
        return False
    file.seek(0)
    with blobs.open_blob(whole.blob_id) as other:
        while chunk := file.read(blobs.CHUNK_BYTES):
            if other.read(len(chunk)) != chunk:
                return False
    return True


def _hash(file: BinaryIO) -> str:
    hasher = blake3()
    file.seek(0)
    while chunk := file.read(blobs.CHUNK_BYTES):
        hasher.update(chunk)
    return hasher.hexdigest()


def _remove_orphans(stuck: dict[str, str]) -> None:
    """Files that no upload refers to any more: a crash came between."""
    known = {key.hex for key in Upload.objects.values_list("pk", flat=True)}
    for file in _folder().iterdir():
        try:
            age = timezone.now().timestamp() - file.stat().st_mtime
            if file.name not in known and age > settings.UPLOAD_PATIENCE_SECONDS:
                file.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            stuck[f"the left-over upload {file}"] = disk.reason(error)


def _last_byte_at(key: uuid.UUID) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(_path(key).stat().st_mtime, dt.UTC)
    except FileNotFoundError:
        return timezone.now()


def _size(key: uuid.UUID) -> int:
    try:
        return _path(key).stat().st_size
    except FileNotFoundError:
        return 0


def _folder() -> Path:
    folder = Path(settings.STAGING_DIR) / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _path(key: uuid.UUID) -> Path:
    return _folder() / key.hex


@contextlib.contextmanager
def _held(key: uuid.UUID) -> Iterator[BinaryIO]:
    """The file of the upload, which nobody else writes or moves meanwhile; made if it is not there.

    Raises:
        Busy
    """
    with (
        _full_disk_named(),
        open(os.open(_path(key), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b", buffering=0) as file,
    ):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            has_moved = os.fstat(file.fileno()).st_ino != _path(key).stat().st_ino
        except (BlockingIOError, FileNotFoundError):
            has_moved = True
        if has_moved:  # or is being moved: what was opened may be a blob by now
            raise Busy("Another request is sending this recording just now. Try again in some seconds.")
        yield file


@contextlib.contextmanager
def _full_disk_named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in disk.FULL | {errno.EFBIG}:
            raise blobs.StoreFull("The disk of this appliance is full; what has arrived so far is kept.") from error
        raise
