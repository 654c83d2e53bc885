"""The folder in memory for what changes each second and is worth nothing after a restart: it never needs the disk."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (a folder of this user, mode 0700, is made in it and checked)


def runtime_folder(data_dir: Path, memory: Path = SHARED_MEMORY) -> Path:
    """The folder of the appliance in `data_dir`, which belongs to the owner of that; `data_dir` where there is none.

    Whoever may write into the data folder finds the same one, a command of the shell too.
    """
    try:
        owner = data_dir.stat().st_uid
        digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
        folder = memory / f"failover-site-{owner}-{digest}"
        if owner == os.getuid():
            folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return data_dir
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == owner and not found.st_mode & 0o077
    return folder if is_ours else data_dir
