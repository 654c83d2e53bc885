"""`manage.py appliance`: run this appliance."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connections

from appliances import secrets, selectors
from appliances.host import broker, kept_environment, runtime, terminal
from appliances.host.processes import AlreadyRunning, SingleInstance
from appliances.host.programs import appliance_programs, is_free
from appliances.host.supervisor import Supervisor
from appliances.services import accounts, certificates
from sync import cycle, journal

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Run this appliance: broker, web server, workers and beat under one supervisor, until Ctrl-C or SIGTERM."
    requires_system_checks: list[str] = []  # the checks run after the migrations, which they may need

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo-content", action="store_true", help="fill an appliance that is new")
        parser.add_argument("--quiet", action="store_true", help="do not greet")

    def handle(self, *args: Any, **options: Any) -> None:
        os.umask(0o077)
        terminal.print_line_by_line()
        data_dir = settings.DATA_DIR
        try:
            with SingleInstance(data_dir):
                terminal.keep_log_in(data_dir / "logs")
                check_addresses(settings.LISTEN)
                runtime.make(settings.HEALTH_FILE.parent, data_dir)
                password_file = prepare(demo_content=options["demo_content"])
                run(data_dir, on_ready=lambda: None if options["quiet"] else self.greet(password_file))
                runtime.remove(settings.HEALTH_FILE.parent, data_dir)
        except (AlreadyRunning, PermissionError) as error:
            raise CommandError(str(error)) from error
        except OperationalError as error:
            raise CommandError(f"DATABASE_URL: the database does not answer: {error}") from error

    def greet(self, password_file: Path | None) -> None:
        """Say where to go. The password itself is for a terminal, not for the journal of the machine."""
        self.stdout.write(f"Running: {', '.join(f'https://{address}' for address in settings.LISTEN)}")
        self.stdout.write(f"Commands: {terminal.command_line(settings.DATA_DIR, 'failover_status')}")
        if password_file is None:
            return
        secret = password_file.read_text().strip() if sys.stdout.isatty() else f"in {password_file}"
        self.stdout.write(f"First administrator: {accounts.FIRST_ADMINISTRATOR}, password: {secret}")
        self.stdout.write("Log in at /login and change it.")


def check_addresses(listen: list[str]) -> None:
    """Every address can be listened on.

    Raises:
        CommandError: it is taken, not of this machine, or not an address; LISTEN is named.
    """
    if not listen:
        raise CommandError("LISTEN must name at least one address, such as 127.0.0.1:8443.")
    for address in listen:
        try:
            free = is_free(address)
        except (OSError, ValueError) as error:
            raise CommandError(f"LISTEN: cannot listen on {address}: {error}") from error
        if not free:
            raise CommandError(f"LISTEN: {address} is in use by another program.")


def prepare(*, demo_content: bool) -> Path | None:
    """The database, the secrets, the certificate, the first administrator and the static files are there.

    Returns the file with the first administrator's password while that is in use.
    """
    settings.STAGING_DIR.mkdir(mode=0o700, exist_ok=True)
    if not settings.SECRET_KEY_FILE.exists() and not os.environ.get("SECRET_KEY"):
        secrets.write_private(settings.SECRET_KEY_FILE, os.urandom(48).hex().encode())
    call_command("migrate", verbosity=0, interactive=False)
    call_command("check", stdout=io.StringIO())
    selectors.this_appliance()
    selectors.site()
    certificates.ensure_default_certificate()
    password_file = first_administrator()
    collect_static_files()
    if demo_content:
        fill_once(settings.DATA_DIR / "demo-content")
    # The role that this box had before it stopped is not taken for granted: the peer may have become primary.
    cycle.boot()
    return password_file


def first_administrator() -> Path | None:
    """There is an administrator where this appliance may make one; the file with its password, as long as that is used.

    Accounts are settings: on a backup, and on a primary that does not serve, the database refuses a new one.
    """
    if journal.read().is_writable or accounts.has_administrator():
        return accounts.ensure_first_administrator()
    log.warning("no administrator: accounts are made on the primary, and arrive with the next data-sync")
    return None


def fill_once(marker: Path) -> None:
    """The demo content was put there once; what has been changed or removed since stays as it is."""
    if not marker.exists() and selectors.relationship() is None:
        told = io.StringIO()
        call_command("demo_content", stdout=told)
        log.info("demo content", extra={"text": told.getvalue().strip()})
        marker.touch()


def collect_static_files() -> None:
    """STATIC_ROOT holds the static files of this build; collected only when they have changed."""
    digest = hashlib.sha256()
    for finder in get_finders():
        for path, storage in finder.list([]):
            found = os.stat(storage.path(path))
            digest.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode())
    stamp = settings.STATIC_ROOT / ".collected"
    if not stamp.exists() or stamp.read_text() != digest.hexdigest():
        call_command("collectstatic", verbosity=0, interactive=False, clear=True)
        stamp.write_text(digest.hexdigest())


def run(data_dir: Path, *, on_ready: Any) -> None:
    """Run the programs of this appliance until a signal."""
    chosen = broker.choose(data_dir, redis_url=os.environ.get("REDIS_URL", ""), server=broker.find_server())
    if chosen.warning:
        log.warning("broker is not the usual one", extra={"text": chosen.warning})
    if chosen.url.startswith("filesystem://"):
        for name in ("messages", "message-control"):
            (data_dir / name).mkdir(exist_ok=True)
    kept_environment.keep(data_dir, {**os.environ, "REDIS_URL": chosen.url})
    # What is done in processes of their own must not share a connection with this one.
    connections.close_all()
    os.chdir(settings.BASE_DIR)
    log.info(
        "appliance starts", extra={"listen": settings.LISTEN, "broker": chosen.url.partition("@")[2] or chosen.url}
    )
    supervisor = Supervisor(
        appliance_programs(chosen, data_dir=data_dir, listen=settings.LISTEN),
        folder=data_dir / "logs",
        say=terminal.say,
        on_ready=on_ready,
    )
    supervisor.run()
    log.info("appliance stopped")
