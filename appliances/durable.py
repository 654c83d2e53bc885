"""Make what was written survive a power cut."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path


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
