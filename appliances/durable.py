"""Make what was written survive a power cut."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO

_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE of linux/falloc.h
_WRITE = 2  # SYNC_FILE_RANGE_WRITE of linux/fs.h


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def fsync(place: Path) -> None:
    """Bring one file, or the names in one folder, to the disk."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file_system(place: Path) -> None:
    """Bring everything written so far on the file system of `place` to the disk."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        sync_descriptor(descriptor)
    finally:
        os.close(descriptor)


def sync_descriptor(descriptor: int) -> None:
    """Bring everything written so far on the file system that `descriptor` is open on to the disk."""
    syncfs = getattr(_libc(), "syncfs", None)
    if syncfs is None:
        os.sync()
    elif syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def begin_sync(descriptor: int, start: int, size_bytes: int) -> None:
    """Let the system begin to write this part of a file to the disk, so that a later fsync has less to wait for.

    It promises nothing, and where the system does not know of it, nothing happens.
    """
    begin, offset = getattr(_libc(), "sync_file_range", None), ctypes.c_longlong
    if begin is not None:
        begin(descriptor, offset(start), offset(size_bytes), _WRITE)


def reserve(descriptor: int, size_bytes: int) -> None:
    """The disk keeps room for a file of this size, which stays as long as it is; where it cannot, nothing happens.

    Raises:
        OSError: the room is not there.
    """
    fallocate = getattr(_libc(), "fallocate", None) if size_bytes > 0 else None
    if fallocate is None:
        return
    offset = ctypes.c_longlong
    if fallocate(descriptor, _KEEP_SIZE, offset(0), offset(size_bytes)) != 0:
        number = ctypes.get_errno()
        if number not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise OSError(number, os.strerror(number))


def write_all(file: IO[bytes], content: bytes | memoryview) -> None:
    """Write every byte to an unbuffered file, which may take fewer at a time."""
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def write_new(place: str, content: bytes | memoryview) -> None:
    """Write a new file that only this user may read. With thousands of them, each call counts.

    Raises:
        FileExistsError
    """
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        written = os.write(descriptor, content)
        while written < len(content):
            written += os.write(descriptor, content[written:])
    finally:
        os.close(descriptor)


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


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[bool]:
    """Whether no other process or thread is inside with the same lock file; waits for nobody."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)
