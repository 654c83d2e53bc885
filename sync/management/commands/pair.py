"""`manage.py pair`: two appliances on this machine under one supervisor, paired the first time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from appliances import secrets
from appliances.host import terminal
from appliances.host.processes import AlreadyRunning, SingleInstance
from appliances.host.programs import answers_tls, split_address
from appliances.host.supervisor import Program, Supervisor
from appliances.services import accounts, keys

# What belongs to one appliance must not reach both. SITE1_DATABASE_URL and the like give each its own.
PER_APPLIANCE = ("DATA_DIR", "DATABASE_URL", "REDIS_URL", "SECRET_KEY", "CREDENTIALS_DIRECTORY", "HOST_NAME", "LISTEN")
READY_SECONDS = 300.0  # the first start fills an appliance with tens of megabytes, on any machine
ROLE_SECONDS = 20.0
STOP_SECONDS = 15.0  # an appliance stops its own programs within ten


@dataclass(frozen=True)
class Site:
    """One of the two appliances."""

    name: str
    folder: Path
    listen: str

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its processes: its own settings, then what `SITE1_...` or `SITE2_...` says."""
        own = {
            "DATA_DIR": str(self.folder),
            "HOST_NAME": f"{self.name}.example.com",
            "LISTEN": self.listen,
            "ALLOW_LOOPBACK_TARGETS": "1",
            "LOOK_BY_NAME": "0",  # nobody has the names of example.com
            "LOG_FORMAT": "json",
        }
        prefix = f"{self.name.upper()}_"
        return own | {name.removeprefix(prefix): value for name, value in os.environ.items() if name.startswith(prefix)}

    def command(self, *arguments: str) -> tuple[str, ...]:
        """The command line of one of its management commands."""
        return (sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments)


class Command(BaseCommand):
    help = "Run two appliances on this machine; the first time, fill one with demo content (DEMO=0: do not) and pair "
    help += "the two (PAIR=0: do not). PAIR_DIR, SITE1_LISTEN and SITE2_LISTEN say where."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        os.umask(0o077)
        terminal.print_line_by_line()
        folder = settings.PAIR_DIR
        sites = (
            Site("site1", folder / "site1", os.environ.get("SITE1_LISTEN", "127.0.0.1:8443")),
            Site("site2", folder / "site2", os.environ.get("SITE2_LISTEN", "127.0.0.2:8443")),
        )
        for name in PER_APPLIANCE:
            os.environ.pop(name, None)
        try:
            with SingleInstance(folder):
                self.run(folder, sites)
        except AlreadyRunning as error:
            raise CommandError(str(error)) from error

    def run(self, folder: Path, sites: tuple[Site, Site]) -> None:
        terminal.keep_log_in(folder / "logs", name="pair")
        is_new = not (sites[0].folder / "database.sqlite3").exists()
        self.stdout.write(
            "Starting two appliances" + (" (the first time takes about half a minute) ..." if is_new else " ...")
        )
        share_first_password(sites)
        supervisor = Supervisor(
            [*appliances(sites), *(pairing(folder, sites) if os.environ.get("PAIR", "1") != "0" else [])],
            folder=None,
            say=terminal.say,
            on_ready=lambda: self.greet(folder, sites, supervisor),
            stop_seconds=STOP_SECONDS,
        )
        supervisor.run()
        self.stdout.write("Both appliances have stopped.")

    def greet(self, folder: Path, sites: tuple[Site, Site], supervisor: Supervisor) -> None:
        """Remember that the two have been paired; say where to go and what to try."""
        failed = [child.program.name for child in supervisor.children if child.has_failed]
        was_paired = is_paired(folder)
        if not failed and any(child.program.name == "establish" for child in supervisor.children):
            paired_marker(folder).touch()
        write = self.stdout.write
        write("")
        for site in sites:
            write(f"  {site.name}   https://{site.listen}/login")
        write(f"  log in  {accounts.FIRST_ADMINISTRATOR} / {first_password(sites[0])}")
        write("")
        if failed:
            write(f"The two could not be paired ({', '.join(failed)}): try it at Management > Failover of site1.")
        elif is_paired(folder) and not was_paired:
            write("site1 is primary; site2 is backup and pulls its data a minute from now.")
        elif was_paired:
            write(f"{'; '.join(f'{site.name} is {role_of(site)}' for site in sites)}.")
        write(f"A command for site1: {terminal.command_line(sites[0].folder, 'failover_status')}")
        write("The certificates are self-issued, so the browser will ask. Try Management > Failover on both.")
        write(f"Logs and data: {folder}. Ctrl-C stops both; the next start picks up where they were.")


