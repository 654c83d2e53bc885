"""The content-addressed store under the file store and the recordings.

A blob is an immutable file known by the BLAKE3-256 of its content: 64 lower-case hex digits, the only thing a path is
ever built from. A blob appears under its name only when all its bytes are on the disk, so a row that refers to a
stored blob can never point to a half-written file:

    BLOB_DIR/ab/cdef...         the blobs
    STAGING_DIR/blob-*          being written; of no use after a crash

Many blobs are stored faster through a `Batch`: two syncs of the file system in all, instead of two for each blob.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Self

from blake3 import blake3
from django.conf import settings

from appliances import durable

CHUNK_BYTES = 1 << 20  # memory needed per stream; larger gains nothing
MAX_BLOB_BYTES = 64 << 30
STAGING_PREFIX = "blob-"
_BLOB_ID = re.compile(r"[0-9a-f]{64}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

Source = IO[bytes] | Iterable[bytes]


class BlobError(Exception):
    """Something is wrong with a blob."""


class BlobMissing(BlobError):
    """The blob is not in the store of this appliance."""


class BlobCorrupt(BlobError):
    """The bytes are not those of the blob's id."""


class BlobTooLarge(BlobError):
    """The content is larger than allowed."""


class StoreFull(BlobError):
    """The disk is full; nothing was stored."""


@dataclass(frozen=True)
class StoredBlob:
    """A blob that is in the store."""

    blob_id: str
    size_bytes: int


@dataclass(frozen=True)
class Swept:
    """What a sweep removed."""

    blobs: int
    size_bytes: int


def is_blob_id(value: str) -> bool:
    """Whether `value` has the form of a blob id."""
    return _BLOB_ID.fullmatch(value) is not None


def path(blob_id: str) -> Path:
    """Where a blob of this id lies, whether or not it is there.

    Raises:
        ValueError: not a blob id; no path is built from it.
    """
    if not is_blob_id(blob_id):
        raise ValueError("not a blob id")
    return Path(settings.BLOB_DIR) / blob_id[:2] / blob_id[2:]


def has(blob_id: str) -> bool:
    """Whether the blob is in the store (its bytes are not read)."""
    return path(blob_id).is_file()


def size(blob_id: str) -> int:
    """The size in bytes.

    Raises:
        BlobMissing
    """
    try:
        return path(blob_id).stat().st_size
    except FileNotFoundError as error:
        raise BlobMissing(f"{blob_id} is not in the store of this appliance") from error


def open_blob(blob_id: str) -> BinaryIO:
    """The blob, opened for reading.

    Raises:
        BlobMissing
    """
    try:
        return path(blob_id).open("rb")
    except FileNotFoundError as error:
        raise BlobMissing(f"{blob_id} is not in the store of this appliance") from error


class BlobReader:
    """An iterator over the bytes of a blob from `start` up to, not including, `end`; closes itself at the end."""

    def __init__(self, file: BinaryIO, start: int, end: int | None) -> None:
        self._file = file
        self._left = None if end is None else max(0, end - start)
        file.seek(start)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        wanted = CHUNK_BYTES if self._left is None else min(CHUNK_BYTES, self._left)
        chunk = self._file.read(wanted) if wanted and not self._file.closed else b""
        if not chunk:
            self.close()
            raise StopIteration
        if self._left is not None:
            self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def iterate(blob_id: str, start: int = 0, end: int | None = None) -> BlobReader:
    """The bytes of the blob from `start` up to, not including, `end`, in pieces of at most 1 MiB.

    Raises:
        BlobMissing: at the call, not at the first piece.
    """
    return BlobReader(open_blob(blob_id), start, end)


def verify(blob_id: str) -> int:
    """Read the whole blob and return its size.

    Raises:
        BlobMissing
        BlobCorrupt: the stored bytes have another hash.
    """
    hasher, read = blake3(), 0
    with contextlib.closing(iterate(blob_id)) as chunks:
        for chunk in chunks:
            hasher.update(chunk)
            read += len(chunk)
    if hasher.hexdigest() != blob_id:
        raise BlobCorrupt(f"{blob_id} is damaged on the disk of this appliance")
    return read


def store(source: Source, *, max_bytes: int = MAX_BLOB_BYTES) -> StoredBlob:
    """Store a stream (or pieces) of bytes; durable when this returns.

    Raises:
        StoreFull: nothing was stored.
        BlobTooLarge: nothing was stored.
    """
    with Batch() as batch:
        return batch.store(source, max_bytes=max_bytes)


def store_verified(expected_id: str, source: Source, *, max_bytes: int = MAX_BLOB_BYTES) -> StoredBlob:
    """Store bytes that must have this id; durable when this returns. A damaged blob of this id is replaced.

    Raises:
        BlobCorrupt: the bytes have another hash; nothing was stored.
        StoreFull, BlobTooLarge: nothing was stored.
    """
    with Batch() as batch:
        return batch.store_verified(expected_id, source, max_bytes=max_bytes)


