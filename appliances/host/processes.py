"""What Linux does for processes: die with the parent, one holder of a lock."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
from pathlib import Path
from typing import Self

PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(expected_parent: int | None = None) -> None:
    """The calling process is killed by the kernel when its parent ends, however that ends.

    Safe between fork and exec. `expected_parent` closes the gap in which the parent ended before this call.
    """
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if expected_parent is not None and os.getppid() != expected_parent:
        os._exit(1)


class AlreadyRunning(Exception):
    """Another process holds the lock of this folder."""

    def __init__(self, folder: Path, pid: str) -> None:
        super().__init__(f"{folder} is in use by another start of the product{f' (process {pid})' if pid else ''}.")


class SingleInstance:
    """Held by one process at a time for each folder; the kernel lets it go when the process ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = -1

    def __enter__(self) -> Self:
        """Take it.

        Raises:
            AlreadyRunning: another process has it.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(self.folder / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(self._file, 20).decode(errors="replace").strip()
            os.close(self._file)
            raise AlreadyRunning(self.folder, pid) from None
        os.truncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())
        return self

    def __exit__(self, *_: object) -> None:
        """Let it go."""
        os.close(self._file)
