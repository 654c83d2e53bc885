"""Make what was written survive a power cut."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO


def fsync(place: Path) -> None:
    """Bring one file, or the names in one folder, to the disk."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file_system(place: Path) -> None:
    """Bring everything written so far on the file system of `place` to the disk."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        os.sync()
        return
    descriptor = os.open(place, os.O_RDONLY)
    try:
        if syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


def write_all(file: IO[bytes], content: bytes) -> None:
    """Write every byte to an unbuffered file, which may take fewer at a time."""
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


@contextlib.contextmanager
def folder_lock(folder: Path, how: int) -> Iterator[None]:
    """Hold a lock (`fcntl.LOCK_SH` or `LOCK_EX`) on a folder, which is made if it is not there; waits for it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
