"""A small disk for tests that fill it: a file system in memory, on a mount that no other process sees."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_django import Settings

CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 0x4000, 0x40000, 2
FILLER, TRIES = "filler", 100
_state = {"is_alone": False}


@dataclass(frozen=True)
class Small:
    """The folder of a small disk."""

    folder: Path

    def free(self) -> int:
        """Free bytes."""
        return shutil.disk_usage(self.folder).free

    def fill(self, *, leaving: int) -> None:
        """Take everything but so many bytes; whole pages."""
        self.empty()
        with (self.folder / FILLER).open("wb") as file:
            for _ in range(TRIES):  # others may be writing here too
                if (more := self.free() - leaving) <= 0:
                    return
                with suppress(OSError):
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, more)
        raise AssertionError("the disk does not fill up")

    def empty(self) -> None:
        """Give back what was taken."""
        (self.folder / FILLER).unlink(missing_ok=True)


@contextmanager
def small_disk(settings: Settings, *, mib: int, inodes: int = 100_000) -> Iterator[Small]:
    """DATA_DIR, store and staging on a disk of their own, with a ballast of 8 MiB; skipped if none can be made."""
    with mounted(mib, inodes) as small:
        settings.DATA_DIR = small.folder
        settings.BLOB_DIR, settings.STAGING_DIR = small.folder / "blobs", small.folder / "staging"
        settings.BALLAST_MIB, settings.DISK_RESERVE_MIB = 8, 16
        yield small


@contextmanager
def mounted(mib: int, inodes: int) -> Iterator[Small]:
    """A small disk that this process alone sees."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    libc = ctypes.CDLL(None, use_errno=True)
    if not _state["is_alone"]:
        # From now on what this process mounts is seen by it and its children alone.
        if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
            pytest.skip(f"no mounts of its own are allowed here: {os.strerror(ctypes.get_errno())}")
        _state["is_alone"] = True
    folder = Path(tempfile.mkdtemp(prefix="small-disk-"))
    options = f"size={mib}m,nr_inodes={inodes},mode=700".encode()
    if libc.mount(b"small", os.fsencode(folder), b"tmpfs", 0, options):
        pytest.skip(f"no file system can be mounted here: {os.strerror(ctypes.get_errno())}")
    try:
        yield Small(folder)
    finally:
        libc.umount2(os.fsencode(folder), MNT_DETACH)
        folder.rmdir()
