"""What cannot be taken in, as Status History tells it: once when it is found, and once when there is none left."""

from __future__ import annotations

from appliances.choices import Severity
from sync import history
from sync.models import StatusEvent

STUCK, REFUSED = "intake", "intake_unreadable"
NAMED = 5  # files in one sentence


def tell(stuck: dict[str, str], unreadable: dict[str, str]) -> None:
    """Say what could not be taken in, by what is told of each file and why.

    `stuck` is found again at each look, and told where it is not what was told last; `unreadable` was just refused.
    """
    if unreadable:
        history.record(
            REFUSED,
            f"Refused in the watched folder, for the disk does not give a file: {_named(unreadable)}. All others are "
            "taken in. Look into refused/ in that folder, check the disk, and put a whole copy in.",
            severity=Severity.WARNING,
            evidence={"files": _lines(unreadable)},
        )
    last = StatusEvent.objects.filter(event=STUCK).order_by("-pk").first()
    if _lines(stuck) == (last.evidence.get("files") if last is not None else []):
        return
    if stuck:
        sentence = f"Not taken in: {_named(stuck)}. All others are. Check the disk, and who may write there."
        history.record(STUCK, sentence, severity=Severity.WARNING, evidence={"files": _lines(stuck)})
    else:
        history.record(STUCK, "Nothing is left that could not be taken in.", evidence={"files": []})


def _named(files: dict[str, str]) -> str:
    named = "; ".join(line.rstrip(".") for line in _lines(files)[:NAMED])
    return f"{named}; and {len(files) - NAMED} more" if len(files) > NAMED else named


def _lines(files: dict[str, str]) -> list[str]:
    return sorted(f"{what}: {why}" for what, why in files.items())
