"""The folder in memory for what changes each second and is worth nothing after a restart: it never needs the disk."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import threading
from contextlib import suppress
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (what is made there is a folder of this user, mode 0700, and checked)


def runtime_folder(data_dir: Path, memory: Path = SHARED_MEMORY) -> Path:
    """The folder of the appliance in `data_dir`, named after that and its owner; `data_dir` itself without a memory.

    A command of the shell comes to the same one. It is made when the appliance starts, and removed when it ends.
    """
    if not memory.is_dir():
        return data_dir
    try:
        owner = data_dir.stat().st_uid
    except OSError:  # the first start makes it
        owner = os.getuid()
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return memory / f"failover-site-{owner}-{digest}"


def make(folder: Path, data_dir: Path) -> None:
    """The folder is there, and this user's alone; the data folder itself is left as it is.

    Raises:
        PermissionError: it is somebody else's, or others may enter it.
    """
    if folder == data_dir:
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} must be a folder of this user with mode 0700: remove it, then start again.")


def put(file: Path, text: str, data_dir: Path) -> None:
    """The `file` of that folder says `text`: whoever reads it sees the old file or the new one, never a part.

    Not made durable on purpose: after a power cut it is worthless anyway. A folder that somebody has removed is made
    again. Several threads and processes may write at once.

    Raises:
        OSError: it could not be written; the old file is there still, and nothing else is left behind.
    """
    temporary = file.with_name(f"{file.name}.{os.getpid()}-{threading.get_native_id()}.tmp")
    try:
        if not file.parent.is_dir():
            make(file.parent, data_dir)
        temporary.write_text(text)
        temporary.replace(file)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def remove(folder: Path, data_dir: Path) -> None:
    """The folder is gone, unless it is the data folder itself."""
    if folder != data_dir:
        shutil.rmtree(folder, ignore_errors=True)
