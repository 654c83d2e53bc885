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
import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Self

from blake3 import blake3
from django.conf import settings

from appliances import durable
from appliances.pieces import PieceReader

CHUNK_BYTES = 1 << 20  # memory needed per stream; larger gains nothing
MAX_BLOB_BYTES = 64 << 30
TOUCHED_AT_ONCE = 500  # so that the sweep, which waits meanwhile, comes to its turn
STAGING_PREFIX = "blob-"
FEW = 16  # blobs that are made durable one by one
_BLOB_ID = re.compile(r"[0-9a-f]{64}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_GONE = frozenset({errno.ENOENT, errno.EIO, errno.EUCLEAN})  # what a disk says of a file that it has lost

Content = bytes | memoryview
Source = IO[bytes] | Iterable[Content]


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


def is_blob_id(value: str) -> bool:
    """Whether `value` has the form of a blob id."""
    return _BLOB_ID.fullmatch(value) is not None


def path(blob_id: str) -> Path:
    """Where a blob of this id lies, whether or not it is there.

    Raises:
        ValueError: not a blob id; no path is built from it.
    """
    return Path(_place(str(settings.BLOB_DIR), blob_id))


def _place(root: str, blob_id: str) -> str:
    """As `path`, where thousands are asked for."""
    if not is_blob_id(blob_id):
        raise ValueError("not a blob id")
    return f"{root}/{blob_id[:2]}/{blob_id[2:]}"


def has(blob_id: str) -> bool:
    """Whether the blob is in the store (its bytes are not read)."""
    return os.path.isfile(path(blob_id))  # False also where the disk cannot tell


def size(blob_id: str) -> int:
    """The size in bytes.

    Raises:
        BlobMissing
    """
    with _missing_named(blob_id):
        return path(blob_id).stat().st_size


def open_blob(blob_id: str) -> BinaryIO:
    """The blob, opened for reading.

    Raises:
        BlobMissing
    """
    with _missing_named(blob_id):
        return path(blob_id).open("rb")


def read_small(blob_id: str, at_most: int) -> bytes | None:
    """The content of a blob of at most so many bytes; None if it is larger.

    Raises:
        BlobMissing
    """
    with _missing_named(blob_id):
        descriptor = os.open(_place(str(settings.BLOB_DIR), blob_id), os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = os.read(descriptor, at_most + 1)
    finally:
        os.close(descriptor)
    return content if len(content) <= at_most else None


def iterate(blob_id: str, start: int = 0, end: int | None = None) -> PieceReader:
    """The bytes of the blob from `start` up to, not including, `end`, in pieces of at most 1 MiB.

    Raises:
        BlobMissing: at the call, not at the first piece.
    """
    return PieceReader(open_blob(blob_id), CHUNK_BYTES, start, end)


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
        with full_disk_named():
            staging.mkdir(mode=0o700, parents=True, exist_ok=True)
            Path(settings.BLOB_DIR).mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder = tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=staging)
        self._waiting: dict[str, str] = {}  # where each is staged
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
        if blob.blob_id != expected_id:
            os.unlink(staged)
            raise _other_bytes(expected_id, blob.blob_id)
        self._waiting[expected_id] = staged
        return blob

    def store_content(self, expected_id: str, content: Content) -> StoredBlob:
        """As `store_verified`, of a small blob whose content is in memory."""
        blob_id = blake3(content).hexdigest()
        if blob_id != expected_id:
            raise _other_bytes(expected_id, blob_id)
        staged = self._next_place()
        with full_disk_named():
            try:
                durable.write_new(staged, content)
            except BaseException:
                Path(staged).unlink(missing_ok=True)
                raise
        self._waiting[blob_id] = staged
        return StoredBlob(blob_id, len(content))

    def take(self, blob_id: str, staged: Path) -> None:
        """Take a file on the file system of the store, whose bytes have this id, into the batch.

        It is where it was until the batch is flushed.
        """
        os.utime(staged)
        self._waiting[blob_id] = str(staged)

    def flush(self) -> None:
        """Put all that waits into the store; durable when this returns.

        Raises:
            StoreFull: what waited is not in the store.
        """
        if not self._waiting:
            return
        with full_disk_named(), guard(fcntl.LOCK_SH):
            root = Path(settings.BLOB_DIR)
            if len(self._waiting) <= FEW:  # else this waited for all that others have written on the file system
                _publish({staged: _place(str(root), blob_id) for blob_id, staged in self._waiting.items()})
            else:
                durable.sync_file_system(Path(self._folder))
                for blob_id, staged in self._waiting.items():
                    _rename(staged, _place(str(root), blob_id))
                durable.sync_file_system(root)
        self._waiting.clear()

    def _next_place(self) -> str:
        self._count += 1
        return f"{self._folder}/{self._count}"

    def _write(self, source: Source, max_bytes: int) -> tuple[str, StoredBlob]:
        staged, hasher, written = self._next_place(), blake3(), 0
        try:
            with (
                full_disk_named(),
                open(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0) as file,
            ):
                for chunk in _chunks(source):
                    written += len(chunk)
                    if written > max_bytes:
                        raise BlobTooLarge(f"larger than {max_bytes} bytes")
                    hasher.update(chunk)
                    durable.write_all(file, chunk)
        except BaseException:
            Path(staged).unlink(missing_ok=True)
            raise
        return staged, StoredBlob(hasher.hexdigest(), written)


def adopt(staged: Path, blob_id: str) -> None:
    """A file on the file system of the store, whose bytes have this id, is the blob; durable when this returns.

    Raises:
        StoreFull: the file is where it was.
    """
    os.utime(staged)
    with full_disk_named(), guard(fcntl.LOCK_SH):
        _publish({str(staged): str(path(blob_id))})


def absent(blob_ids: Iterable[str]) -> set[str]:
    """Which of these are not in the store; the others count as new: a sweep leaves them for now."""
    found, wanted, root = set(), iter(blob_ids), str(settings.BLOB_DIR)
    while part := list(islice(wanted, TOUCHED_AT_ONCE)):
        with guard(fcntl.LOCK_SH):
            for blob_id in part:
                try:
                    os.utime(_place(root, blob_id))
                except OSError as error:
                    if error.errno not in _GONE:
                        raise
                    found.add(blob_id)
    return found


def all_ids() -> Iterator[str]:
    """The ids of all blobs in the store, in no certain order."""
    root = Path(settings.BLOB_DIR)
    for folder in root.iterdir() if root.is_dir() else ():
        if len(folder.name) == 2 and folder.is_dir():
            for file in folder.iterdir():
                if is_blob_id(folder.name + file.name):
                    yield folder.name + file.name


@contextlib.contextmanager
def full_disk_named() -> Iterator[None]:
    """A full disk is a StoreFull."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoreFull("The disk of this appliance is full; nothing was stored.") from error
        raise


def guard(how: int) -> contextlib.AbstractContextManager[None]:
    """Keep the sweep (LOCK_EX) from removing a name that somebody (LOCK_SH) is just renewing."""
    return durable.folder_lock(Path(settings.BLOB_DIR), how)


@contextlib.contextmanager
def _missing_named(blob_id: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise BlobMissing(f"{blob_id} is not in the store of this appliance") from error


def _other_bytes(expected_id: str, blob_id: str) -> BlobCorrupt:
    return BlobCorrupt(f"expected {expected_id}, received bytes of {blob_id}")


def _chunks(source: Source) -> Iterator[Content]:
    read = getattr(source, "read", None)
    if read is None:
        yield from source
        return
    while chunk := read(CHUNK_BYTES):
        yield chunk


def _publish(targets: Mapping[str, str]) -> None:
    """Bring staged files to the disk, and then the names they are given."""
    for staged in targets:
        durable.fsync(Path(staged))
    made = [target for staged, target in targets.items() if _rename(staged, target)]
    folders = {os.path.dirname(target) for target in targets.values()}
    for folder in [*folders, *{os.path.dirname(os.path.dirname(target)) for target in made}]:
        durable.fsync(Path(folder))


def _rename(staged: str, target: str) -> bool:
    """Give the staged file its name; whether its folder had to be made."""
    try:
        os.rename(staged, target)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        os.rename(staged, target)
        return True
    return False
