"""Celery's door: one flow a task, then enqueue what the flow says comes next.

Messages are hints; what is due stands in the database. A lost or doubled one costs a tick.
"""

from __future__ import annotations

import logging
import uuid
from typing import Any

from celery import Task, shared_task, signals
from django.conf import settings
from django.db import DatabaseError
from kombu.exceptions import OperationalError

from appliances import disk
from appliances.choices import ChangeStatus, Role, SyncTrigger
from appliances.incoming import watch as incoming
from appliances.services import sessions
from sync import alerts, cycle, failover, history, intake, journal, role_changes
from sync.datasync import marks, pull, repair, retention, scrub
from sync.datasync.tidy import tidy
from sync.errors import MessageRefused, SyncError, SyncRefused
from sync.keeper import SENTRY_SECONDS, Keeper
from sync.models import RoleChange
from sync.peer import messages
from sync.peer.client import PeerClient
from sync.portal import Portal
from sync.rules.due import PROBE_TOTAL_SECONDS, Work
from sync.rules.facts import header_of
from sync.versions import waiting

# A turn says the same again each second until it is done: what no worker took by then need not wait in the queue.
HINT_SECONDS = 5
SEAL_SECONDS = 5.0  # of a worker that others wait for too

log = logging.getLogger(__name__)


def turn() -> None:
    """One turn of this appliance, run by the keeper."""
    for work in cycle.turn(_pulse):
        match work:
            case Work.PULL_DATA:
                _enqueue(pull_data, pull.automatic_trigger(), expires=HINT_SECONDS)
            case Work.DRIVE_ROLE_CHANGE:
                change = role_changes.running()
                if change is not None:
                    _enqueue(drive, str(change.pk), expires=HINT_SECONDS)
            case Work.COUNT_DIFFERENCES:
                _enqueue(count_differences, expires=HINT_SECONDS)


def watch() -> None:
    """See what the administrators have to be told of; beside the turns, so that none of them waits for it."""
    try:
        disk.keep_ballast()  # first: a full disk may keep the database from noting anything
    except OSError as error:
        log.warning("ballast not looked after", extra={"why": str(error)})
    alerts.examine(_watch)
    if alerts.claim_look_by_name():
        _enqueue(look_by_name, expires=HINT_SECONDS)
    send_alerts()


DUE_AGAIN = (DatabaseError,)  # worth one line: the work is done once the database is there again

_pulse, _watch = failover.Pulse(Portal()), alerts.Watch()
_keeper = Keeper(turn, lambda: settings.DATA_DIR / "keeper.lock")
_watchman = Keeper(watch, lambda: settings.DATA_DIR / "watchman.lock")
_sentry = Keeper(lambda: cycle.between_turns(_pulse), lambda: settings.DATA_DIR / "sentry.lock", seconds=SENTRY_SECONDS)
_residents = (_keeper, _sentry, _watchman)


@shared_task(name="sync.keep")
def keep() -> None:
    """The keeper runs in this worker, with the sentry and the watchman beside it; the tick sees to it that they do."""
    for resident in _residents:
        resident.ensure()


@signals.worker_ready.connect
def keep_from_the_start(sender: Any, **_: Any) -> None:
    """The first turn does not wait for a tick."""
    if str(getattr(sender, "hostname", "")).startswith("role@"):
        keep()


@signals.worker_shutting_down.connect
def stop_keeping(**_: Any) -> None:
    """The worker ends: so do the turns."""
    for resident in _residents:
        resident.stop()


@shared_task(name="sync.pull_data")
def pull_data(trigger: str) -> None:
    """Pull a data-sync; its `SyncRun` tells how it went."""
    try:
        pull.pull_data(SyncTrigger(trigger))
    except SyncError as error:
        log.warning("data-sync ended", extra={"code": error.code, "why": str(error)})


@shared_task(name="sync.drive")
def drive(change_id: str) -> None:
    """Drive a planned swap; on a queue of its own, so that it never waits behind a long data-sync."""
    role_changes.drive(uuid.UUID(change_id))


@shared_task(name="sync.count_differences", throws=DUE_AGAIN)
def count_differences() -> None:
    """Count in what the settings of a waiting old primary differ from those of the new one."""
    waiting.count_if_due()


@shared_task(name="sync.look_by_name", throws=DUE_AGAIN)
def look_by_name() -> None:
    """Look for the primary under its host name; names may take seconds to be found."""
    alerts.look_by_name()


