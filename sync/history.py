"""Status History: write one line, read the newest. Nothing else writes `StatusEvent`."""

from __future__ import annotations

import logging
from typing import Any

from django.db.models import QuerySet

from appliances.choices import Severity
from sync import journal
from sync.models import StatusEvent

KEEP = 5000  # lines; the page shows them paged, older ones are of no use to anybody

log = logging.getLogger(__name__)


def record(
    event: str, sentence: str, *, severity: Severity = Severity.INFO, evidence: dict[str, Any] | None = None
) -> StatusEvent:
    """Write one line of Status History with the role and term of this moment, and the same to the log."""
    state = journal.read()
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


def prune() -> int:
    """Forget the lines beyond the newest KEEP; the number forgotten."""
    oldest_kept = StatusEvent.objects.order_by("-id").values_list("id", flat=True)[KEEP : KEEP + 1].first()
    if oldest_kept is None:
        return 0
    return StatusEvent.objects.filter(id__lte=oldest_kept).delete()[0]
