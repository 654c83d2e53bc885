"""How far a running data-sync is, as the page, the command and STATUS tell it."""

from __future__ import annotations

from dataclasses import dataclass

from appliances.choices import SyncStage, SyncTrigger

LONGEST_LEFT = 30 * 86400.0


@dataclass(frozen=True)
class RunningSync:
    """It has run for `elapsed` seconds, lately at `rate` bytes a second.

    Totals are 0 until they are known; what is sent to the primary has none.
    """

    stage: SyncStage
    trigger: SyncTrigger
    elapsed: float
    rate: float
    rows_total: int
    rows_done: int
    blobs_total: int
    blobs_done: int
    bytes_total: int
    bytes_done: int
    rows_sent: int
    blobs_sent: int

    @property
    def total(self) -> int:
        """What there is to do: bytes, or rows where no file travels."""
        return self.bytes_total or self.rows_total

    @property
    def done(self) -> int:
        """What is done of `total`."""
        return min(self.bytes_done if self.bytes_total else self.rows_done, self.total)

    @property
    def percent(self) -> int | None:
        """How much of it is done; None while that cannot be said."""
        return self.done * 100 // self.total if self.total else None

    @property
    def left(self) -> float | None:
        """The seconds left at this rate; None while nothing can be said."""
        remaining = self.bytes_total - self.bytes_done
        if self.rate < 1 or remaining <= 0 or self.bytes_total == 0:
            return None
        return min(remaining / self.rate, LONGEST_LEFT)
