"""What one run took: seconds, processor time of both sides, bytes on the wire, memory; read from /proc and `wait4`."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class Measured:
    """One run of one case by one contestant; None where it says nothing.

    Processor seconds and memory are of the source and of the backup; one figure alone is of both together. Memory is
    the resident set of the largest process of that side in KiB; `growth` is by how much a process has grown at most
    since its first run. `pace` is how fast data came, as a multiple of the limit: on the average, and in the worst
    second.
    """

    wall: float
    cpu: tuple[float, ...] | None = None
    wire: int | None = None
    peak: tuple[int, int] | None = None
    growth: tuple[int, int] | None = None
    pace: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Used:
    """What a program that ended used: processor seconds, and the peak of its largest process in KiB."""

    seconds: float
    peak: int


class Processes:
    """One side of a contestant whose processes live on: which they are, what they used, how large they became.

    What the processes below `servers` use counts, but not their memory: a database keeps what it is given.
    """

    def __init__(self, roots: Callable[[], Iterable[int]], servers: Iterable[int] = ()) -> None:
        self._roots, self._servers = roots, list(servers)
        self._cpu = 0.0
        self._at_rest: dict[int, int] = {}  # before its first run: what one run did not give back is growth, too
        self._resident: dict[int, int] = {}

    def begin(self) -> None:
        """From now on."""
        self._resident = {}
        for pid in tree_of(self._roots()):
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak is what is resident now
                resident = _status(pid, "VmRSS")
                self._resident[pid] = self._at_rest.setdefault(pid, resident)
        self._cpu = self._seconds()

    def end(self) -> tuple[float, int, int]:
        """Processor seconds since `begin`, the peak of the largest process and the largest growth, both in KiB."""
        used = self._seconds() - self._cpu
        peaks = {pid: _status(pid, "VmHWM") for pid in self._resident if Path(f"/proc/{pid}").exists()}
        growth = max((peak - self._resident[pid] for pid, peak in peaks.items()), default=0)
        return used, max(peaks.values(), default=0), max(0, growth)

    def _seconds(self) -> float:
        """With the children that have ended."""
        total = 0
        for pid in tree_of([*self._roots(), *self._servers]):
            with suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += sum(map(int, fields[11:15]))
        return total / TICKS


class PeakSampler:
    """The largest resident set, in KiB, that any process below a root reached, of programs that come and go.

    `wait4` would tell the size of whoever started them as well.
    """

    def __init__(self) -> None:
        self._largest: dict[int, int] = {}
        self._watched: set[int] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def watch(self, root: int) -> None:
        """From now on, this process and those below it."""
        self._largest[root] = 0
        self._watched.add(root)

    def peak_of(self, root: int) -> int:
        """The largest found below this process, which has ended."""
        self._watched.discard(root)
        return self._largest[root]

    def end(self) -> None:
        """No more samples."""
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            for root in tuple(self._watched):
                for pid in tree_of([root]):
                    with suppress(OSError):
                        if os.readlink(f"/proc/{pid}/exe") != os.readlink("/proc/self/exe"):
                            self._largest[root] = max(self._largest[root], _status(pid, "VmHWM"))


def tree_of(roots: Iterable[int]) -> list[int]:
    """These processes and all below them."""
    found, left = [], list(roots)
    while left:
        pid = left.pop()
        found.append(pid)
        with suppress(OSError):
            left += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return found


def of_appliances(source: Processes, backup: Processes, do: Callable[[], dict[str, Any]]) -> Measured:
    """Measure `do` where both sides stay up; it gives `wall` and `wire`."""
    settle()
    source.begin()
    backup.begin()
    found = do()
    there, here = source.end(), backup.end()
    cpu, peak, growth = (there[0], here[0]), (there[1], here[1]), (there[2], here[2])
    return Measured(found["wall"], cpu, found["wire"], peak, growth, found["pace"])


def run(command: Sequence[str | Path], sampler: PeakSampler | None = None, **options: Any) -> tuple[float, Used, str]:
    """Run a program to its end: seconds, what it and its children used, and what it printed.

    Raises:
        SystemExit: it failed; with what it printed.
    """
    began = time.perf_counter()
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    ) as process:
        assert process.stdout is not None
        if sampler is not None:
            sampler.watch(process.pid)
        text = process.stdout.read()
        seconds = reap(process)
    wall = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{command[0]} failed with {process.returncode}:\n{text[-2000:]}")
    return wall, Used(seconds, sampler.peak_of(process.pid) if sampler else 0), text


def reap(process: subprocess.Popen[Any]) -> float:
    """Wait for the end of a process; the processor seconds of it and of the children it waited for."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime


def settle() -> None:
    """What was written before is on the disk, so that nobody pays for another's writes."""
    os.sync()


def wait_until_listening(port: int, seconds: float = 15.0) -> None:
    """Wait for a listener on a port without connecting to it, which would be work for it."""
    wanted, deadline = f":{port:04X}", time.monotonic() + seconds
    while time.monotonic() < deadline:
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            local, _, state = line.split()[1:4]
            if local.endswith(wanted) and state == "0A":
                return
        time.sleep(0.01)
    raise SystemExit(f"Nobody listens on port {port} after {seconds:.0f} s.")


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0
