"""`sync_now`: what Sync Now on the Failover page does."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from appliances.choices import Role, SyncStatus
from appliances.management.base import ApplianceCommand
from sync import journal, overview, tasks
from sync.datasync import lease
from sync.errors import SyncError, SyncRefused
from sync.management.shell import POLL_SECONDS, REFUSED, UNFINISHED, Display, figures, operator, wait_until
from sync.models import PeerView, SyncRun

START_SECONDS = 30.0  # a worker takes it within a second unless it is not running
RESTART_SECONDS = 90.0  # a data-sync that was cut off is tried again after 20 s, by a worker that has to start


class Command(ApplianceCommand):
    """It shows how far the data-sync is, on the primary as the backup tells it; ending the command ends only that."""

    help = (
        "Let the backup pull a data-sync and wait for its end. Exit codes: 0 done, 1 refused or failed, 2 not finished."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """A data-sync may take hours; the default waits for one of the usual size."""
        parser.add_argument("--timeout", type=float, default=3600.0, help="seconds to wait for the end (default: 3600)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask for it, and follow it to its end."""
        before, asked_at = _reported(), timezone.now()
        role = journal.read().role
        try:
            tasks.sync_now(operator())
        except SyncRefused as refusal:
            if refusal.reason != "running":
                raise CommandError(str(refusal), returncode=REFUSED) from refusal
            self.stdout.write("A data-sync is running already: it is followed.")
        except SyncError as error:
            raise CommandError(str(error), returncode=REFUSED) from error
        try:
            if role == Role.PRIMARY:
                self._wait_for_backup(before, options["timeout"])
            else:
                self._follow(asked_at, options["timeout"])
        except KeyboardInterrupt:
            raise CommandError(
                "No longer watched: the data-sync goes on in its worker.", returncode=UNFINISHED
            ) from None

    def _wait_for_backup(self, before: tuple[object, object], seconds: float) -> None:
        self.stdout.write("The backup has been asked. It goes on even if you end this command.")
        deadline, display = time.monotonic() + seconds, Display(self.stdout)
        try:
            while _reported() == before:
                if time.monotonic() >= deadline:
                    raise CommandError("The time is up: the backup has not reported an end yet.", returncode=UNFINISHED)
                if (found := overview.now().progress) is not None:
                    display.show(found)
                time.sleep(POLL_SECONDS)
        finally:
            display.clear()
        _, status = _reported()
        if status != SyncStatus.SUCCESS:
            raise CommandError(f"The data-sync ended: {status}. See the backup.", returncode=REFUSED)
        self.stdout.write(self.style.SUCCESS("The backup holds the data of this appliance."))

    def _follow(self, asked_at: dt.datetime, seconds: float) -> None:
        deadline, display = time.monotonic() + seconds, Display(self.stdout)
        if not _begins(asked_at, min(START_SECONDS, seconds)):
            raise CommandError("No worker has begun the data-sync. Is the appliance running?", returncode=UNFINISHED)
        try:
            run = self._watch(asked_at, deadline, display)
            while run is not None and run.code == lease.ABANDONED_CODE:
                display.clear()
                self.stdout.write(
                    "The worker was stopped in the middle. What had arrived is kept; the next one goes on."
                )
                next_from = run.started_at + dt.timedelta(microseconds=1)
                if not _begins(next_from, min(RESTART_SECONDS, deadline - time.monotonic())):
                    break
                run = self._watch(next_from, deadline, display)
        finally:
            display.clear()
        if run is None or run.status != SyncStatus.SUCCESS:
            ended = f"{run.get_status_display()}: {run.message}" if run else "it is gone"
            code = UNFINISHED if run and run.status == SyncStatus.CANCELLED else REFUSED
            raise CommandError(f"The data-sync did not succeed. {ended}", returncode=code)
        self.stdout.write(self.style.SUCCESS(f"Done: {', '.join(figures(run)) or 'nothing had changed'}."))

    def _watch(self, asked_at: dt.datetime, deadline: float, display: Display) -> SyncRun | None:
        """The data-sync, once it has ended."""
        run = _run(asked_at)
        while run is not None and run.status == SyncStatus.RUNNING:
            if time.monotonic() >= deadline:
                raise CommandError("The time is up: the data-sync goes on.", returncode=UNFINISHED)
            display.show(run.progress(timezone.now()))
            time.sleep(POLL_SECONDS)
            run = SyncRun.objects.filter(pk=run.pk).first()
        return run


def _reported() -> tuple[object, object]:
    """What the backup reported last: the moment its latest good data-sync reflects, and how its latest one ended."""
    said = PeerView.load().status
    return said.get("last_sync_at"), said.get("last_sync_status")


def _begins(after: dt.datetime, seconds: float) -> bool:
    """Whether a data-sync begins after that moment, within so many seconds."""
    return wait_until(lambda: _run(after) is not None, seconds)


def _run(asked_at: dt.datetime) -> SyncRun | None:
    """The data-sync that was asked for: the one that runs, or the latest one begun since."""
    running = SyncRun.objects.filter(status=SyncStatus.RUNNING).first()
    return running or SyncRun.objects.filter(started_at__gte=asked_at).order_by("-started_at").first()
