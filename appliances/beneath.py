"""Directories below a root, opened so that no name in the path can lead out of it: no "..", no symlink, no other disk.

The kernel does it in one call (openat2 with RESOLVE_BENEATH); where it cannot, the path is opened name by name.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from django.conf import settings

STAGING = ".failover-sync"  # directly below the root of a folder, for files on their way; never synchronised
MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 4000  # what the kernel takes in one call
_OPENAT2 = 437  # the number of the system call, the same on all machines
_RESOLVE = 0x01 | 0x02 | 0x04 | 0x08  # NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH
_NOREPLACE = 1  # RENAME_NOREPLACE
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_THERE = (errno.ENOSYS, errno.EPERM)  # an old kernel, or a sandbox that knows no such call
_NO_FLAGS = (errno.ENOSYS, errno.EINVAL, errno.EPERM)


class PlaceUnusable(Exception):
    """The folder cannot be used as it lies on this appliance; the text says why."""


class _How(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def name_problem(name: str) -> str:
    """Why this is no name of a file in a directory, "" if it is one.

    Names that differ in case or in Unicode's normal form are different names: the bytes count.
    """
    if name in ("", ".", ".."):
        return "it is no file name"
    if "/" in name or "\0" in name:
        return "a slash or a NUL in it"
    if name.isascii():
        return "it is too long" if len(name) > MAX_NAME_BYTES else ""
    try:
        stored = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return "it cannot be stored"
    if stored.decode("utf-8", "surrogateescape") != name:  # the bytes have another name, which may be a file too
        return "it cannot be stored"
    return "it is too long" if len(stored) > MAX_NAME_BYTES else ""


def path_problem(path: str) -> str:
    """Why this is no path below the root of a folder ("" names the root itself), "" if it is one."""
    if not path:
        return ""
    parts = path.split("/")
    why = next(filter(None, map(name_problem, parts)), "")
    if why:
        return why
    if parts[0] == STAGING:
        return "it belongs to the data-sync"
    return "it is too long" if len(path.encode("utf-8", "surrogateescape")) > MAX_PATH_BYTES else ""


def open_directory(root: int, path: str) -> int:
    """A descriptor of the directory `path` below the one that `root` is open on; "" is the root itself.

    Raises:
        ValueError: not a path below a root.
        OSError: it is not there, not a directory, or a name in the path is a symlink or leads to another disk.
    """
    if why := path_problem(path):
        raise ValueError(f"not a path below a folder: {why}")
    if not path:
        return os.open(".", _DIRECTORY, dir_fd=root)
    how = _How(flags=_DIRECTORY, mode=0, resolve=_RESOLVE)
    opened = _libc().syscall(_OPENAT2, root, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
    if opened >= 0:
        return int(opened)
    number = ctypes.get_errno()
    if number in _NOT_THERE:
        return open_stepwise(root, path)
    raise OSError(number, os.strerror(number), path)


def open_stepwise(root: int, path: str) -> int:
    """As `open_directory`, name by name."""
    disk, opened = os.fstat(root).st_dev, os.open(".", _DIRECTORY, dir_fd=root)
    for name in path.split("/"):
        try:
            below = os.open(name, _DIRECTORY, dir_fd=opened)
        finally:
            os.close(opened)
        opened = below
        if os.fstat(opened).st_dev != disk:
            os.close(opened)
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    return opened


@contextlib.contextmanager
def directory(root: int, path: str) -> Iterator[int]:
    """`open_directory`, closed at the end."""
    opened = open_directory(root, path)
    try:
        yield opened
    finally:
        os.close(opened)


def open_file(parent: int, name: str) -> int:
    """A descriptor to read the regular file `name` in the directory that `parent` is open on.

    Raises:
        OSError: it is not there, or no regular file.
    """
    opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(errno.EINVAL, "not a regular file", name)
    return opened


def rename_new(source: int, staged: str, target: int, name: str) -> None:
    """Give a file its name in another directory, where nothing has that name.

    Raises:
        FileExistsError: something has; nothing was changed.
    """
    renameat2 = getattr(_libc(), "renameat2", None)
    if renameat2 is not None:
        if renameat2(source, os.fsencode(staged), target, os.fsencode(name), _NOREPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in _NO_FLAGS:
            raise OSError(number, os.strerror(number), name)
    with contextlib.suppress(FileNotFoundError):
        os.lstat(name, dir_fd=target)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
    os.rename(staged, name, src_dir_fd=source, dst_dir_fd=target)


def allowed_roots() -> list[Path]:
    """Below which folders an administrator of this appliance may name one."""
    return list(settings.FOLDER_ROOTS)


def place_problem(path: str) -> str:
    """Why a folder cannot lie there on this appliance, "" if it can."""
    try:
        os.close(open_root(path))
    except PlaceUnusable as error:
        return str(error)
    return ""


def open_root(path: str) -> int:
    """A descriptor of the folder that an administrator of this appliance named.

    Raises:
        PlaceUnusable: it is not below one of the allowed roots, not there, or not to be written.
    """
    place = Path(path)
    if not path or "\0" in path or not place.is_absolute() or ".." in place.parts:
        raise PlaceUnusable("Enter an absolute path without “..”.")
    allowed = next((root for root in settings.FOLDER_ROOTS if place.is_relative_to(root) and place != root), None)
    if allowed is None:
        named = ", ".join(map(str, settings.FOLDER_ROOTS))
        raise PlaceUnusable(f"{path} is not below {named}. FOLDER_ROOTS in the environment says what is allowed.")
    data = Path(settings.DATA_DIR)
    if place.is_relative_to(data) or data.is_relative_to(place):
        raise PlaceUnusable(f"{path} and the data folder of this appliance lie within each other.")
    try:
        return _opened(allowed, place)
    except FileNotFoundError as error:
        raise PlaceUnusable(f"{path} is not on this appliance. Make it first: mkdir -p {path}") from error
    except OSError as error:
        raise PlaceUnusable(f"{path} cannot be used: {_reason(error)}") from error


def _opened(allowed: Path, place: Path) -> int:
    """The folder itself may be a disk of its own, so each name is opened alone."""
    opened = os.open(allowed, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in place.relative_to(allowed).parts:
        try:
            below = os.open(name, _DIRECTORY, dir_fd=opened)
        finally:
            os.close(opened)
        opened = below
    if not os.access(".", os.R_OK | os.W_OK | os.X_OK, dir_fd=opened):
        os.close(opened)
        raise PermissionError(errno.EACCES, "the account of this appliance may not read and write there")
    return opened


def _reason(error: OSError) -> str:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "it, or a folder above it, is a symlink or a file."
    return f"{error.strerror}."
