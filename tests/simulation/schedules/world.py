"""The simulated world: one virtual clock, two appliances, and what may happen between any two effects.

Every statement for the database, every message, every file made durable and every named crash point calls `event`.
There an armed surprise may happen: the appliance is killed, a write is refused, or something else runs in between.
Named crash points and commits are `edges` besides: what goes wrong there is rare among hundreds of statements.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.schedules.appliances import EPOCH, Appliance, Stopped, Waits, here, on

TICK = 0.0004  # seconds that pass whenever a clock is read
MAX_EVENTS = 60_000  # a schedule that goes on for longer hangs


class Violation(AssertionError):
    """Something that must never happen has happened."""


@dataclass
class Surprise:
    """What happens after so many further events, or edges alone, at the first one where it may."""

    after: int
    what: str
    happen: Callable[[], None]
    between_transactions: bool = True
    at_edges: bool = False


@dataclass
class World:
    """Everything that a schedule starts anew."""

    appliances: tuple[Appliance, Appliance]
    chance: random.Random = field(default_factory=random.Random)
    now: float = 0.0
    events: int = 0
    passed: int = 0
    runs: int = 0
    is_looking: bool = False
    surprise: Surprise | None = None
    trace: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    look: Callable[[], None] = lambda: None
    took_over: Callable[[Appliance, int], None] = lambda appliance, term: None

    def start(self, seed: str) -> None:
        """Nothing has happened yet."""
        self.chance.seed(seed)
        self.now, self.events, self.passed, self.surprise = 0.0, 0, 0, None
        self.trace, self.errors, self.is_looking = [], [], False
        for appliance in self.appliances:
            appliance.start()

    def peer_of(self, appliance: Appliance) -> Appliance:
        """The other one."""
        return self.appliances[1 - appliance.side]

    def note(self, text: str) -> None:
        """One line of the trace."""
        self.trace.append(f"{self.now:9.2f}  {text}")

    def pass_time(self, seconds: float) -> None:
        """So much time passes everywhere."""
        self.now += max(0.0, seconds)

    # --- clocks ---------------------------------------------------------------------------------------------------

    def boottime(self) -> float:
        """CLOCK_BOOTTIME of the appliance that runs."""
        self.now += TICK
        return self.now + here().boot_offset

    def monotonic(self) -> float:
        """CLOCK_MONOTONIC: it stands still while the machine sleeps."""
        self.now += TICK
        return self.now + here().boot_offset - here().slept

    def wall(self) -> float:
        """The wall clock, which may be wrong."""
        self.now += TICK
        return EPOCH + self.now + here().wall_skew

    # --- what may happen anywhere ---------------------------------------------------------------------------------

    def event(self, *, is_edge: bool = False) -> None:
        """One effect is about to happen on the appliance that runs, or was made durable (an edge)."""
        appliance = here()
        if appliance.is_dying:
            raise Stopped
        if self.passed:
            self.passed -= 1
            return
        self.events += 1
        if self.events > MAX_EVENTS:
            raise Violation("the schedule does not come to an end")
        armed = None if self.is_looking else self.surprise
        if armed is None or (armed.at_edges and not is_edge):
            return
        armed.after -= 1
        if armed.after > 0 or (armed.between_transactions and self._is_in_transaction()):
            return
        self.surprise = None
        self.note(f"   {appliance.name}: here {armed.what}")
        armed.happen()
        if appliance.is_dying:
            raise Stopped

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Inside, the checks read by the product's own functions, and nothing happens."""
        self.is_looking = True
        try:
            yield
        finally:
            self.is_looking = False

    def after(self, events: int, act: Callable[[], Any]) -> Any:
        """What `act` gives, whose first so many events have happened already."""
        self.passed = events
        try:
            return act()
        finally:
            self.passed = 0

    def _is_in_transaction(self) -> bool:
        return any(one.database.in_atomic_block for one in self.appliances)

    def run(self, appliance: Appliance, name: str, act: Callable[[], object]) -> object:
        """Let an activity run on an appliance; None if it was killed in it. What ends it otherwise goes on."""
        if not appliance.is_up or appliance.is_dying:
            return None
        self.runs += 1
        self.note(f"{appliance.name}: {name}")
        with on(appliance):
            appliance.activities += 1
            try:
                return act()
            except Stopped:
                return None
            except Waits:
                self.note(f"   {appliance.name}: {name.strip()} would have to wait")
                return None
            finally:
                appliance.activities -= 1
                self.bury(appliance)

    def bury(self, appliance: Appliance) -> None:
        """Where an appliance was killed and all that ran on it has unwound: it is down, its memory is empty."""
        if appliance.is_dying and not appliance.activities:
            appliance.forget_activity()
            appliance.is_up = appliance.is_dying = False