@shared_task(name="sync.mail", throws=DUE_AGAIN)
def send_mail() -> None:
    """Send what waits in the outbox."""
    alerts.flush()


def send_alerts() -> None:
    """What is due in the outbox is being sent; nobody waits for it."""
    if alerts.is_mail_due():
        _enqueue(send_mail, expires=HINT_SECONDS)


@shared_task(name="sync.take_in", throws=DUE_AGAIN)
def take_in() -> None:
    """Recordings and sessions that nobody goes on with are kept as they are."""
    taken = incoming.take_in(is_serving=journal.read().is_serving, known_until=intake.known_until())
    if taken is None:
        return
    if any(taken.counts.values()):
        log.info("taken in", extra=taken.counts)
    intake.tell(taken.stuck, taken.unreadable)


@shared_task(name="sync.seal", throws=DUE_AGAIN)
def seal() -> None:
    """Rows of logs that wait in great numbers have theirs before the next data-sync."""
    if sealed := marks.seal_beside(SEAL_SECONDS):
        log.info("log rows numbered", extra={"rows": sealed})


@shared_task(name="sync.scrub", throws=DUE_AGAIN)
def scrub_files() -> None:
    """Read some of the stored files again, and fetch from the peer what is damaged or missing."""
    if verified := scrub.go_on():
        log.info("stored files verified", extra={"files": verified})
    repair.mend()


@shared_task(name="sync.housekeeping", throws=DUE_AGAIN)
def housekeeping() -> None:
    """Forget what is past its time: old history, log-ins, sessions and recordings, and files that nothing refers to."""
    forgotten = {"history": history.prune(), "sessions": sessions.forget_expired()}
    expired = retention.expire()
    forgotten |= {"past_sessions": expired.sessions, "past_recordings": expired.recordings}
    swept = tidy()
    forgotten |= {"files": swept.blobs, "bytes": swept.size_bytes}
    log.info("housekeeping done", extra=forgotten)


def start_role_change(change: RoleChange) -> bool:
    """Enqueue what a requested role change needs: on the backup, its drive; on the primary, the peer was told.

    False if the broker does not answer: the change stands, and begins with the first turn after the broker is back.
    """
    if change.status == ChangeStatus.RUNNING and journal.read().role == Role.BACKUP:
        return _enqueue(drive, str(change.pk))
    return True


def sync_now(requested_by: str) -> None:
    """Let the backup pull a data-sync, whichever appliance this is.

    Raises:
        SyncRefused: there is no relationship, a data-sync is running, or the backup's broker does not answer.
        PeerError: this appliance is primary and the backup cannot be asked, or refuses.
    """
    match journal.read().role:
        case Role.NONE:
            raise SyncRefused("not_configured", "Failover is not configured.", remedy="Establish a relationship first.")
        case Role.PRIMARY:
            with PeerClient.to_peer(timeout=PROBE_TOTAL_SECONDS) as client:
                client.ask(messages.SyncWish(requested_by), messages.Done)
        case Role.BACKUP:
            if pull.is_running():
                raise SyncRefused("running", "A data-sync is running already.")
            if not _enqueue(pull_data, SyncTrigger.SYNC_NOW):
                raise SyncRefused(
                    "no_broker",
                    "The message broker of the backup does not answer, so no data-sync was started.",
                    remedy="Check that the backup's programs run (its log says which one ended), then try again.",
                )


def answer_sync_wish(message: messages.SyncWish) -> messages.Done:
    """Sync Now was pressed on the primary."""
    state = journal.read()
    if state.role != Role.BACKUP:
        raise MessageRefused("not_backup", "This appliance is not backup.", status=409)
    try:
        sync_now(message.requested_by)
    except SyncRefused as error:
        raise MessageRefused(error.reason, error.message, status=409) from error
    return messages.Done(header_of(state))


def answer_swap_wish(message: messages.SwapWish) -> messages.Done:
    """Become Backup was pressed on the primary: record it, and drive it here."""
    reply = role_changes.answer_swap_wish(message)
    _enqueue(drive, str(uuid.UUID(message.change_id)))
    return reply


def _enqueue(task: Task[..., None], *arguments: str, expires: float | None = None) -> bool:
    """Whether the broker took the message. A lost one is logged and stops nobody: the database says what is due."""
    options: dict[str, Any] = {} if expires is None else {"expires": expires}
    try:
        task.apply_async(arguments, **options)
    except OperationalError as error:
        log.warning("task not queued", extra={"task": task.name, "reason": str(error)})
        return False
    return True
