"""The two lines of automatic failover on one time axis: the primary is surely gone, the backup may take over.

Lengths are per cent of the axis, so that the text keeps its size on a narrow screen.
"""

from __future__ import annotations

from dataclasses import dataclass

from sync.rules import timing
from sync.rules.timing import DERIVED, Entered, Timing

ROOM = 1.04  # the axis ends a little after the last moment
SHOWN = 0.05  # seconds; a shorter reserve is written as none
MOST_PROBES = 60  # that are drawn one by one; with more they would touch


@dataclass(frozen=True)
class Span:
    """A part of a line, from `start` per cent on, `width` per cent long. `style` is its class."""

    style: str
    label: str
    seconds: str
    start: str
    width: str


@dataclass(frozen=True)
class Drawing:
    """What the template draws. Moments are positions in per cent, with their text."""

    spans: list[Span]
    probes: list[str]
    failed: list[str]
    gone: str
    gone_text: str
    takes: str
    takes_text: str
    gap: Span
    is_safe: bool
    has_reserve: bool
    spare_text: str
    ticks: list[tuple[str, str]]
    problems: list[str]
    description: str
    wait: Span


def draw(timeout: float, entered: Entered = DERIVED) -> Drawing:
    """The drawing of these times, right or wrong."""
    times = timing.derive(timeout, entered)
    return _Drawer(times).draw([problem.sentence for problem in timing.problems(timeout, entered)])


class _Drawer:
    def __init__(self, times: Timing) -> None:
        self._times = times
        self._whole = max(times.timeout, times.surely_gone) * ROOM

    def draw(self, problems: list[str]) -> Drawing:
        times = self._times
        gone, takes = times.surely_gone, times.timeout
        is_safe = gone <= takes + timing.ROUNDING
        return Drawing(
            spans=self._spans(),
            probes=self._probes(),
            failed=[self._at(times.interval * (turn + 1)) for turn in range(times.failures)],
            gone=self._at(gone),
            gone_text=in_words(gone),
            takes=self._at(takes),
            takes_text=in_words(takes),
            gap=self._span("spare" if is_safe else "overlap", "", min(gone, takes), abs(takes - gone)),
            is_safe=is_safe,
            has_reserve=takes - gone >= SHOWN,
            spare_text=in_words(abs(takes - gone)),
            ticks=[(self._at(takes * part), in_words(takes * part)) for part in (0.0, 0.25, 0.5, 0.75)],
            problems=problems,
            description=self._description(is_safe),
            wait=self._span("wait", "", 0.0, takes),
        )

    def _spans(self) -> list[Span]:
        times, start, spans = self._times, 0.0, []
        for style, label, seconds in (
            ("newer", "May have heard somebody this much later", times.newer),
            ("isolation", "Isolation timer", times.isolation),
            ("lifetime", "Address lifetime", float(times.lifetime)),
            ("slack", "Lateness and drift of the clocks", times.slack),
        ):
            spans.append(self._span(style, label, start, seconds))
            start += seconds
        return spans

    def _probes(self) -> list[str]:
        """Where the backup asks; those after the first failures only where they can be told apart."""
        times = self._times
        count = int(times.timeout / times.interval)
        turns = range(times.failures + 1, count) if count <= MOST_PROBES else range(0)
        return [self._at(times.interval * turn) for turn in turns]

    def _span(self, style: str, label: str, start: float, seconds: float) -> Span:
        return Span(style, label, in_words(seconds), self._at(start), self._at(seconds))

    def _at(self, seconds: float) -> str:
        return f"{seconds / self._whole * 100:.2f}%"

    def _description(self, is_safe: bool) -> str:
        times = self._times
        order = "before" if is_safe else "not before"
        return (
            f"Counted from the last probe that the primary answered: a primary that is cut off has surely stopped "
            f"after {in_words(times.surely_gone)}, {order} the backup may take over after {in_words(times.timeout)}. "
            f"The backup asks every {timing.text(times.interval)}."
        )


def in_words(seconds: float) -> str:
    """A time as the drawing names it: "3.5 s", "3 min", "1 h 30 min"."""
    if seconds < 300:
        return timing.text(seconds)
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
