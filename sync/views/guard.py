"""The card of the guard of automatic failover on a backup: whether it is armed, and every condition with its value."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sync import history
from sync.overview import ago
from sync.rules.takeover import ACKNOWLEDGED, SWITCH, TIMED, Verdict
from sync.situation import Situation

BACK_OFF = "back-off"  # the clause that waits after an attempt that was given up
SILENT = "The primary is silent."
WITH_SWITCH = frozenset({SWITCH, ACKNOWLEDGED})  # that cannot hold while it is off


@dataclass(frozen=True)
class Condition:
    """One clause of the guard; `mark` is good, wait (time alone decides, or it is off) or bad."""

    name: str
    value: str
    mark: str


@dataclass(frozen=True)
class Guard:
    """What the card says; `tone` is the colour of its chip. `left` and `whole` are seconds of the count-down."""

    tone: str
    status: str
    detail: str
    conditions: list[Condition]
    left: float | None
    whole: float

    @property
    def passed(self) -> float:
        """How much of the count-down is over, in seconds."""
        return max(0.0, self.whole - (self.left or 0.0))

    @property
    def against(self) -> list[Condition]:
        """What speaks against a take-over and does not mend by time alone."""
        return [condition for condition in self.conditions if condition.mark == "bad"]

    @property
    def kept(self) -> int:
        """How many conditions hold."""
        return sum(condition.mark == "good" for condition in self.conditions)


def read_guard(it: Situation) -> Guard | None:
    """The guard as the last turn of this backup left it; None before the first."""
    kept: dict[str, Any] = it.view.decision or {}
    is_on = it.backup_settings.enable_automatic_failover
    conditions = [_condition(clause, is_on=is_on) for clause in kept.get("clauses", ())]
    if not conditions:
        return None
    whole = it.backup_settings.primary_timeout.total_seconds()
    left = kept.get("seconds_left") if kept.get("verdict") == Verdict.COUNT_DOWN.value else None
    against = [condition for condition in conditions if condition.mark == "bad"]
    if left is not None:
        tone, status, detail = "bad", f"takes over in {left:.0f} s", _counting(it, conditions)
    elif not is_on:
        tone, status = "", "off"
        detail = "Nobody takes over by itself. The guard only watches: Status History says what it would have done."
    elif against:
        tone, status, detail = "warn", "would not take over", str(kept.get("reason", ""))
    else:
        tone, status = "good", "armed"
        timeout = ago(it.backup_settings.primary_timeout)
        detail = f"{it.this.name} takes over when {it.peer.name} has been silent for {timeout}."
    return Guard(tone, status, detail, conditions, left, whole)


def _counting(it: Situation, conditions: list[Condition]) -> str:
    """What is said beside the count-down: also why the last attempt came to nothing, while the next one waits."""
    waits = any(condition.name == BACK_OFF and condition.mark != "good" for condition in conditions)
    why = history.given_up(it.now - dt.timedelta(hours=1)) if waits else ""
    return f"{SILENT} The last attempt was given up: {why} It is tried again." if why else SILENT


def _condition(clause: dict[str, Any], *, is_on: bool) -> Condition:
    name = str(clause.get("name", ""))
    waits = name in TIMED or (name in WITH_SWITCH and not is_on)
    return Condition(name, str(clause.get("value", "")), "good" if clause.get("holds") else "wait" if waits else "bad")
