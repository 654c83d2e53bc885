"""A small supervisor: starts child processes in order, restarts those that end, stops all within a bound.

READ `Supervisor.run` FIRST. One thread, one loop: read what the children write, see who has ended, start who is due.
A child lives in a process group of its own, so that Ctrl-C reaches the supervisor alone, and the kernel kills it when
the supervisor ends in whatever way.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from appliances.host import child_logs
from appliances.host.processes import die_with_parent

LOOP_SECONDS = 0.1  # how late an ended child or a finished start is noticed
SAME_SIGNAL_SECONDS = 2.0  # a signal within this time of the first is the same one, come by another way
READ_BYTES = 64 * 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Program:
    """What a child is: how it is started, when it counts as started, and how it is treated.

    `is_ready` is asked until it is true, for `ready_within_seconds` at most, before the next program of the list
    starts for the first time. `once`: it is expected to end;
    exit status 0 makes it ready and the supervisor never starts it again. `stops_last`: others need it to stop well.
    `is_needed` is asked just before a `once` program would start; not needed counts as done.
    """

    name: str
    argv: Sequence[str]
    is_ready: Callable[[], bool] | None = None
    ready_within_seconds: float = 30.0
    once: bool = False
    is_needed: Callable[[], bool] = lambda: True
    stdin: bytes = b""
    stops_last: bool = False
    plain_level: str = "warning"
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Backoff:
    """How long to wait before a child is started again."""

    first_seconds: float = 0.5
    longest_seconds: float = 30.0
    good_seconds: float = 60.0  # a child that ran this long starts again without a grudge

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many ends in a row."""
        return float(min(self.first_seconds * 2 ** max(failures - 1, 0), self.longest_seconds))


@dataclass
class Child:
    """A program and its process, if it runs."""

    program: Program
    log_file: child_logs.LogFile | None
    process: subprocess.Popen[bytes] | None = None
    reader: child_logs.LineReader = field(default_factory=child_logs.LineReader)
    started_at: float = 0.0
    start_at: float = 0.0  # not to be started before
    first_started_at: float = 0.0
    failures: int = 0
    is_ready: bool = False
    is_done: bool = False
    is_late: bool = False
    last_line: str = ""
    has_failed: bool = False  # a `once` program that ended with another status than 0


