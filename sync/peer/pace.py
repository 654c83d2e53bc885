"""Holds what is streamed over one connection to a limit, in both directions together."""

from __future__ import annotations

import time
from collections.abc import Callable

from sync.rules.throttle import Bucket

LOOK_SECONDS = 1.0  # a changed limit takes effect within this time and one slice
SLICE_SECONDS = 0.25


class Pace:
    """Bytes of streams wait here until the limit allows them. A question and its answer never do.

    `limit` gives the bytes a second allowed now, 0 for no limit; `while_waiting` is called at least each quarter of a
    second of a wait, and may raise to end it.
    """

    def __init__(self, limit: Callable[[], float], while_waiting: Callable[[], None]) -> None:
        self._limit = limit
        self._while_waiting = while_waiting
        self._looked_at = time.monotonic()
        self._bucket = Bucket(limit(), self._looked_at)

    @property
    def rate(self) -> float:
        """The limit in force: bytes a second, 0 for none."""
        return self._bucket.rate

    def allow(self, wanted: int) -> int:
        """How many of `wanted` bytes may be moved now, at least one; waits for them."""
        while True:
            now = time.monotonic()
            if now - self._looked_at >= LOOK_SECONDS:
                self._looked_at = now
                self._bucket.set_rate(self._limit(), now)
            if allowed := self._bucket.allowed(wanted, now):
                return allowed
            time.sleep(min(self._bucket.wait(wanted, now), SLICE_SECONDS))
            self._while_waiting()

    def moved(self, count: int) -> None:
        """So many bytes were moved."""
        if self._bucket.rate:  # otherwise nothing is counted, thousands of times a second
            self._bucket.spend(count, time.monotonic())
