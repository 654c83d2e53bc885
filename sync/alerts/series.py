"""What is told in the middle of an episode: of a silent primary, how the take-over comes nearer or why it does not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from appliances.choices import State
from sync import history, overview, probes
from sync.alerts.conditions import PRIMARY_SILENT
from sync.alerts.sight import Sight
from sync.models import AlertEpisode
from sync.rules.due import count_down_part
from sync.rules.takeover import Verdict

PART = "part:"
WHY_NOT = "not because:"
BECOMING = "becoming"
BECOMING_SECONDS = 2.0  # a take-over that needs no confirmation by others has ended by then, and is told as such
HELD_SECONDS = 10.0
APART_SECONDS = 5.0  # no second mail right after the first, where the timeout is short


@dataclass(frozen=True)
class Next:
    """Something to tell: `key` is kept in the episode, `kind` chooses the words, `hold` is as that of a condition."""

    key: str
    kind: str
    hold: float = 0.0


def words(seen: Sight) -> dict[str, object]:
    """What the words of the mails need beside the overview: how a take-over stands, and how old things are."""
    decision = seen.known.view.decision
    timeout = probes.times().timeout
    is_counting = decision.get("verdict") == Verdict.COUNT_DOWN.value
    left = decision.get("seconds_left") or 0.0
    return {
        "is_counting": is_counting,
        "is_held": decision.get("verdict") == Verdict.HOLD.value,
        "part": count_down_part((seen.silence or 0.0) + APART_SECONDS, timeout, ()) if is_counting else None,
        "left": _said(left),
        "timeout": _said(timeout),
        "silence": _said(seen.silence) if seen.silence is not None else "",
        "reason": str(decision.get("reason", "")),
        "given_up": history.given_up(seen.known.now - dt.timedelta(hours=1)),
        "threshold": overview.ago(seen.pull_threshold),
        "test_ips": ", ".join(seen.test_ips),
        "is_peer_backup": str(seen.known.peer_role) == "backup",
    }


def told_at_once(said: Mapping[str, object]) -> list[str]:
    """What the first mail of an episode tells already."""
    return [] if said.get("part") is None else [f"{PART}{said['part']}"]


def next_of(episode: AlertEpisode, seen: Sight) -> Next | None:
    """What this open episode has to tell next."""
    if episode.code != PRIMARY_SILENT:
        return None
    decision, told = seen.known.view.decision, episode.told
    is_judged_since = decision.get("verdict") != Verdict.TAKE_OVER.value  # else it says nothing of the next attempt
    given_up = history.given_up(episode.opened_at) if is_judged_since else ""
    if given_up and f"{WHY_NOT}{given_up}" not in told:
        return Next(f"{WHY_NOT}{given_up}", "given_up")
    if seen.state == State.B_PROMOTING:
        return None if BECOMING in told else Next(BECOMING, "becoming", BECOMING_SECONDS)
    parts = [int(key.removeprefix(PART)) for key in told if key.startswith(PART)]
    if decision.get("verdict") == Verdict.COUNT_DOWN.value:
        part = count_down_part(seen.silence or 0.0, probes.times().timeout, parts)
        return None if part is None else Next(f"{PART}{part}", "count_down")
    key = f"{WHY_NOT}{decision.get('reason')}"
    if decision.get("verdict") == Verdict.HOLD.value and parts and key not in told:
        return Next(key, "held", HELD_SECONDS)
    return None


def _said(seconds: float) -> str:
    return overview.ago(dt.timedelta(seconds=round(seconds)))
