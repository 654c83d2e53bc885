"""Name a process so that nobody can be mistaken for it later, and see whether it lives."""

from __future__ import annotations

import os
from pathlib import Path

_START_TIME_FIELD = 19  # of /proc/<pid>/stat, counted after the name in brackets: proc(5), field 22


def this_process() -> str:
    """The name of this process: `<pid>:<start time in clock ticks>:<boot of the machine>`.

    A number that is given anew has another start time, and the start time counts from the boot.
    """
    return f"{os.getpid()}:{_start_time(os.getpid())}:{_boot()}"


def is_alive(name: str) -> bool:
    """Whether the process that `this_process` named still runs on this machine."""
    pid, _, rest = name.partition(":")
    started = _start_time(int(pid)) if pid.isdecimal() else ""
    return started != "" and rest == f"{started}:{_boot()}"


def _start_time(pid: int) -> str:
    """Empty if there is no such process, or if it has ended and nobody has waited for it yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[_START_TIME_FIELD]


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        return ""
