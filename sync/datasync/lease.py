"""One data-sync at a time: the run that holds the lease, its progress, and how it ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone

from appliances.choices import SyncStage, SyncStatus, SyncTrigger
from appliances.host import process
from sync import journal
from sync.datasync.refusals import refused
from sync.errors import SyncRefused
from sync.models import SyncRun
from sync.rules.snapshot import Refusal

# A living run writes its progress twice a second, but for the minute that it may wait for one answer of the primary and
# the time in which a large table is applied.
STALE_SECONDS = 300.0
SAVE_SECONDS = 0.5  # progress is written at most twice a second
RATE_SECONDS = 5.0  # of which the rate is told
END_WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)  # seconds between the tries to store how a run ended
FIGURES = (
    "rows_total",
    "rows_done",
    "blobs_total",
    "blobs_done",
    "bytes_total",
    "bytes_done",
    "rows_sent",
    "blobs_sent",
    "folders",
    "head_term",
    "head_seq",
    "reflects_at",
    "root",
    "rate",
)
ABANDONED_CODE = "abandoned"
ABANDONED = "The process that ran this data-sync ended before it was complete. The next one goes on from there."

log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """The run was taken for dead and another one has begun."""


def is_alive(run: SyncRun) -> bool:
    """Whether the process of a run lives and has written lately."""
    if run.heartbeat_boottime is None or not process.is_alive(run.owner):
        return False
    return journal.boottime() - run.heartbeat_boottime < STALE_SECONDS


def reap() -> None:
    """A run whose process is dead has ended, whether or not another one will ever begin."""
    run = SyncRun.objects.filter(status=SyncStatus.RUNNING).first()
    if run is not None and not is_alive(run):
        end(run, SyncStatus.FAILED, code=ABANDONED_CODE, message=ABANDONED)


def claim(trigger: SyncTrigger, *, wait_seconds: float = 0.0) -> SyncRun:
    """A new run; nobody else can begin one until it has ended. A run whose process is dead is ended first.

    Raises:
        SyncRefused: a data-sync is running, and has not ended in `wait_seconds`.
    """
    until = time.monotonic() + wait_seconds
    while True:
        try:
            return _claim(trigger)
        except SyncRefused:
            if time.monotonic() >= until:
                raise
        time.sleep(SAVE_SECONDS)


def _claim(trigger: SyncTrigger) -> SyncRun:
    with transaction.atomic():
        before = SyncRun.objects.select_for_update().filter(status=SyncStatus.RUNNING).first()
        if before is not None:
            if is_alive(before):
                raise refused(Refusal.ALREADY_RUNNING)
            end(before, SyncStatus.FAILED, code=ABANDONED_CODE, message=ABANDONED)
    try:
        with transaction.atomic():
            return SyncRun.objects.create(
                trigger=trigger, owner=process.this_process(), heartbeat_boottime=journal.boottime()
            )
    except IntegrityError as error:
        raise refused(Refusal.ALREADY_RUNNING) from error


def end(run: SyncRun, status: SyncStatus, *, code: str = "", message: str = "") -> None:
    """The run has ended, unless somebody ended it before."""
    run.status, run.code, run.message = status, code[:60], message[:1000]
    run.finished_at = timezone.now()
    if status is SyncStatus.SUCCESS:
        run.stage = SyncStage.DONE
    names = ("status", "code", "message", "finished_at", "stage", *FIGURES)
    running = SyncRun.objects.filter(pk=run.pk, status=SyncStatus.RUNNING)
    running.update(**{name: getattr(run, name) for name in names})


def end_surely(run: SyncRun, status: SyncStatus, *, code: str = "", message: str = "") -> None:
    """As `end`, tried again while the database takes no writes: otherwise the run would count as alive for minutes.

    Raises:
        DatabaseError: it still takes none after half a minute. The run is over when its sign of life is old.
    """
    for wait in END_WAITS:
        try:
            end(run, status, code=code, message=message)
        except DatabaseError as error:
            log.warning("end of the data-sync not stored yet", extra={"run": str(run.pk), "why": str(error)})
            time.sleep(wait)
        else:
            return
    end(run, status, code=code, message=message)


class Progress:
    """The figures of a run; kept in its row while they change. `check` is asked whenever they are saved."""

    def __init__(self, run: SyncRun, check: Callable[[], None]) -> None:
        self.run = run
        self._check = check
        self._saved_at = 0.0
        self._measured: tuple[float, int] | None = None

    def stage(self, stage: SyncStage) -> None:
        """The run has reached this stage. Nothing is written where it begins with it, as it says so already."""
        if self.run.stage == stage:
            self._check()
            return
        self.run.stage = stage
        self.save()

    def add(self, *, rows: int = 0, blobs: int = 0, size_bytes: int = 0) -> None:
        """So much more has been received."""
        self.run.rows_done += rows
        self.run.blobs_done += blobs
        self.run.bytes_done += size_bytes
        self.tick()

    def tick(self) -> None:
        """Save, if the last time is long enough ago."""
        if time.monotonic() - self._saved_at >= SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Write the figures and the sign of life.

        Raises:
            LeaseLost: another process took this run for dead.
        """
        self._saved_at = time.monotonic()
        self._measure()
        self.run.heartbeat_boottime = journal.boottime()
        figures = {name: getattr(self.run, name) for name in ("stage", "heartbeat_boottime", *FIGURES)}
        mine = SyncRun.objects.filter(pk=self.run.pk, owner=self.run.owner, status=SyncStatus.RUNNING)
        if not mine.update(**figures):
            raise LeaseLost
        self._check()

    def _measure(self) -> None:
        """The rate is that of the last seconds: it follows a line that has become slower, and does not jump."""
        now, done = self._saved_at, self.run.bytes_done
        if self._measured is not None and (passed := now - self._measured[0]) > 0:
            recent = (done - self._measured[1]) / passed
            weight = 1.0 if self.run.rate == 0 else min(1.0, passed / RATE_SECONDS)
            self.run.rate += (recent - self.run.rate) * weight
        self._measured = now, done

    def hold(self) -> None:
        """Keep the lease until the transaction ends.

        Raises:
            LeaseLost: another process took this run for dead.
        """
        mine = SyncRun.objects.select_for_update().filter(pk=self.run.pk, owner=self.run.owner)
        if not mine.filter(status=SyncStatus.RUNNING).exists():
            raise LeaseLost
