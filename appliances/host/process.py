"""Name a process so that nobody can be mistaken for it later, and see whether it lives."""

from __future__ import annotations

import os
from pathlib import Path

_START_TIME_FIELD = 19  # of /proc/<pid>/stat, counted after the name in brackets: proc(5), field 22


def this_process() -> str:
    """The name of this process: `<pid>:<start time in clock ticks>`; a reused pid has another start time."""
    return f"{os.getpid()}:{_start_time(os.getpid())}"


def is_alive(name: str) -> bool:
    """Whether the process that `this_process` named still runs on this machine."""
    pid, _, started = name.partition(":")
    return pid.isdigit() and started != "" and _start_time(int(pid)) == started


def _start_time(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[_START_TIME_FIELD]
