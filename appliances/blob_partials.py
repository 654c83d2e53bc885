"""Large blobs that are being received: what has come stays under the blob's id, so that a cut costs only the rest.

    STAGING_DIR/partial-<id>    locked by whoever receives it; of use for a day after a cut or a crash

What lies there is believed as little as what comes: the hash is of all of it, read anew when it is gone on with.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from blake3 import blake3
from django.conf import settings

from appliances import blobs, durable

PREFIX = "partial-"
LEAST_BYTES = 8 << 20  # a smaller blob is received anew
SYNC_BYTES = 8 << 20  # the disk is given so much to write at a time, while the rest comes


class Partial:
    """The part of one blob that has come. Close it, or the next attempt cannot go on with it."""

    def __init__(self, blob_id: str, descriptor: int) -> None:
        self.blob_id = blob_id
        self.place = _place(blob_id)
        self.received = self._begun = 0
        self._hasher = blake3()
        self._file = open(descriptor, "r+b", buffering=0)  # noqa: SIM115  (it lives as long as the partial)

    @classmethod
    def claim(cls, blob_id: str) -> Partial | None:
        """The partial of this blob, made if there is none; None while somebody else receives it."""
        place = _place(blob_id)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_there = os.fstat(descriptor).st_ino == place.stat().st_ino
        except (BlockingIOError, FileNotFoundError):
            is_there = False
        if not is_there:  # somebody receives it, or has just finished
            os.close(descriptor)
            return None
        return cls(blob_id, descriptor)

    @property
    def blob_id_received(self) -> str:
        """The id of a blob of just these bytes."""
        return self._hasher.hexdigest()

    def resume(self, size: int, tick: Callable[[], None]) -> None:
        """Count what has come before of a blob of this size, all but its last byte at most."""
        end = min(os.fstat(self._file.fileno()).st_size, size - 1)
        self._forget()
        while self.received < end and (
            piece := os.pread(self._file.fileno(), min(blobs.CHUNK_BYTES, end - self.received), self.received)
        ):
            self._hasher.update(piece)
            self.received += len(piece)
            tick()

    def begin(self, start: int) -> None:
        """What comes next belongs at `start`.

        Raises:
            ValueError: nothing has come up to there.
        """
        if start not in (0, self.received):
            raise ValueError(f"{self.received} bytes have come, not {start}")
        if start == 0:
            self._forget()
        self._file.truncate(start)
        self._file.seek(start)

    def write(self, piece: blobs.Content) -> None:
        """The next bytes.

        Raises:
            StoreFull: they are not there.
        """
        with blobs.full_disk_named():
            durable.write_all(self._file, piece)
        self._hasher.update(piece)
        self.received += len(piece)
        if self.received - self._begun >= SYNC_BYTES:
            durable.begin_sync(self._file.fileno(), self._begun, self.received - self._begun)
            self._begun = self.received

    def remove(self) -> None:
        """It is of no use."""
        self.place.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Leave it to the next attempt."""
        self._file.close()

    def _forget(self) -> None:
        self.received, self._begun, self._hasher = 0, 0, blake3()


def held(blob_id: str) -> int:
    """How many bytes of this blob have come in earlier attempts."""
    try:
        return _place(blob_id).stat().st_size
    except FileNotFoundError:
        return 0


def all_held() -> dict[str, int]:
    """As `held`, of all blobs of which something has come."""
    found = {}
    for place in Path(settings.STAGING_DIR).glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError):
            found[place.name.removeprefix(PREFIX)] = place.stat().st_size
    return found


def remove_older(oldest_kept: float) -> None:
    """Remove those that nobody went on with since this moment (seconds since 1970)."""
    for place in Path(settings.STAGING_DIR).glob(f"{PREFIX}*"):
        try:
            if place.stat().st_mtime < oldest_kept:
                place.unlink()
        except FileNotFoundError:
            continue


def _place(blob_id: str) -> Path:
    if not blobs.is_blob_id(blob_id):
        raise ValueError("not a blob id")
    return Path(settings.STAGING_DIR) / f"{PREFIX}{blob_id}"