class Batch:
    """Stores many blobs with two syncs of the file system. They are in the store when the block has ended well.

    Until then (or until `flush`) they have no name in the store, so that a crash cannot leave an empty file under
    the name of a blob; `holds` tells which ones wait. After an error none of those that wait is stored.
    """

    def __init__(self) -> None:
        staging = Path(settings.STAGING_DIR)
        with _full_disk_named():
            staging.mkdir(mode=0o700, parents=True, exist_ok=True)
            Path(settings.BLOB_DIR).mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=staging))
        self._waiting: dict[str, Path] = {}
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def holds(self, blob_id: str) -> bool:
        """Whether the blob waits in this batch."""
        return blob_id in self._waiting

    def store(self, source: Source, *, max_bytes: int = MAX_BLOB_BYTES) -> StoredBlob:
        """Take a stream (or pieces) of bytes into the batch.

        Raises:
            StoreFull, BlobTooLarge: these bytes were not taken.
        """
        staged, blob = self._write(source, max_bytes)
        self._waiting[blob.blob_id] = staged
        return blob

    def store_verified(self, expected_id: str, source: Source, *, max_bytes: int = MAX_BLOB_BYTES) -> StoredBlob:
        """Take bytes that must have this id into the batch.

        Raises:
            BlobCorrupt: they have another hash.
            StoreFull, BlobTooLarge: as for `store`. In each case these bytes were not taken.
        """
        path(expected_id)  # refuses what is not an id
        staged, blob = self._write(source, max_bytes)
        return self._accept(expected_id, staged, blob)

    def flush(self) -> None:
        """Put all that waits into the store; durable when this returns.

        Raises:
            StoreFull: what waited is not in the store.
        """
        if not self._waiting:
            return
        with _full_disk_named(), _guard(fcntl.LOCK_SH):
            if len(self._waiting) == 1:
                self._publish_one()
            else:
                durable.sync_file_system(self._folder)
                for blob_id, staged in self._waiting.items():
                    _rename(staged, path(blob_id))
                durable.sync_file_system(Path(settings.BLOB_DIR))
        self._waiting.clear()

    def _publish_one(self) -> None:
        [(blob_id, staged)] = self._waiting.items()
        _publish(staged, path(blob_id))

    def _accept(self, expected_id: str, staged: Path, blob: StoredBlob) -> StoredBlob:
        if blob.blob_id != expected_id:
            staged.unlink()
            raise BlobCorrupt(f"expected {expected_id}, received bytes of {blob.blob_id}")
        self._waiting[expected_id] = staged
        return blob

    def _next_path(self) -> Path:
        self._count += 1
        return self._folder / str(self._count)

    def _write(self, source: Source, max_bytes: int) -> tuple[Path, StoredBlob]:
        staged, hasher, written = self._next_path(), blake3(), 0
        try:
            with (
                _full_disk_named(),
                open(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0) as file,
            ):
                for chunk in _chunks(source):
                    written += len(chunk)
                    if written > max_bytes:
                        raise BlobTooLarge(f"larger than {max_bytes} bytes")
                    hasher.update(chunk)
                    durable.write_all(file, chunk)
        except BaseException:
            staged.unlink(missing_ok=True)
            raise
        return staged, StoredBlob(hasher.hexdigest(), written)


def adopt(staged: Path, blob_id: str) -> None:
    """A file on the file system of the store, whose bytes have this id, is the blob; durable when this returns.

    Raises:
        StoreFull: the file is where it was.
    """
    os.utime(staged)
    with _full_disk_named(), _guard(fcntl.LOCK_SH):
        _publish(staged, path(blob_id))


def touch(blob_id: str) -> None:
    """Make the blob count as new, so that a sweep leaves it until a row refers to it.

    Raises:
        BlobMissing
    """
    with _guard(fcntl.LOCK_SH):
        try:
            os.utime(path(blob_id))
        except FileNotFoundError as error:
            raise BlobMissing(f"{blob_id} is not in the store of this appliance") from error


def all_ids() -> Iterator[str]:
    """The ids of all blobs in the store, in no certain order."""
    root = Path(settings.BLOB_DIR)
    for folder in root.iterdir() if root.is_dir() else ():
        if len(folder.name) == 2 and folder.is_dir():
            for file in folder.iterdir():
                if is_blob_id(folder.name + file.name):
                    yield folder.name + file.name


def sweep(referenced: Collection[str], grace: dt.timedelta) -> Swept:
    """Remove the blobs that no row refers to and that are older than `grace`, and what crashes left in staging.

    A blob is stored before the row that refers to it; `grace` must be longer than the time between the two.
    """
    oldest_kept = time.time() - grace.total_seconds()
    count = freed = 0
    for blob_id in all_ids():
        if blob_id in referenced:
            continue
        with _guard(fcntl.LOCK_EX), contextlib.suppress(FileNotFoundError):
            found = path(blob_id).stat()
            if found.st_mtime < oldest_kept:
                path(blob_id).unlink()
                count, freed = count + 1, freed + found.st_size
    for folder in Path(settings.STAGING_DIR).glob(f"{STAGING_PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):
            if folder.stat().st_mtime < oldest_kept:
                shutil.rmtree(folder, ignore_errors=True)
    return Swept(count, freed)


def _guard(how: int) -> contextlib.AbstractContextManager[None]:
    """Keep the sweep (LOCK_EX) from removing a name that somebody (LOCK_SH) is just renewing."""
    return durable.folder_lock(Path(settings.BLOB_DIR), how)


@contextlib.contextmanager
def _full_disk_named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoreFull("The disk of this appliance is full; nothing was stored.") from error
        raise


def _chunks(source: Source) -> Iterator[bytes]:
    read = getattr(source, "read", None)
    if read is None:
        yield from source
        return
    while chunk := read(CHUNK_BYTES):
        yield chunk


def _publish(staged: Path, target: Path) -> None:
    durable.fsync(staged)
    made_folder = _rename(staged, target)
    durable.fsync(target.parent)
    if made_folder:
        durable.fsync(target.parent.parent)


def _rename(staged: Path, target: Path) -> bool:
    """Give the staged file its name; whether its folder had to be made."""
    made = not target.parent.exists()
    target.parent.mkdir(mode=0o700, exist_ok=True)
    staged.rename(target)
    return made
