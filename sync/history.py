"""Status History: write one line, read the newest. Nothing else writes `StatusEvent`."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

from django.db.models import Model, QuerySet

from appliances.choices import Severity
from sync import journal
from sync.models import AlertEpisode, DamagedFile, RoleChange, ServedSync, StatusEvent, SyncRun

LONGEST = 1000  # characters of a sentence: the column holds no more
GIVEN_UP = "role.21"  # that row of the table
KEEP = 5000  # of each kind; the page shows them paged, older ones are of no use to anybody

log = logging.getLogger(__name__)


def record(
    event: str, sentence: str, *, severity: Severity = Severity.INFO, evidence: dict[str, Any] | None = None
) -> StatusEvent:
    """Write one line of Status History with the role and term of this moment, and the same to the log.

    What is too long for its column is cut: the evidence has it all.
    """
    state = journal.read()
    sentence = sentence if len(sentence) <= LONGEST else f"{sentence[: LONGEST - 1]}…"
    row = StatusEvent.objects.create(
        event=event,
        sentence=sentence,
        severity=severity,
        evidence=evidence or {},
        role=state.role,
        term=state.term,
    )
    log.info("status event", extra={"status_event": event, "role": state.role, "term": state.term, "text": sentence})
    return row


def latest(count: int = 50) -> QuerySet[StatusEvent]:
    """The newest lines, newest first."""
    return StatusEvent.objects.all()[:count]


def given_up(since: dt.datetime) -> str:
    """Why a take-over was given up last, empty if none was."""
    events = StatusEvent.objects.filter(event=GIVEN_UP, at__gte=since).order_by("-at")
    evidence = events.values_list("evidence", flat=True).first()
    return str(evidence.get("reason", "")) if evidence else ""


def prune() -> int:
    """Forget what lies beyond the newest KEEP lines, data-syncs, role changes and alerts; the number forgotten."""
    forgotten = 0
    kinds: tuple[tuple[type[Model], str], ...] = (
        (StatusEvent, "-id"),
        (SyncRun, "-started_at"),
        (ServedSync, "-started_at"),
        (RoleChange, "-requested_at"),
        (AlertEpisode, "-id"),
        (DamagedFile, "-id"),
    )
    for model, newest_first in kinds:
        beyond = model._default_manager.order_by(newest_first).values("pk")[KEEP:]
        forgotten += model._default_manager.filter(pk__in=list(beyond.values_list("pk", flat=True))).delete()[0]
    return forgotten
