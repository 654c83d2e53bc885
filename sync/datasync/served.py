"""What the primary knows of each data-sync that the backup pulled from it: how it went, and that both hold the same.

The primary keeps what it told the backup: the digests of its snapshot, and its marks after each push. At the end the
backup says the root of what it read back from its own tables. Only where the two roots are equal is the data-sync good.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid

from django.db.models import QuerySet
from django.utils import timezone

from appliances.choices import SyncStatus, SyncTrigger
from sync.datasync import snapshots
from sync.datasync.refusals import refused
from sync.errors import PeerMisbehaved
from sync.models import ServedSync
from sync.peer.messages import Message, read
from sync.peer.sync_messages import Manifest, PullBegin, PullEnd
from sync.rules.diff import Mark, TableDigest, Wanted, root
from sync.rules.facts import Head
from sync.rules.snapshot import Refusal

UNREPORTED = "The backup has not said how this data-sync ended: it, or the line to it, was cut off."


@dataclasses.dataclass(frozen=True)
class Told(Message):
    """What the primary said of what it holds."""

    head: Head
    settings: list[TableDigest]
    marks: list[Mark]
    announced: list[Mark]  # what the backup had said of what it holds
    may_delete: int = 0  # sessions and recordings that its tombstones may still delete

    @property
    def root(self) -> str:
        """One hash over all of it."""
        return root(self.head, self.settings, self.marks)


def begun(message: PullBegin, manifest: Manifest) -> None:
    """The backup was told what there is; where all was equal, that was the whole data-sync."""
    give_up()
    told = Told(manifest.head, manifest.settings, manifest.marks, message.marks)
    is_over = not manifest.snapshot_id
    trigger = message.trigger if message.trigger in SyncTrigger.values else SyncTrigger.INTERVAL.value
    fields = {
        "snapshot_id": manifest.snapshot_id,
        "trigger": trigger,
        "status": SyncStatus.SUCCESS if is_over else SyncStatus.RUNNING,
        "finished_at": timezone.now() if is_over else None,
        "root": told.root if is_over else "",
        "told": {} if is_over else dataclasses.asdict(told),
    }
    ServedSync.objects.update_or_create(pk=_run_id(message), defaults=fields)  # it goes on where there was too much


def give_up() -> None:
    """A data-sync of which nothing is heard any more has ended: the backup has begun another one."""
    _give_up(ServedSync.objects.filter(status=SyncStatus.RUNNING))


def give_up_silent() -> None:
    """Nor has one gone on whose snapshot nobody asked for in an hour: the backup may never begin another one."""
    oldest = timezone.now() - dt.timedelta(seconds=snapshots.KEEP_SECONDS)
    running = ServedSync.objects.filter(status=SyncStatus.RUNNING, started_at__lt=oldest)
    _give_up(running.exclude(snapshot_id__in=snapshots.names()))


def _give_up(rows: QuerySet[ServedSync]) -> None:
    rows.update(status=SyncStatus.FAILED, code="abandoned", message=UNREPORTED, finished_at=timezone.now(), told={})


def check_push(snapshot_id: str, wanted: Wanted, peer_guid: str) -> None:
    """Raises PeerMisbehaved if a push reaches further than the backup can: only of its own rows it has new ones."""
    row = _row(snapshot_id)
    if row.status != SyncStatus.RUNNING:
        raise refused(Refusal.SNAPSHOT_GONE)
    told = read(Told, row.told)
    known = [mark.seq for mark in (*told.announced, *told.marks) if mark.key == wanted.key]
    if wanted.origin != peer_guid and wanted.upto > max(known, default=0):
        raise PeerMisbehaved("a push of the data-sync reaches further than what the backup holds")


def reached(snapshot_id: str) -> dict[tuple[str, str, int], int]:
    """Up to which number of each mark there are rows for this data-sync: of the snapshot, and pushed since then."""
    row = ServedSync.objects.filter(snapshot_id=snapshot_id, status=SyncStatus.RUNNING).first()
    return {mark.key: mark.seq for mark in read(Told, row.told).marks} if row is not None else {}


def may_delete(snapshot_id: str) -> int:
    """How many sessions and recordings the backup's tombstones may delete, as was agreed to for all of them."""
    return read(Told, _row(snapshot_id).told).may_delete


def agree_to_delete(snapshot_id: str, count: int) -> None:
    """The tombstones of this data-sync may delete so many from now on."""
    row = _row(snapshot_id)
    row.told = {**row.told, "may_delete": max(count, 0)}
    row.save(update_fields=["told"])


def pushed(snapshot_id: str, marks: list[Mark]) -> None:
    """The backup was told these marks after a push."""
    row = _row(snapshot_id)
    row.told = {**row.told, "marks": [dataclasses.asdict(mark) for mark in marks]}
    row.save(update_fields=["told"])


def ended(message: PullEnd) -> None:
    """The data-sync stands in the history as the backup reports it. Told again, the answer is the same.

    Raises:
        SyncRefused: it calls it complete, and does not hold what it was told.
    """
    row = _row(message.snapshot_id)
    if row.status != SyncStatus.RUNNING:
        if message.complete and (row.status, row.root) != (SyncStatus.SUCCESS, message.root):
            differs = row.code == Refusal.ROOT_DIFFERS.value
            raise refused(Refusal.ROOT_DIFFERS if differs else Refusal.SNAPSHOT_GONE)
        return
    report = message.report
    differs = message.complete and read(Told, row.told).root != message.root
    error = refused(Refusal.ROOT_DIFFERS) if differs else None
    row.status = SyncStatus.SUCCESS if message.complete else _status(report.status)
    row.code, row.message = report.code[:60], report.message[:1000]
    if error is not None:
        row.status, row.code, row.message = SyncStatus.REFUSED, error.reason, error.message
    for name in ServedSync.FIGURES:
        setattr(row, name, max(0, getattr(report, name)))
    row.root, row.told, row.finished_at = "" if differs else message.root[:64], {}, timezone.now()
    row.save()
    if error is not None:
        raise error


def _run_id(message: PullBegin) -> uuid.UUID:
    try:
        return uuid.UUID(message.run_id)
    except ValueError as error:
        raise PeerMisbehaved("the data-sync has no number") from error


def _row(snapshot_id: str) -> ServedSync:
    row = ServedSync.objects.filter(snapshot_id=snapshot_id).first() if snapshot_id else None
    if row is None:
        raise refused(Refusal.SNAPSHOT_GONE)
    return row


def _status(said: str) -> SyncStatus:
    return SyncStatus(said) if said in (SyncStatus.REFUSED, SyncStatus.CANCELLED) else SyncStatus.FAILED