class Supervisor:
    """Runs programs until it is told to stop.

    `say` gets the loud lines of the children (a log record as JSON each). `on_ready` is called once, when every program
    has become ready. `stop_seconds` bounds the stop; what still runs then is killed.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        folder: Path | None,
        say: Callable[[str], None],
        on_ready: Callable[[], None] = lambda: None,
        backoff: Backoff | None = None,
        stop_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.children = [Child(p, child_logs.LogFile(folder / f"{p.name}.log") if folder else None) for p in programs]
        self.say = say
        self.on_ready = on_ready
        self.backoff = backoff or Backoff()
        self.stop_seconds = stop_seconds
        self.clock = clock
        self._announced = False
        self._stops_wanted = 0
        self._first_stop_at = 0.0
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Start the programs, keep them running, and return when all have been stopped after a signal."""
        old = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            while not self._stops_wanted:
                self._start_due()
                self._read(LOOP_SECONDS)
                self._reap()
            self._stop()
        finally:
            self._kill(self.children)
            for number, handler in old.items():
                signal.signal(number, handler)
            for child in self.children:
                if child.log_file:
                    child.log_file.close()
            self._selector.close()

    def stop(self) -> None:
        """Let `run` stop everything and return. A second call kills what still runs."""
        self._stops_wanted += 1

    def _on_signal(self, _number: int, _frame: object) -> None:
        # `make` and `timeout` pass on a signal that the process group has got already: that is no second wish.
        now = self.clock()
        if not self._stops_wanted or now - self._first_stop_at > SAME_SIGNAL_SECONDS:
            self._first_stop_at = self._first_stop_at or now
            self.stop()

    # --- Starting -----------------------------------------------------------------------------------------------

    def _start_due(self) -> None:
        for child in self.children:
            if child.process is None and not child.is_done and self.clock() >= child.start_at:
                self._start(child)
            if child.process is not None and not child.is_ready and not child.program.once:
                child.is_ready = child.program.is_ready is None or child.program.is_ready()
            if not self._announced and not child.is_ready and not self._waited_enough(child):
                return  # at the first start the next ones wait for this one
        if not self._announced:
            self._announced = True
            self.on_ready()

    def _waited_enough(self, child: Child) -> bool:
        """Whether the start goes on without this child: a box with a broken web server must still watch its peer."""
        if self.clock() - child.first_started_at < child.program.ready_within_seconds:
            return False
        if not child.is_late:
            child.is_late = True
            log.error("not ready in time", extra={"program": child.program.name})
        return True

    def _start(self, child: Child) -> None:
        program = child.program
        if program.once and not program.is_needed():
            child.is_ready = child.is_done = True
            return
        try:
            child.process = subprocess.Popen(
                program.argv,
                stdin=subprocess.PIPE if program.stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **program.environment},
                start_new_session=True,
                # The supervisor has one thread, so this is safe between fork and exec.
                preexec_fn=partial(die_with_parent, os.getpid()),
            )
        except OSError as error:
            self._failed(child, f"cannot be started: {error}")
            return
        child.started_at = self.clock()
        child.first_started_at = child.first_started_at or child.started_at
        if program.stdin and child.process.stdin:
            with suppress(BrokenPipeError), child.process.stdin as pipe:
                pipe.write(program.stdin)
        assert child.process.stdout is not None
        os.set_blocking(child.process.stdout.fileno(), False)
        self._selector.register(child.process.stdout, selectors.EVENT_READ, child)
        log.info("started", extra={"program": program.name, "pid": child.process.pid})

    # --- Reading and reaping ------------------------------------------------------------------------------------

    def _read(self, seconds: float) -> None:
        if not self._selector.get_map():
            time.sleep(seconds)
        for key, _ in self._selector.select(seconds):
            self._drain(key.data)

    def _drain(self, child: Child) -> None:
        """Take what is in the pipe now."""
        assert child.process is not None
        assert child.process.stdout is not None
        with suppress(BlockingIOError):
            data = os.read(child.process.stdout.fileno(), READ_BYTES)
            if not data:
                self._selector.unregister(child.process.stdout)
            self._write(child, child.reader.feed(data) if data else child.reader.end())

    def _write(self, child: Child, lines: list[str]) -> None:
        for raw in lines:
            line = child_logs.parse(
                raw,
                child=child.program.name,
                plain_level=child.program.plain_level,
                now=lambda: dt.datetime.now(dt.UTC),
            )
            child.last_line = raw
            if child.log_file:
                child.log_file.write(line.text)
            if line.is_loud:
                self.say(line.text)

    def _reap(self) -> None:
        for child in self.children:
            if child.process is None or child.process.poll() is None:
                continue
            status = child.process.returncode
            self._forget_process(child)
            if self._stops_wanted:
                continue
            if child.program.once and status == 0:
                child.is_ready = child.is_done = True
            else:
                self._failed(child, f"ended with status {status}")

    def _forget_process(self, child: Child) -> None:
        """What the ended process had still written is kept, and what it had started is gone."""
        assert child.process is not None
        stream = child.process.stdout
        assert stream is not None
        self._kill_group(child.process.pid)
        with suppress(KeyError):
            self._selector.get_key(stream)
            self._drain(child)
        with suppress(KeyError, ValueError):
            self._selector.unregister(stream)
        stream.close()
        child.process = None

    def _failed(self, child: Child, how: str) -> None:
        ran_seconds = self.clock() - child.started_at
        child.failures = 1 if child.started_at and ran_seconds >= self.backoff.good_seconds else child.failures + 1
        if child.program.once:
            child.is_ready = child.is_done = child.has_failed = True
            log.error("first step failed", extra={"program": child.program.name, "how": how, "text": child.last_line})
            return
        delay = self.backoff.delay(child.failures)
        child.start_at = self.clock() + delay
        child.is_ready = False
        log.warning(
            "restarting",
            extra={"program": child.program.name, "how": how, "in_seconds": delay, "times": child.failures},
        )

    # --- Stopping -----------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Ask all to end, first those that need others; kill what does not end in time."""
        for last in (False, True):
            deadline = self.clock() + self.stop_seconds
            children = [child for child in self.children if child.program.stops_last is last]
            for child in children:
                if child.process:
                    with suppress(ProcessLookupError):
                        child.process.terminate()
            while any(child.process for child in children):
                self._read(LOOP_SECONDS)
                self._reap()
                if self.clock() > deadline or self._stops_wanted > 1:
                    self._kill(children)

    def _kill(self, children: Sequence[Child]) -> None:
        for child in children:
            if child.process:
                log.warning("killed", extra={"program": child.program.name, "pid": child.process.pid})
                self._kill_group(child.process.pid)
                child.process.wait()
                self._forget_process(child)

    @staticmethod
    def _kill_group(leader: int) -> None:
        """Whatever is left of a child's process group is gone."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)
