"""How a data-sync ended on the backup: its row, Status History, and what the next one asks of it."""

from __future__ import annotations

import logging

from django.db import DatabaseError, InterfaceError
from django.db.models import Q

from appliances.choices import BrakeSubject, Severity, SyncStatus, SyncTrigger
from sync import history
from sync.datasync import brake, failures, lease
from sync.errors import SyncError
from sync.models import ServedSync, SyncRun
from sync.rules.snapshot import Refusal

log = logging.getLogger(__name__)


def did_not_agree() -> bool:
    """Whether the two appliances were found to hold different logs or recordings, and have not agreed since."""
    differs = Q(code=Refusal.APPEND_ONLY_DIFFERS.value)
    last = SyncRun.objects.exclude(status=SyncStatus.RUNNING).filter(differs | Q(status=SyncStatus.SUCCESS)).first()
    return last is not None and last.status != SyncStatus.SUCCESS


def failed(run: SyncRun, error: SyncError) -> None:
    """The data-sync has ended with this error; told in Status History where that is news."""
    try:
        _failed(run, error)
    except (DatabaseError, InterfaceError) as second:  # no room, or no database, for that either
        log.warning("end of the data-sync not stored", extra={"run": str(run.pk), "why": str(second)[:300]})


def _failed(run: SyncRun, error: SyncError) -> None:
    status, code, text = failures.outcome(error)
    before = SyncRun.objects.exclude(pk=run.pk).exclude(status=SyncStatus.RUNNING).first()
    lease.end_surely(run, status, code=code, message=text)
    log.warning("data-sync ended", extra={"run": str(run.pk), "status": status.value, "code": code})
    if before is None or before.code != code or run.trigger != SyncTrigger.INTERVAL:
        history.record(
            f"data_sync_{status.value}",
            f"Data-sync {status.label.lower()}: {error}"[:1000],
            severity=Severity.INFO if status is SyncStatus.CANCELLED else Severity.WARNING,
            evidence={"run": str(run.pk), "code": code},
        )


def succeeded(run: SyncRun) -> None:
    """The data-sync is complete."""
    before = SyncRun.objects.exclude(pk=run.pk).exclude(status=SyncStatus.RUNNING).first()
    lease.end_surely(run, SyncStatus.SUCCESS)
    brake.clear(BrakeSubject.SETTINGS, BrakeSubject.RECORDS)
    figures = {name: getattr(run, name) for name in ServedSync.FIGURES}
    log.info("data-sync ended", extra={"run": str(run.pk), "status": SyncStatus.SUCCESS.value, **figures})
    if before is None or before.status != SyncStatus.SUCCESS or run.trigger != SyncTrigger.INTERVAL:
        history.record(
            "data_sync_success",
            f"Data-sync complete: {run.moved}.",
            evidence={"run": str(run.pk), **figures},
        )
