"""`establish`: what Establish Relationship on the Failover page does."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from appliances.management.base import ApplianceCommand
from sync import alerts, relationship, tasks
from sync.errors import EstablishRefused, SyncError
from sync.management.shell import REFUSED, operator


class Command(ApplianceCommand):
    """This appliance becomes the primary, the other its backup."""

    help = "Establish a failover relationship; this appliance becomes primary. Exit codes: 0 done, 1 refused."

    def add_arguments(self, parser: CommandParser) -> None:
        """The two connection groups of the page."""
        parser.add_argument("--peer-host", required=True, help="host name or IP address of the peer, as seen from here")
        parser.add_argument("--peer-port", required=True, type=int, help="TLS port of the peer")
        parser.add_argument(
            "--reverse-host", required=True, help="host name or IP address of this appliance, as seen from the peer"
        )
        parser.add_argument("--reverse-port", required=True, type=int, help="TLS port of this appliance")

    def handle(self, *args: Any, **options: Any) -> None:
        """Shake hands with the peer; nothing is changed on either side when it refuses."""
        try:
            made = relationship.establish(
                peer_host=options["peer_host"],
                peer_port=options["peer_port"],
                reverse_host=options["reverse_host"],
                reverse_port=options["reverse_port"],
                requested_by=operator(),
            )
        except EstablishRefused as refusal:
            alerts.establish_refused(refusal)
            tasks.send_alerts()
            raise CommandError(f"{refusal.step.label}: {refusal}", returncode=REFUSED) from refusal
        except SyncError as error:
            raise CommandError(str(error), returncode=REFUSED) from error
        self.stdout.write(self.style.SUCCESS(f"Established with {made}. This appliance is primary."))
