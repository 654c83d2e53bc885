"""Runs schedules in this process, or many in several, and reports."""

from __future__ import annotations

import gc
import multiprocessing
import queue
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.context import ForkProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import TypeAlias

from tests.simulation.schedules import outsiders, planted, seams, speed, templates
from tests.simulation.schedules.appliances import Appliance
from tests.simulation.schedules.network import Line
from tests.simulation.schedules.schedule import Outcome, Schedule
from tests.simulation.schedules.world import Violation, World

COMMAND = "python -m tests.simulation.schedules"
SHOWN_FAILURES, SHOWN_LINES, SHOWN_EACH = 3, 60, 500
COLLECTED_EACH = 50
WORKER_SECONDS = 5.0
# A schedule takes a fraction of a second of processor time. However busy the machine is, whoever does anything at all
# gets more of it in a minute than one who waits.
HANGS_SECONDS = 60.0
LOOK_SECONDS = 60.0
IDLE_SECONDS = 0.05
_clock, _worked = time.perf_counter, time.process_time


@dataclass(frozen=True)
class Options:
    """How schedules are run."""

    without: tuple[int, ...] = ()
    plant: str = ""
    plain: bool = False


@contextmanager
def _hangs_seen() -> Iterator[None]:
    """Inside, a Violation ends what computes without end, or waits for something that never comes."""
    began = seen = _worked()

    def look(*_: object) -> None:
        nonlocal seen
        before, seen = seen, _worked()
        if seen - began > HANGS_SECONDS:
            raise Violation(f"the schedule does not come to an end in {HANGS_SECONDS:.0f} s of processor time")
        if seen - before < IDLE_SECONDS:
            raise Violation("the schedule waits for something that never comes")

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, LOOK_SECONDS, LOOK_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@dataclass(frozen=True)
class Limits:
    """When no further schedule begins: after so many seconds (0: never), or `until_found` after a failure.

    On a slow machine `at_least` so many are run however long they take.
    """

    seconds: float = 0.0
    at_least: int = 0
    until_found: bool = False


NO_LIMITS = Limits()


class Bench:
    """A simulated world in this process, ready for any number of schedules."""

    def __init__(self, root: Path, options: Options) -> None:
        self.options = options
        self.world = World((Appliance(0, root), Appliance(1, root)))
        seams.replace_all(self.world)
        outsiders.install()
        if not options.plain:
            speed.install(self.world)
        Line.start()
        self.focus: tuple[str, ...] = ()
        if options.plant:  # before there is a database: some are planted into its triggers
            bug = planted.named(options.plant)
            bug.plant()
            self.focus = bug.focus
        self.pairs = templates.make(self.world, root)

    def run(self, seed: int, without: tuple[int, ...] | None = None) -> Outcome:
        """One schedule."""
        left_out = self.options.without if without is None else without
        with _hangs_seen():
            return Schedule(self.world, self.pairs, seed, left_out, self.focus).run()

    def shortened(self, outcome: Outcome) -> tuple[Outcome, tuple[int, ...]]:
        """The same failure with as few steps as leaving them out one by one gives."""
        without = list(self.options.without)
        kind = outcome.violation[:24]
        for number in reversed(range(40)):
            tried = self.run(outcome.seed, tuple({*without, number}))
            if tried.violation[:24] == kind:
                outcome = tried
                without.append(number)
        return outcome, tuple(sorted(number for number in without if number < 40))


@contextmanager
def folder() -> Iterator[Path]:
    """A folder in memory, which is gone afterwards."""
    memory = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(prefix="schedules-", dir=memory if memory.is_dir() else None))
    remove = shutil.rmtree
    try:
        yield root
    finally:
        remove(root, ignore_errors=True)


@contextmanager
def bench(options: Options) -> Iterator[Bench]:
    """A bench whose files are gone afterwards."""
    with folder() as root:
        yield Bench(root, options)


