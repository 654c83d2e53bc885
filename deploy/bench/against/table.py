"""The figures of all runs: medians, ratios to the rivals of the same run, targets met or missed."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from deploy.bench.against.measured import Measured

OURS = "this product"
MIB = 1024  # KiB
COLUMNS = ("", "wall s", "cpu s", "wire MB", "peak MiB", "ours: wall x", "cpu x", "wire x")
WIDTHS = (42, 9, 16, 11, 13, 14, 8, 8)


@dataclass(frozen=True)
class Target:
    """A bound on our figure: a multiple of the rival's in the same case, or an absolute one where no rival is named."""

    name: str
    case: str
    figure: str  # "wall" (s), "wire" (bytes), "growth" (MiB), "mean" and "worst" pace (multiples of the limit)
    at_most: float
    rival: str = ""
    at_least: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """What became of a target."""

    target: Target
    reached: float

    @property
    def is_met(self) -> bool:
        """Whether our figure is within the bound."""
        return self.target.at_least <= self.reached <= self.target.at_most


@dataclass
class Results:
    """Every run of every case, by contestant."""

    runs: dict[str, dict[str, list[Measured]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def add(self, case: str, who: str, measured: Measured) -> None:
        """One more run."""
        self.runs[case][who].append(measured)

    def median(self, case: str, who: str, figure: str) -> float | None:
        """The median of a figure over the runs, but the most of a growth; None where it was not measured."""
        found = [value for run in self._of(case, who) if (value := _FIGURES[figure](run)) is not None]
        if not found:
            return None
        return max(found) if figure == "growth" else statistics.median(found)

    def ratio(self, case: str, figure: str, rival: str) -> float | None:
        """Our figure as a multiple of the rival's."""
        ours, theirs = self.median(case, OURS, figure), self.median(case, rival, figure)
        return None if ours is None or not theirs else ours / theirs

    def verdict(self, target: Target) -> Verdict | None:
        """What became of a target; None where its case was not measured."""
        if target.rival:
            reached = self.ratio(target.case, target.figure, target.rival)
        else:
            reached = self.median(target.case, OURS, target.figure)
        return None if reached is None else Verdict(target, reached)

    def _of(self, case: str, who: str) -> list[Measured]:
        return self.runs.get(case, {}).get(who, [])

    def lines_of(self, case: str) -> Iterator[str]:
        """The table of one case."""
        yield _row(f"{case}", *COLUMNS[1:])
        for who in sorted(self.runs[case], key=lambda who: who != OURS):
            wall, wire = self.median(case, who, "wall"), self.median(case, who, "wire")
            yield _row(
                f"  {who} ({len(self.runs[case][who])})",
                _number(wall),
                _pair(self.median(case, who, "cpu source"), self.median(case, who, "cpu backup"), 2),
                _number(None if wire is None else wire / 1e6),
                _pair(self._mib(case, who, "peak source"), self._mib(case, who, "peak backup"), 0),
                "" if who == OURS else _number(self.ratio(case, "wall", who), 2),
                "" if who == OURS else _number(self.ratio(case, "cpu", who), 2),
                "" if who == OURS else _number(self.ratio(case, "wire", who), 2),
            )

    def paces_of(self, case: str) -> Iterator[str]:
        """How well each contestant of a case kept to its limit."""
        for who in self.runs[case]:
            mean, worst = self.median(case, who, "mean"), self.median(case, who, "worst")
            if mean is not None:
                yield f"  {who}: {_number(mean)} of the limit on the average, {_number(worst)} in the worst second"

    def _mib(self, case: str, who: str, figure: str) -> float | None:
        kib = self.median(case, who, figure)
        return None if kib is None else kib / MIB


def _both(pair: str, place: int) -> Callable[[Measured], float | None]:
    def figure(run: Measured) -> float | None:
        values = getattr(run, pair)
        return None if values is None or place >= len(values) else float(values[place])

    return figure


def _growth(run: Measured) -> float | None:
    return None if run.growth is None else max(run.growth) / MIB


_FIGURES: dict[str, Callable[[Measured], float | None]] = {
    "wall": lambda run: run.wall,
    "wire": lambda run: run.wire,
    "cpu": lambda run: None if run.cpu is None else sum(run.cpu),
    "cpu source": _both("cpu", 0),
    "cpu backup": _both("cpu", 1),
    "peak source": _both("peak", 0),
    "peak backup": _both("peak", 1),
    "growth": _growth,
    "mean": _both("pace", 0),
    "worst": _both("pace", 1),
}


def lines_of_verdicts(results: Results, targets: tuple[Target, ...]) -> Iterator[str]:
    """The targets whose cases were measured, and what became of each."""
    verdicts = [verdict for target in targets if (verdict := results.verdict(target)) is not None]
    for verdict in verdicts:
        target = verdict.target
        bound = f"<= {target.at_most:g} x {target.rival}" if target.rival else f"<= {target.at_most:g}{_unit(target)}"
        bound += f", >= {target.at_least:g}" if target.at_least else ""
        yield (
            f"{target.name:4} {target.case:34} {target.figure:7} {bound:32} {_number(verdict.reached, 3):>9}  "
            f"{'met' if verdict.is_met else 'MISSED'}"
        )
    yield f"{sum(verdict.is_met for verdict in verdicts)} of {len(verdicts)} targets met."


def _unit(target: Target) -> str:
    return {"wall": " s", "wire": " bytes", "growth": " MiB", "mean": " x limit", "worst": " x limit"}[target.figure]


def _row(*cells: str) -> str:
    first, *rest = (cell.rjust(width) for cell, width in zip(cells, WIDTHS, strict=True))
    return " ".join([first.strip().ljust(WIDTHS[0]), *rest]).rstrip()


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _pair(first: float | None, second: float | None, digits: int) -> str:
    if first is None:
        return "-"
    return _number(first, digits) if second is None else f"{first:.{digits}f} + {second:.{digits}f}"
