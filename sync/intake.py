"""What comes in while the pair is apart: until when all of it is known here, and what could not be taken in.

The latter stands in Status History: once when it is found, and once when there is none left.
"""

from __future__ import annotations

import datetime as dt

from django.utils import timezone

from appliances.choices import Role, Severity, SyncStatus
from sync import history, journal
from sync.models import RoleJournal, StatusEvent, SyncRun

STUCK, REFUSED = "intake", "intake_unreadable"
NAMED = 5  # files in one sentence


def known_until() -> dt.datetime | None:
    """Until when all that clients told either appliance is here; None: that is not known.

    An old primary that comes back knows nothing of what they told the new one before its first good data-sync as its
    backup: a session that was open here may have gone on there.
    """
    state = journal.read()
    if state.is_serving:
        return timezone.now()
    good = SyncRun.objects.filter(status=SyncStatus.SUCCESS, finished_at__gte=RoleJournal.load().changed_at)
    return (
        good.order_by("-started_at").values_list("started_at", flat=True).first() if state.role == Role.BACKUP else None
    )


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
