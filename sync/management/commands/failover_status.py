"""`failover_status`: what the Failover page shows, for people and for monitors."""

from __future__ import annotations

import datetime as dt
import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from appliances.management.base import ApplianceCommand
from sync import overview
from sync.management.shell import progress
from sync.peer import identity
from sync.rules.verified import Verified

HEALTHY, PROBLEMS, NOT_CONFIGURED = 0, 1, 2


class Command(ApplianceCommand):
    """Prints and tells by the exit code."""

    help = "Show the state of the pair. Exit codes: 0 healthy, 1 problems, 2 failover is not configured."

    def add_arguments(self, parser: CommandParser) -> None:
        """Text for people is the default."""
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print, then leave with the code."""
        known = overview.now()
        code = NOT_CONFIGURED if known.relationship is None else PROBLEMS if known.problems else HEALTHY
        if options["json"]:
            self.stdout.write(json.dumps(as_data(known), indent=2))
        else:
            self._print(known)
        if code != HEALTHY:
            sys.exit(code)

    def _print(self, known: overview.Overview) -> None:
        rows = [
            ("This appliance", f"{known.host_name}: {known.state.state.label}"),
            ("Version", identity.product_build()),
        ]
        if known.relationship is None:
            rows.append(("Failover", "not configured"))
        else:
            role = known.peer_role.label if known.peer_role else "role not known"
            if known.is_peer_superseded:
                role = "does not serve, superseded by this appliance"
            if not known.peer_answers:
                role = f"does not answer, was: {role}" if known.peer_role else "does not answer"
            rows += [
                ("Peer", f"{known.relationship}: {role}"),
                ("Peer answered", _when(known, known.view.answered_at)),
                ("Data of the backup", overview.age_of_data(known)),
            ]
        if known.change is not None:
            rows.append(("Role change", f"{known.change}, {known.change.get_step_display()}"))
        if known.progress is not None:
            rows.append(("Data-sync", progress(known.progress)))
        rows.append(("Stored files", _stored(known.verified)))
        for name, value in rows:
            self.stdout.write(f"{name + ':':20} {value}")
        for problem in known.problems:
            self.stdout.write(self.style.ERROR(f"{'Problem:':20} {problem.sentence}"))


def as_data(known: overview.Overview) -> dict[str, Any]:
    """The same for programs; keys are only ever added."""
    last, relationship = known.last_sync, known.relationship
    return {
        "appliance": {
            "id": known.guid,
            "host_name": known.host_name,
            "version": identity.product_build(),
            "role": known.role.value,
            "state": str(known.state.state),
            "term": known.state.term,
        },
        "peer": relationship
        and {
            "id": relationship.peer_guid,
            "host_name": relationship.peer_name,
            "host": relationship.peer_host,
            "port": relationship.peer_port,
            "role": known.peer_role.value if known.peer_role else None,
            "outcome": known.view.outcome or None,
            "answered_at": _moment(known.view.answered_at),
        },
        "last_data_sync": last and {"at": _moment(last.at), "status": last.status or None},
        "role_change": known.change
        and {"id": str(known.change.pk), "target_role": known.change.target_role, "step": known.change.step},
        "data_sync": known.running_sync and {"id": str(known.running_sync.pk), "stage": known.running_sync.stage},
        "stored_files": asdict(known.verified),
        "problems": [problem.sentence for problem in known.problems],
    }


def _stored(found: Verified) -> str:
    parts = [f"{found.verified} of {found.files} verified"]
    if found.oldest_at is not None:
        oldest = timezone.now() - dt.datetime.fromtimestamp(found.oldest_at, dt.UTC)
        parts.append(f"oldest check {overview.ago(oldest)} ago")
    if found.found:
        parts.append(f"{found.found} found damaged, {found.repaired} repaired, {found.waiting + found.lost} not yet")
    return ", ".join(parts)


def _when(known: overview.Overview, at: dt.datetime | None) -> str:
    if at is None:
        return "never"
    return f"{overview.ago(known.now - at)} ago, {at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def _moment(at: dt.datetime | None) -> str | None:
    return at.astimezone(dt.UTC).isoformat(timespec="seconds") if at else None
