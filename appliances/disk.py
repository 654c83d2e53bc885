"""How much room the disk has, and what is kept free so that pages, database and role changes work when it is full.

The ballast is a file of zeros in the data folder. When the disk is nearly full it is removed: its room belongs to the
database, the log and the role changes, so `room` never counts it as free, and uploads and data-syncs cannot take it.
It is made again once there is room for it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
BALLAST = "ballast"
MOST_RESERVED_BYTES = 16 << 30  # of a large disk, a twentieth is more than anybody needs
RESERVED_FILES = 1000

log = logging.getLogger(__name__)
_keeping = threading.Lock()


@dataclass(frozen=True)
class Room:
    """What is left of a disk. `free_files`: how many more files it can hold, None where that is not limited."""

    free_bytes: int
    total_bytes: int
    free_files: int | None

    @property
    def reserve_bytes(self) -> int:
        """What a data-sync leaves free: DISK_RESERVE_MIB or a twentieth of the disk, whichever is more."""
        return max(int(settings.DISK_RESERVE_MIB) << 20, min(self.total_bytes // 20, MOST_RESERVED_BYTES))

    def lacks(self, size_bytes: int, files: int, *, reserve_bytes: int) -> str:
        """Why so much does not fit beside the reserve; empty if it does."""
        if self.free_bytes < size_bytes + reserve_bytes:
            beside = f"{_mib(size_bytes)} are needed beside a reserve of" if size_bytes else "there must be at least"
            return f"{_mib(max(self.free_bytes, 0))} are free, {beside} {_mib(reserve_bytes)}."
        if self.free_files is not None and self.free_files < files + RESERVED_FILES:
            return (
                f"{files} files are needed beside a reserve of {RESERVED_FILES}; the disk can hold {self.free_files}."
            )
        return ""


def room() -> Room:
    """What is left of the disk of the data folder; the room of a released ballast is not counted."""
    place = settings.DATA_DIR
    usage, found = shutil.disk_usage(place), os.statvfs(place)
    missing = max(_wanted_bytes() - _held_bytes(), 0)
    return Room(usage.free - missing, usage.total, found.f_favail if found.f_files else None)


def reason(error: OSError) -> str:
    """What the system says is wrong with a file, without its name."""
    return error.strerror or type(error).__name__


def least_bytes() -> int:
    """Below this much free space the disk counts as full: nothing more is taken in."""
    return (int(settings.DISK_RESERVE_MIB) << 20) // 4


def lacks(size_bytes: int = 0) -> str:
    """Why a file of this size does not fit beside what must stay free, empty if it does."""
    return room().lacks(size_bytes, 1, reserve_bytes=least_bytes())


def released() -> str:
    """Says that the ballast is not there, whose room `room` does not count; empty while it is."""
    missing = _wanted_bytes() - _held_bytes()
    if missing <= 0:
        return ""
    return f"The {_mib(missing)} of the ballast were given to the database and the role changes, and are not counted."


def keep_ballast() -> None:
    """Release the ballast while the disk is nearly full, make it while there is room. Cheap; safe to call each second.

    It goes when a quarter is left of what counts as full, so that nothing fails before, and comes back when the disk
    is not full any more.
    """
    if not _keeping.acquire(blocking=False):
        return
    try:
        _keep_ballast()
    finally:
        _keeping.release()


def _keep_ballast() -> None:
    held, wanted, left = _held_bytes(), _wanted_bytes(), room()
    if held and (held != wanted or left.free_bytes < least_bytes() // 4):
        _path().unlink(missing_ok=True)
        log.warning("ballast released", extra={"freed_bytes": held, "free_bytes": max(left.free_bytes, 0)})
    elif wanted and not held and left.free_bytes >= least_bytes():
        try:
            _make(wanted)
        except OSError as error:
            log.warning("ballast not made", extra={"why": str(error)})
        else:
            log.info("ballast made", extra={"size_bytes": wanted})


def _make(size_bytes: int) -> None:
    temporary = _path().with_suffix(".tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size_bytes)
        finally:
            os.close(descriptor)
        temporary.rename(_path())
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _path() -> Path:
    return Path(settings.DATA_DIR) / BALLAST


def _wanted_bytes() -> int:
    return int(settings.BALLAST_MIB) << 20


def _held_bytes() -> int:
    try:
        return _path().stat().st_size
    except FileNotFoundError:
        return 0


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):.0f} MiB" if size_bytes >= 1 << 20 else f"{size_bytes} bytes"
