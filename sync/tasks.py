"""Celery's door: one flow a task, then enqueue what the flow says comes next.

Messages are hints; what is due stands in the database. A lost or doubled one costs a tick.
"""

from __future__ import annotations

import logging
import uuid

from celery import shared_task

from appliances.choices import ChangeStatus, Role, SyncTrigger
from sync import cycle, journal, role_changes
from sync.datasync import pull
from sync.errors import SyncError, SyncRefused
from sync.models import RoleChange
from sync.rules.due import Work

log = logging.getLogger(__name__)


@shared_task(name="sync.turn", queue="role")
def turn() -> None:
    """One turn of this appliance."""
    for work in cycle.turn():
        match work:
            case Work.PULL_DATA:
                pull_data.delay(SyncTrigger.INTERVAL)
            case Work.DRIVE_ROLE_CHANGE:
                change = role_changes.running()
                if change is not None:
                    drive.delay(str(change.pk))


@shared_task(name="sync.pull_data", queue="sync")
def pull_data(trigger: str) -> None:
    """Pull a data-sync; its `SyncRun` tells how it went."""
    try:
        pull.pull_data(SyncTrigger(trigger))
    except SyncError as error:
        log.warning("data-sync ended", extra={"code": error.code, "why": str(error)})


@shared_task(name="sync.drive", queue="sync")
def drive(change_id: str) -> None:
    """Drive a planned swap."""
    role_changes.drive(uuid.UUID(change_id))


def start_role_change(change: RoleChange) -> None:
    """Enqueue what a requested role change needs: on the backup, its drive; on the primary, the peer was told."""
    if change.status == ChangeStatus.RUNNING and journal.read().role == Role.BACKUP:
        drive.delay(str(change.pk))


def sync_now() -> None:
    """Enqueue a data-sync, asked for by hand.

    Raises:
        SyncRefused: this appliance is not backup, or a data-sync is running.
    """
    if journal.read().role != Role.BACKUP:
        raise SyncRefused("not_backup", "This appliance is not backup: the backup pulls the data-sync.")
    if pull.is_running():
        raise SyncRefused("running", "A data-sync is running already.")
    pull_data.delay(SyncTrigger.SYNC_NOW)
