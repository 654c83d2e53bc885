"""What the commands of the shell share: who asks, exit codes, and following a role change or a data-sync to its end."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, CommandParser

from appliances.choices import ChangeStatus, Role
from appliances.management.base import ApplianceCommand
from sync import journal, overview, probes, role_changes, tasks
from sync.errors import SyncError
from sync.models import RoleChange, SyncRun

DONE, REFUSED, UNFINISHED = 0, 1, 2
POLL_SECONDS = 0.3


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


def progress(run: SyncRun) -> str:
    """One line on how far a data-sync is."""
    return ", ".join([run.get_stage_display(), *figures(run)])


def figures(run: SyncRun) -> list[str]:
    """What a data-sync has brought, of how much."""
    parts = []
    if run.rows_total:
        parts.append(f"{run.rows_done} of {run.rows_total} rows")
    if run.blobs_total:
        parts.append(f"{run.blobs_done} of {run.blobs_total} files")
    if run.bytes_total:
        parts.append(f"{run.bytes_done / 1e6:.1f} of {run.bytes_total / 1e6:.1f} MB")
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
