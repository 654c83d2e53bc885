"""The bandwidth limit of a data-sync: how many bytes may be moved now, and how long to wait where none may.

A token bucket that holds at most 50 ms of the rate, so that no window of time sees a burst. The caller's clock is any
that never goes back, in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

BUCKET_SECONDS = 0.05
ROUNDING = 1e-3  # bytes
LEAST_PIECE = 256  # bytes; a bucket holds at least as many, however low the rate


@dataclass
class Bucket:
    """`rate` bytes a second, 0 for no limit. `level` was right at the moment `at`; it never exceeds the capacity."""

    rate: float
    at: float
    level: float = 0.0

    @property
    def capacity(self) -> float:
        """The most bytes that may be moved at once."""
        return max(self.rate * BUCKET_SECONDS, LEAST_PIECE)

    def set_rate(self, rate: float, now: float) -> None:
        """From now on, this rate; what has been saved up stays as far as the new bucket holds it."""
        self._fill(now)
        self.rate = rate
        self.level = min(self.level, self.capacity) if rate else 0.0

    def allowed(self, wanted: int, now: float) -> int:
        """How many of `wanted` bytes may be moved now; 0: wait first."""
        if not self.rate:
            return wanted
        self._fill(now)
        # Half a bucket at least, so that a slow line is not read byte by byte.
        if self.level + ROUNDING < min(wanted, self.capacity / 2):
            return 0
        return min(wanted, int(self.level + ROUNDING))

    def wait(self, wanted: int, now: float) -> float:
        """Seconds until `allowed` gives something."""
        if not self.rate:
            return 0.0
        self._fill(now)
        return max(0.0, (min(wanted, self.capacity / 2) - self.level) / self.rate)

    def spend(self, count: int, now: float) -> None:
        """So many bytes have been moved."""
        self._fill(now)
        if self.rate:
            self.level -= count

    def _fill(self, now: float) -> None:
        self.level = min(self.capacity, self.level + max(0.0, now - self.at) * self.rate)
        self.at = max(self.at, now)
