"""The times of automatic failover, derived from one setting, and the inequality that keeps two primaries apart.

Source: role protocol, section 1, "Timing rules". All seconds are of CLOCK_BOOTTIME.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MIN_TIMEOUT = 10.0
MAX_TIMEOUT = 24 * 3600.0
DEFAULT_TIMEOUT = 180.0
FAILURES = 3  # silent probes in a row before a take-over may be thought of
LOOP_LATENESS = 0.2  # how late a primary may be to stop when its time is over (see `sync.keeper.SENTRY_SECONDS`)
KERNEL_LATENESS = 1.1  # how late the kernel may remove an address whose lifetime is over, with several lifetimes
SHORTEST_INTERVAL = 1.0
LONGEST_INTERVAL = 3.0  # with a time-out as long, a dead peer shows within ten seconds, whatever the timeout
LONGEST_LIFETIME = 20
SHORTEST_LIFETIME = 3
LONGEST_BOOT = 30.0
SLEEP_SECONDS = 2.0  # the two clocks differ by as much only when the machine slept
DRIFT = 1 / 50  # of the timeout: one per cent of each clock
ROUNDING = 1e-6


@dataclass(frozen=True)
class Entered:
    """The times, in seconds, that an administrator entered; None is derived from the timeout."""

    interval: float | None = None
    lifetime: int | None = None
    isolation: float | None = None


DERIVED = Entered()


@dataclass(frozen=True)
class Timing:
    """Seconds, derived from `timeout`, the Primary Site Instance Timeout of the backup, unless they were entered.

    `interval` between probes; `probe` the longest a probe takes; `lifetime` of a shared address in the kernel;
    `renewal` of that lifetime; `isolation`: how long a primary that hears neither peer nor test IPs goes on; `boot`:
    how long a primary that starts waits for the peer.
    """

    timeout: float
    interval: float
    probe: float
    failures: int
    lifetime: int
    renewal: float
    isolation: float
    boot: float

    @property
    def newer(self) -> float:
        """How much later than the backup's last answered probe the primary may have heard somebody last."""
        return self.interval + self.probe

    @property
    def slack(self) -> float:
        """What lateness and the drift of both clocks may add."""
        return LOOP_LATENESS + KERNEL_LATENESS + self.timeout * DRIFT

    @property
    def surely_gone(self) -> float:
        """When the primary has surely let the shared address go, counted from the last that was heard of it."""
        return self.newer + self.isolation + self.lifetime + self.slack

    @property
    def shortest_isolation(self) -> float:
        """What a primary needs to ask twice before it gives up."""
        return 2 * self.interval + self.probe + LOOP_LATENESS

    @property
    def tilt(self) -> float:
        """How long no automatic action follows a pause of this appliance."""
        return min(max(30.0, self.failures * self.interval), self.timeout / 2)

    @property
    def longest_gap(self) -> float:
        """Two turns further apart than this mean that this appliance stood still."""
        return max(2 * self.interval, self.interval + self.probe + 2 * LOOP_LATENESS + 1.0)


@dataclass(frozen=True)
class Problem:
    """What is wrong with the times; `name`, `timeout` or a field of `Entered`, says which to look at first."""

    name: str
    sentence: str


def derive(timeout: float, entered: Entered = DERIVED) -> Timing:
    """The times that belong to a Primary Site Instance Timeout of `timeout` seconds, or were entered."""
    interval = entered.interval or min(max(timeout / 10, SHORTEST_INTERVAL), LONGEST_INTERVAL)
    lifetime = entered.lifetime or min(max(math.floor(timeout / 5), SHORTEST_LIFETIME), LONGEST_LIFETIME)
    left = timeout - (lifetime + 2 * interval + LOOP_LATENESS + KERNEL_LATENESS + timeout * DRIFT)
    return Timing(
        timeout=timeout,
        interval=interval,
        probe=interval,
        failures=FAILURES,
        lifetime=lifetime,
        renewal=lifetime / 4,
        isolation=entered.isolation or max(min(0.4 * timeout, left), 0.0),
        boot=min(LONGEST_BOOT, timeout / 3),
    )


