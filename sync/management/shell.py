"""What the commands of the shell share: who asks, exit codes, and following a role change or a data-sync to its end."""

from __future__ import annotations

import datetime as dt
import getpass
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, CommandParser

from appliances.choices import ChangeStatus, Role, SyncStage
from appliances.management.base import ApplianceCommand
from sync import journal, overview, probes, role_changes, tasks
from sync.errors import SyncError
from sync.models import RoleChange, SyncRun
from sync.rules.progress import RunningSync

DONE, REFUSED, UNFINISHED = 0, 1, 2
POLL_SECONDS = 0.3
LINE_SECONDS = 5.0  # between two lines of a data-sync that is watched from a log
BAR = 24


def operator() -> str:
    """Who runs the command, for the records."""
    try:
        return f"{getpass.getuser()} (shell)"
    except (KeyError, OSError):  # a user without a name, as in containers
        return "shell"


def confirm(question: str, *, is_given: bool) -> None:
    """The operator has agreed to what `question` says, by --yes or by typing it.

    Raises:
        CommandError: not agreed to; the exit code is REFUSED.
    """
    if is_given:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{question}\nNothing was changed. Confirm with --yes.", returncode=REFUSED)
    try:
        typed = input(f"{question}\nType yes to go on: ")
    except EOFError:
        typed = ""
    if typed.strip().lower() != "yes":
        raise CommandError("Nothing was changed.", returncode=REFUSED)


class Display:
    """Shows how far a data-sync is: in a terminal a bar that is drawn again and again, else a line now and then."""

    def __init__(self, out: Any) -> None:
        self._out = out
        self._is_terminal = bool(getattr(out, "isatty", lambda: False)())
        self._stage: SyncStage | None = None
        self._told_at = 0.0

    def show(self, found: RunningSync) -> None:
        """It is so far now."""
        if self._is_terminal:
            columns = shutil.get_terminal_size().columns - 1
            self._out.write(f"\r\x1b[2K{bar(found)} {progress(found)}"[: columns + len("\r\x1b[2K")], ending="")
        elif found.stage != self._stage or time.monotonic() - self._told_at >= LINE_SECONDS:
            self._out.write(progress(found))
            self._stage, self._told_at = found.stage, time.monotonic()
        self._out.flush()

    def clear(self) -> None:
        """What comes now begins on a line of its own."""
        if self._is_terminal:
            self._out.write("\r\x1b[2K", ending="")
            self._out.flush()


def bar(found: RunningSync) -> str:
    """A bar of fixed width: how much is done of what is known."""
    if found.percent is None:
        return f"[{' ' * BAR}]     "
    full = found.percent * BAR // 100
    return f"[{'#' * full}{'-' * (BAR - full)}] {found.percent:3} %"


def progress(found: RunningSync) -> str:
    """One line on how far a data-sync is."""
    parts = [str(found.stage.label), *figures(found)]
    if found.rate >= 1:
        parts.append(f"{found.rate / 1e6:.1f} MB/s")
    if found.left is not None:
        parts.append(f"about {overview.ago(dt.timedelta(seconds=found.left))} left")
    return ", ".join(parts)


def figures(run: SyncRun | RunningSync) -> list[str]:
    """What a data-sync has brought, of how much."""
    parts = []
    if run.rows_total:
        parts.append(f"{run.rows_done} of {run.rows_total} rows")
    if run.blobs_total:
        parts.append(f"{run.blobs_done} of {run.blobs_total} files")
    if run.bytes_total:
        parts.append(f"{run.bytes_done / 1e6:.1f} of {run.bytes_total / 1e6:.1f} MB")
    if run.rows_sent:
        parts.append(f"{run.rows_sent} rows sent")
    return parts


class RoleCommand(ApplianceCommand):
    """Asks for a role of this appliance, waits for the end and prints each step.

    Exit codes: 0 this appliance has the role, 1 refused (nothing was changed), 2 cancelled, or still going on when
    --timeout ended or when interrupted.
    """

    target: Role
    loss_text: str

    def add_arguments(self, parser: CommandParser) -> None:
        """The switches are those of the Failover page."""
        parser.add_argument(
            "--with-data-sync", action="store_true", help="pull a data-sync first; users are disconnected"
        )
        parser.add_argument("--force", action="store_true", help="even if the peer cannot be contacted")
        parser.add_argument("--yes", action="store_true", help="do not ask for confirmation of --force")
        parser.add_argument("--timeout", type=float, default=3600.0, help="seconds to wait for the end (default: 3600)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask, and follow it to its end."""
        if role_changes.has(self.target) and role_changes.running() is None:
            self.stdout.write(f"This appliance is {self.target.label.lower()} already.")
            return
        if options["force"]:
            confirm(self.loss_text.format(age=overview.age_of_data(overview.now())), is_given=options["yes"])
        elif self.target == Role.PRIMARY and journal.read().role == Role.BACKUP:
            look = probes.look_at_peer()
            if look.status is None:
                raise CommandError(
                    f"The peer does not answer: {look.detail} To become primary without it, use --force.",
                    returncode=REFUSED,
                )
        try:
            change = role_changes.request(
                self.target,
                want_final_sync=options["with_data_sync"],
                without_peer=options["force"],
                requested_by=operator(),
            )
        except SyncError as error:
            raise CommandError(str(error), returncode=REFUSED) from error
        if not tasks.start_role_change(change):
            self.stderr.write("The message broker does not answer: the change begins when the appliance runs.")
        try:
            self._report(self._follow(change, options["timeout"]))
        except KeyboardInterrupt:
            raise CommandError("No longer watched: the role change goes on.", returncode=UNFINISHED) from None

    def _follow(self, change: RoleChange, seconds: float) -> RoleChange:
        deadline, shown = time.monotonic() + seconds, ""
        while True:
            change = role_changes.wait(change.pk, POLL_SECONDS)
            line = str(change.get_step_display())
            if line != shown:
                self.stdout.write(line)
                self.stdout.flush()
                shown = line
            if change.status != ChangeStatus.RUNNING or time.monotonic() >= deadline:
                return change

    def _report(self, change: RoleChange) -> None:
        if change.status == ChangeStatus.COMPLETED:
            self.stdout.write(self.style.SUCCESS(f"This appliance is {self.target.label.lower()} now."))
            return
        if change.status == ChangeStatus.RUNNING:
            raise CommandError("The time is up: the role change goes on. See failover_status.", returncode=UNFINISHED)
        code = REFUSED if change.status == ChangeStatus.REFUSED else UNFINISHED
        raise CommandError(f"{change.get_status_display()}: {change.reason}", returncode=code)


def wait_until(is_over: Callable[[], bool], seconds: float) -> bool:
    """Ask again and again until it is over or the time is up; whether it is over."""
    deadline = time.monotonic() + seconds
    while not is_over():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