def role_of(site: Site) -> str:
    """What an appliance that runs says about its role, in one word or two."""
    try:
        told = subprocess.run(
            site.command("failover_status", "--json"),
            env={**os.environ, **site.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=ROLE_SECONDS,
            check=False,
        )
        return str(json.loads(told.stdout)["appliance"]["role"]).replace("none", "alone")
    except (OSError, ValueError, KeyError, subprocess.TimeoutExpired):
        return "not answering"


def appliances(sites: tuple[Site, Site]) -> list[Program]:
    """Both appliances; they start beside each other, and what follows waits until both answer."""
    demo = os.environ.get("DEMO", "1") != "0"
    first, second = sites
    return [
        Program(
            name=first.name,
            argv=first.command("appliance", "--quiet", *(["--demo-content"] if demo else [])),
            environment=first.environment,
        ),
        Program(
            name=second.name,
            argv=second.command("appliance", "--quiet"),
            environment=second.environment,
            is_ready=lambda: all(answers_tls(site.listen) for site in sites),
            ready_within_seconds=READY_SECONDS,
        ),
    ]


def pairing(folder: Path, sites: tuple[Site, Site]) -> list[Program]:
    """The three steps an operator does by hand: the same key on both, then establish on the primary-to-be."""
    key = f"{keys.generate_inter_appliance_key()}\n".encode()
    (host1, port1), (host2, port2) = (split_address(site.listen) for site in sites)
    addresses = [f"--peer-host={host2}", f"--peer-port={port2}", f"--reverse-host={host1}", f"--reverse-port={port1}"]

    def is_needed() -> bool:
        return not is_paired(folder)

    steps = [
        Program(
            name=f"key-{site.name}",
            argv=site.command("inter_appliance_key", "--set-from-stdin"),
            environment=site.environment,
            stdin=key,
            once=True,
            is_needed=is_needed,
            plain_level="info",
        )
        for site in sites
    ]
    establish = Program(
        name="establish",
        argv=sites[0].command("establish", *addresses),
        environment=sites[0].environment,
        once=True,
        is_needed=is_needed,
        plain_level="info",
    )
    return [*steps, establish]


def paired_marker(folder: Path) -> Path:
    """The file that says that the two were paired once: a relationship broken by hand stays broken."""
    return folder / "paired"


def is_paired(folder: Path) -> bool:
    """Whether the two were paired by an earlier start."""
    return paired_marker(folder).exists()


def share_first_password(sites: tuple[Site, Site]) -> None:
    """Both appliances will be born with the same first password, as the data-sync would make it anyway."""
    password = f"{accounts.generate_password()}\n".encode()
    if not any(site.folder.exists() for site in sites):
        for site in sites:
            secrets.write_private(first_password_file(site), password)


def first_password_file(site: Site) -> Path:
    """Where an appliance keeps its first administrator's password until that is changed."""
    return site.folder / "secrets" / accounts.FIRST_PASSWORD


def first_password(site: Site) -> str:
    """The first administrator's password as text to print."""
    path = first_password_file(site)
    return (
        f"{path.read_text().strip()}   (kept in {path} until it is changed)" if path.exists() else "as you changed it"
    )