def is_pause(times: Timing, *, boottime_passed: float, monotonic_passed: float) -> bool:
    """Whether this appliance stood still between two turns: stopped, or its machine slept or was paused."""
    return boottime_passed > times.longest_gap or abs(boottime_passed - monotonic_passed) > SLEEP_SECONDS


def is_kept_to(own: Timing, acknowledged: Timing) -> bool:
    """Whether a primary that keeps to the times it acknowledged is surely gone when this backup may take over.

    A shorter timeout takes effect only after the acknowledgement; after a longer one the primary may go on with less.
    """
    return own.newer + acknowledged.isolation + acknowledged.lifetime + own.slack <= own.timeout + ROUNDING


def problems(timeout: float, entered: Entered = DERIVED) -> list[Problem]:
    """What is wrong with these times; empty when the backup can take over only after the primary is surely gone."""
    if not MIN_TIMEOUT <= timeout <= MAX_TIMEOUT:
        return [Problem("timeout", f"The timeout must be from {MIN_TIMEOUT:.0f} s to 24 h.")]
    return [*_of_bounds(entered), *_of_sums(entered, derive(timeout, entered))]


def text(seconds: float) -> str:
    """Seconds as people write them: at most one decimal, and none that says nothing."""
    return f"{seconds:.1f}".removesuffix(".0") + " s"


def _of_bounds(entered: Entered) -> list[Problem]:
    found = []
    if entered.interval is not None and not SHORTEST_INTERVAL <= entered.interval <= LONGEST_INTERVAL:
        bounds = f"from {text(SHORTEST_INTERVAL)} to {text(LONGEST_INTERVAL)}"
        found.append(Problem("interval", f"The probe interval must be {bounds}, so that a dead peer shows soon."))
    if entered.lifetime is not None and entered.lifetime < SHORTEST_LIFETIME:
        sentence = f"An address lifetime below {SHORTEST_LIFETIME} s leaves no time to renew it."
        found.append(Problem("lifetime", sentence))
    return found


def _of_sums(entered: Entered, times: Timing) -> list[Problem]:
    names = [name for name in ("isolation", "lifetime", "interval") if getattr(entered, name) is not None]
    to_look_at = names[0] if names else "timeout"
    found = []
    if times.surely_gone > times.timeout + ROUNDING:
        found.append(Problem(to_look_at, _too_late(times)))
    if times.isolation < times.shortest_isolation - ROUNDING:
        asked = text(times.shortest_isolation)
        is_entered = entered.isolation is not None
        remedy = f"Enter at least {asked}." if is_entered else "Raise the timeout, or shorten the other times."
        found.append(
            Problem(
                to_look_at,
                f"The isolation timer of {text(times.isolation)} is {_more(times.shortest_isolation, times.isolation)} "
                f"too short: asking twice without an answer takes {asked}. {remedy}",
            )
        )
    failing = times.failures * (times.interval + LOOP_LATENESS) + times.probe
    if failing > times.timeout + ROUNDING:
        over = _more(failing, times.timeout)
        sentence = f"{times.failures} silent probes take {text(failing)}, {over} more than the timeout."
        found.append(Problem("interval" if "interval" in names else "timeout", sentence))
    if times.longest_gap > times.timeout / 2 + ROUNDING:
        sentence = (
            f"A pause of this appliance would show only after {text(times.longest_gap)}, "
            f"{_more(times.longest_gap, times.timeout / 2)} more than half of the timeout. Shorten the probe interval."
        )
        found.append(Problem("interval" if "interval" in names else "timeout", sentence))
    return found


def _too_late(times: Timing) -> str:
    fixed = times.newer + times.isolation + times.lifetime + LOOP_LATENESS + KERNEL_LATENESS
    return (
        f"Isolation {text(times.isolation)} + address lifetime {text(times.lifetime)} + probe interval and probe "
        f"{text(times.newer)} + lateness and clock drift {text(times.slack)} = {text(times.surely_gone)}: "
        f"{_more(times.surely_gone, times.timeout)} more than the timeout of {text(times.timeout)}. The backup would "
        f"take over before the primary is surely gone. Shorten one of them, or raise the timeout to "
        f"{math.ceil(fixed / (1 - DRIFT))} s."
    )


def _more(larger: float, smaller: float) -> str:
    return text(max(larger - smaller, 0.1))
