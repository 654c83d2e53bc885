"""How long data-syncs took, and how far the backup was behind, on one time axis.

Places on the axis are per cent and heights are pixels, so that texts and bars keep their size on a narrow screen.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils import timezone

from appliances.choices import SyncStatus
from sync.models import ServedSync, SyncRun
from sync.templatetags.console import brief

HEIGHT = 72  # pixels of one of the two pictures
LEAST = 2  # a data-sync that took no time is seen too
SLOTS = 240  # bars at most: of several in one slot the longest is drawn
BREADTH = 1000  # of the coordinates of the line
NAMES = {6: "%H:%M", 24: "%H:%M", 168: "%a %d", 720: "%d %b"}  # of the ticks, by the hours that are shown
STEPS = {6: dt.timedelta(hours=1), 24: dt.timedelta(hours=4), 168: dt.timedelta(days=1), 720: dt.timedelta(days=5)}
EDGE = 0.04  # of the axis, where the name of a tick would be cut off
WORST = (SyncStatus.FAILED, SyncStatus.REFUSED)

Run = SyncRun | ServedSync


@dataclass(frozen=True)
class Bar:
    """A data-sync; `x` is a place in per cent, `style` a class."""

    x: str
    top: int
    height: int
    style: str


@dataclass(frozen=True)
class Chart:
    """What the template draws."""

    bars: list[Bar]
    line: str
    area: str
    ticks: list[tuple[str, str]]
    longest: str
    furthest: str
    description: str
    height: int = HEIGHT
    breadth: int = BREADTH


def reflects(run: Run) -> dt.datetime | None:
    """The moment of the primary that the backup held after a data-sync."""
    return (run.reflects_at or run.finished_at) if isinstance(run, SyncRun) else run.started_at


def draw(runs: Sequence[Run], before: Run | None, now: dt.datetime, hours: int) -> Chart:
    """The chart of these data-syncs, the oldest first; `before` is the last good one of the time before it."""
    return _Drawer(now, hours).draw([run for run in runs if run.finished_at], before)


class _Drawer:
    def __init__(self, now: dt.datetime, hours: int) -> None:
        self._now, self._hours = now, hours
        self._begin = now - dt.timedelta(hours=hours)
        self._whole = now - self._begin

    def draw(self, runs: Sequence[Run], before: Run | None) -> Chart:
        times = [max(0.0, ((run.finished_at or self._now) - run.started_at).total_seconds()) for run in runs]
        longest = max(times, default=0.0)
        corners = self._lag(runs, before)
        furthest = max((lag for _, lag in corners), default=0.0)
        line = " ".join(f"{x:.1f},{HEIGHT - lag / (furthest or 1) * (HEIGHT - 4):.1f}" for x, lag in corners)
        area = f"{corners[0][0]:.1f},{HEIGHT} {line} {corners[-1][0]:.1f},{HEIGHT}" if corners else ""
        bad = sum(run.status in WORST for run in runs)
        return Chart(
            bars=self._bars(runs, times, longest),
            line=line,
            area=area,
            ticks=self._ticks(),
            longest=brief(longest),
            furthest=brief(furthest),
            description=f"{len(runs)} data-syncs, {bad} of them not successful; the longest took {brief(longest)}, "
            f"and the backup was at most {brief(furthest)} behind.",
        )

    def _part(self, at: dt.datetime) -> float:
        return min(1.0, max(0.0, (at - self._begin) / self._whole))

    def _bars(self, runs: Sequence[Run], times: Sequence[float], longest: float) -> list[Bar]:
        slots: dict[int, tuple[float, str]] = {}
        for run, seconds in zip(runs, times, strict=True):
            slot = min(SLOTS - 1, int(self._part(run.started_at) * SLOTS))
            style = "bad" if run.status in WORST else "moved" if run.rows_done or run.blobs_done else "idle"
            taller, seen = slots.get(slot, (0.0, ""))
            slots[slot] = max(seconds, taller), "bad" if "bad" in (style, seen) else max(style, seen)
        bars = []
        for slot, (seconds, style) in sorted(slots.items()):
            height = max(LEAST, round(seconds / (longest or 1) * (HEIGHT - 4)))
            bars.append(Bar(f"{slot / SLOTS * 100:.2f}%", HEIGHT - height, height, style))
        return bars

    def _lag(self, runs: Sequence[Run], before: Run | None) -> list[tuple[float, float]]:
        """The corners of the line: it rises with the time and falls with each good data-sync."""
        corners: list[tuple[float, float]] = []
        held = reflects(before) if before else None
        if held is not None:
            corners.append((0.0, max(0.0, (self._begin - held).total_seconds())))
        for run in runs:
            at, then = run.finished_at, reflects(run)
            if run.status != SyncStatus.SUCCESS or at is None or then is None:
                continue
            x = self._part(at) * BREADTH
            if held is not None:
                corners.append((x, max(0.0, (at - held).total_seconds())))
            corners.append((x, max(0.0, (at - then).total_seconds())))
            held = then
        if held is not None:
            corners.append((float(BREADTH), max(0.0, (self._now - held).total_seconds())))
        return corners

    def _ticks(self) -> list[tuple[str, str]]:
        step, here = STEPS[self._hours], timezone.get_current_timezone()
        midnight = self._begin.astimezone(here).replace(hour=0, minute=0, second=0, microsecond=0)
        moments = [midnight + step * number for number in range(int((self._whole + dt.timedelta(days=1)) / step) + 1)]
        shown = [at for at in moments if EDGE <= (at - self._begin) / self._whole <= 1 - EDGE]
        return [(f"{self._part(at) * 100:.2f}%", at.strftime(NAMES[self._hours])) for at in shown]
