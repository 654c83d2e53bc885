"""`sync_now`: what Sync Now on the Failover page does."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from appliances.choices import Role, SyncStatus
from appliances.management.base import ApplianceCommand
from sync import journal, tasks
from sync.errors import SyncError, SyncRefused
from sync.management.shell import POLL_SECONDS, REFUSED, UNFINISHED, figures, operator, progress, wait_until
from sync.models import PeerView, SyncRun

START_SECONDS = 30.0  # a worker takes it within a second unless it is not running


class Command(ApplianceCommand):
    """On the backup it follows the data-sync; on the primary it waits for the backup to report it."""

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
            raise CommandError("No longer watched: the data-sync goes on.", returncode=UNFINISHED) from None

    def _wait_for_backup(self, before: tuple[object, object], seconds: float) -> None:
        self.stdout.write("The backup has been asked. Waiting for its report.")
        if not wait_until(lambda: _reported() != before, seconds):
            raise CommandError("The time is up: the backup has not reported an end yet.", returncode=UNFINISHED)
        _, status = _reported()
        if status != SyncStatus.SUCCESS:
            raise CommandError(f"The data-sync ended: {status}. See the backup.", returncode=REFUSED)
        self.stdout.write(self.style.SUCCESS("The backup holds the data of this appliance."))

    def _follow(self, asked_at: dt.datetime, seconds: float) -> None:
        deadline, shown = time.monotonic() + seconds, ""
        if not wait_until(lambda: _run(asked_at) is not None, min(START_SECONDS, seconds)):
            raise CommandError("No worker has begun the data-sync. Is the appliance running?", returncode=UNFINISHED)
        while (run := _run(asked_at)) is not None and run.status == SyncStatus.RUNNING:
            if time.monotonic() >= deadline:
                raise CommandError("The time is up: the data-sync goes on.", returncode=UNFINISHED)
            if (line := progress(run)) != shown:
                self.stdout.write(line)
                self.stdout.flush()
                shown = line
            time.sleep(POLL_SECONDS)
        if run is None or run.status != SyncStatus.SUCCESS:
            ended = f"{run.get_status_display()}: {run.message}" if run else "it is gone"
            code = UNFINISHED if run and run.status == SyncStatus.CANCELLED else REFUSED
            raise CommandError(f"The data-sync did not succeed. {ended}", returncode=code)
        self.stdout.write(self.style.SUCCESS(f"Done: {', '.join(figures(run)) or 'nothing had changed'}."))


def _reported() -> tuple[object, object]:
    """What the backup reported last: the moment its latest good data-sync reflects, and how its latest one ended."""
    said = PeerView.load().status
    return said.get("last_sync_at"), said.get("last_sync_status")


def _run(asked_at: dt.datetime) -> SyncRun | None:
    """The data-sync that was asked for: the one that runs, or the latest one begun since."""
    running = SyncRun.objects.filter(status=SyncStatus.RUNNING).first()
    return running or SyncRun.objects.filter(started_at__gte=asked_at).order_by("-started_at").first()
