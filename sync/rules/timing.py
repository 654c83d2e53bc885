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
LOOP_LATENESS = 0.2  # how late a turn of the resident keeper may be
KERNEL_LATENESS = 1.1  # how late the kernel may remove an address whose lifetime is over, with several lifetimes
LONGEST_INTERVAL = 3.0  # with a time-out as long, a dead peer shows within ten seconds, whatever the timeout
LONGEST_LIFETIME = 20
SHORTEST_LIFETIME = 3
LONGEST_BOOT = 30.0
SLEEP_SECONDS = 2.0  # the two clocks differ by as much only when the machine slept


@dataclass(frozen=True)
class Timing:
    """Seconds, all derived from `timeout`, the Primary Site Instance Timeout of the backup.

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
    def surely_gone(self) -> float:
        """When the primary has surely let the shared address go, counted from the last that was heard of it."""
        return (
            self.isolation
            + self.lifetime
            + self.interval
            + self.probe
            + LOOP_LATENESS
            + KERNEL_LATENESS
            + self.timeout / 50
        )

    @property
    def tilt(self) -> float:
        """How long no automatic action follows a pause of this appliance."""
        return min(max(30.0, self.failures * self.interval), self.timeout / 2)

    @property
    def longest_gap(self) -> float:
        """Two turns further apart than this mean that this appliance stood still."""
        return max(2 * self.interval, self.interval + self.probe + 2 * LOOP_LATENESS + 1.0)


def derive(timeout: float) -> Timing:
    """The times that belong to a Primary Site Instance Timeout of `timeout` seconds."""
    interval = min(max(timeout / 10, 1.0), LONGEST_INTERVAL)
    lifetime = min(max(math.floor(timeout / 5), SHORTEST_LIFETIME), LONGEST_LIFETIME)
    left = timeout - (lifetime + 2 * interval + LOOP_LATENESS + KERNEL_LATENESS + timeout / 50)
    return Timing(
        timeout=timeout,
        interval=interval,
        probe=interval,
        failures=FAILURES,
        lifetime=lifetime,
        renewal=lifetime / 4,
        isolation=min(0.4 * timeout, left),
        boot=min(LONGEST_BOOT, timeout / 3),
    )


def is_pause(times: Timing, *, boottime_passed: float, monotonic_passed: float) -> bool:
    """Whether this appliance stood still between two turns: stopped, or its machine slept or was paused."""
    return boottime_passed > times.longest_gap or abs(boottime_passed - monotonic_passed) > SLEEP_SECONDS


def problems(times: Timing) -> list[str]:
    """What is wrong with these times; empty when the backup can take over only after the primary is surely gone."""
    found = []
    if not MIN_TIMEOUT <= times.timeout <= MAX_TIMEOUT:
        found.append(f"The timeout must be from {MIN_TIMEOUT:.0f} s to 24 h.")
    if times.surely_gone > times.timeout + 1e-6:
        found.append(
            f"The primary is surely gone only after {times.surely_gone:.1f} s, later than the backup may take over."
        )
    if times.lifetime < 2 * times.renewal + LOOP_LATENESS + 0.1:
        found.append("The lifetime of the shared address is too short for its renewal.")
    if times.isolation < 2 * times.interval + times.probe + LOOP_LATENESS - 1e-6:
        found.append("The primary would give up before it has asked twice.")
    if times.failures * (times.interval + LOOP_LATENESS) + times.probe > times.timeout:
        found.append(f"{times.failures} probes do not fit into the timeout.")
    return found