def show(seeds: list[int], options: Options, *, shorten: bool = False, quiet: bool = False) -> int:
    """Run the seeds one by one and print what happened."""
    worst = 0
    with bench(options) as made:
        for seed in seeds:
            outcome, without = made.run(seed), options.without
            if shorten and outcome.violation:
                outcome, without = made.shortened(outcome)
            if not quiet:
                print("\n".join(outcome.trace))
            print(report(outcome, replace(options, without=without)), flush=True)
            worst |= bool(outcome.violation)
    return worst


def report(outcome: Outcome, options: Options) -> str:
    """One line on how a schedule went, and the command that shows it again if it went wrong."""
    if not outcome.violation:
        return f"seed {outcome.seed}: {outcome.steps} steps, {outcome.events} events, healed in {outcome.ticks} ticks"
    again = f"{COMMAND} {outcome.seed}"
    if options.without:
        again += f" --without {','.join(map(str, options.without))}"
    if options.plant:
        again += f" --plant {options.plant!r}"
    return f"seed {outcome.seed}: {outcome.violation}\n    {again}"


@dataclass
class Figures:
    """What many schedules came to."""

    options: Options
    started: float
    count: int = 0
    steps: int = 0
    events: int = 0
    ticks: int = 0
    did: Counter[str] = field(default_factory=Counter)
    failed: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """One more has ended."""
        self.count, self.steps, self.events = self.count + 1, self.steps + outcome.steps, self.events + outcome.events
        self.ticks = max(self.ticks, outcome.ticks)
        self.did.update(outcome.did)
        if outcome.violation:
            self.failed.append(outcome)
            print(report(outcome, self.options), flush=True)
        if self.count % SHOWN_EACH == 0:
            print(self, flush=True)

    def __str__(self) -> str:
        passed = _clock() - self.started
        return (
            f"{self.count} schedules, {self.steps} steps, {self.events} events in {passed:.0f} s; "
            f"{len(self.failed)} failed; healed in at most {self.ticks} ticks"
        )


Results: TypeAlias = "multiprocessing.Queue[Outcome | None]"


def _worker(seeds: range, stop: tuple[float, int], enough: Event, options: Options, results: Results) -> None:
    """Run the seeds until it is enough, or until the time of `stop` once so many were run; None ends the results."""
    until, least = stop
    with bench(options) as made:
        gc.freeze()
        gc.disable()
        for number, seed in enumerate(seeds):
            if (_clock() >= until and number >= least) or enough.is_set():
                break
            outcome = made.run(seed)
            results.put(replace(outcome, trace=outcome.trace[-SHOWN_LINES:] if outcome.violation else []))
            if number % COLLECTED_EACH == 0:
                gc.collect()
    results.put(None)


def _next(results: Results, running: list[ForkProcess]) -> Outcome | None:
    """The next result; an error if a worker died instead of giving one."""
    while True:
        try:
            return results.get(timeout=WORKER_SECONDS)
        except queue.Empty:
            if any(process.exitcode for process in running):
                raise RuntimeError("a worker has died; its error is above") from None


def run_many(first: int, count: int, workers: int, options: Options, limits: Limits = NO_LIMITS) -> int:
    """Run `count` seeds from `first`, on `workers` processes; print the failures and the figures."""
    context, figures = multiprocessing.get_context("fork"), Figures(options, _clock())
    until = figures.started + limits.seconds if limits.seconds else float("inf")
    least = -(-limits.at_least // workers)
    results: Results = context.Queue()
    enough = context.Event()
    running = [
        context.Process(
            target=_worker, args=(range(first + n, first + count, workers), (until, least), enough, options, results)
        )
        for n in range(workers)
    ]
    for process in running:
        process.start()
    at_work = workers
    while at_work:
        outcome = _next(results, running)
        if outcome is None:
            at_work -= 1
        else:
            figures.add(outcome)
            if outcome.violation and limits.until_found:
                enough.set()
    for failure in figures.failed[:SHOWN_FAILURES]:
        print("\n".join(["", *failure.trace, report(failure, options)]))
    print("; ".join(f"{what}: {times}" for what, times in sorted(figures.did.items())))
    print(figures)
    return 1 if figures.failed else 0
