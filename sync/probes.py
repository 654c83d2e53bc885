"""Look: how this appliance is, and what the peer answers when it is asked."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import asdict, dataclass

from django.conf import settings
from django.utils import timezone

from appliances import selectors
from appliances.choices import ProbeOutcome, SyncStatus
from appliances.models import BackupSettings
from appliances.services.certificates import own_pins
from sync import health, journal
from sync.errors import PeerError, PeerMisbehaved, PeerSilent
from sync.models import PeerView, SyncRun
from sync.peer import identity, messages
from sync.peer.client import PeerClient
from sync.rules.due import PROBE_TOTAL_SECONDS, SAME_ROLE_POLL_SECONDS
from sync.rules.facts import Header, RoleState, header_of

log = logging.getLogger(__name__)

_FAILURES_KEPT = 1_000_000  # what the counter's column holds; more says nothing more


@dataclass(frozen=True)
class Look:
    """What one look at the peer found. `asked_in` is the state of this appliance when it asked."""

    outcome: ProbeOutcome
    asked_in: RoleState
    status: messages.Status | None
    detail: str
    same_role_polls: int = 0


def own_status() -> messages.Status:
    """How this appliance is, as it tells the peer."""
    state, appliance = journal.read(), selectors.this_appliance()
    last = SyncRun.objects.exclude(status=SyncStatus.RUNNING).first()
    good = SyncRun.objects.filter(status=SyncStatus.SUCCESS).first()
    backup, own_health = BackupSettings.load(), health.read()
    return messages.Status(
        header=header_of(state),
        guid=appliance.guid,
        host_name=appliance.host_name,
        site_host_name=selectors.site().host_name,
        product=identity.product_version(),
        build=identity.product_build(),
        schema=identity.schema_digest(),
        clock=time.time(),
        free_bytes=shutil.disk_usage(settings.DATA_DIR).free,
        healthy=own_health.is_healthy,
        health_message=own_health.message,
        backup_operations=backup.enable_backup_operations,
        data_sync_interval=backup.data_sync_interval.total_seconds(),
        last_sync_at=good.reflects_at.timestamp() if good and good.reflects_at else None,
        last_sync_status=last.status if last else "",
        pins=own_pins(),
    )


def look_at_peer() -> Look:
    """Ask the peer for its STATUS, once, and keep what came of it in `PeerView`.

    Silence counts as a failure; an answer that is refused, or that does not come from the peer, is an alert and resets
    nothing and counts nothing.
    """
    asked_in, asked_at = journal.read(), journal.boottime()
    view = PeerView.load()
    view.asked_boottime = asked_at
    view.save(update_fields=["asked_boottime"])
    status, detail = None, ""
    try:
        with PeerClient.to_peer(timeout=PROBE_TOTAL_SECONDS) as client:
            status = client.ask(own_status(), messages.Status)
        outcome = ProbeOutcome.ANSWERED
    except PeerSilent as error:
        outcome, detail = ProbeOutcome.SILENT, str(error)
    except PeerError as error:
        outcome, detail = ProbeOutcome.REFUSED, str(error)
    polls = _keep(view, outcome, status, detail, asked_at, asked_in)
    if outcome != ProbeOutcome.ANSWERED:
        log.info(
            "peer did not answer", extra={"outcome": outcome, "why": detail, "failures": view.consecutive_failures}
        )
    return Look(outcome, asked_in, status, detail, polls)


def _keep(
    view: PeerView,
    outcome: ProbeOutcome,
    status: messages.Status | None,
    detail: str,
    asked_at: float,
    asked_in: RoleState,
) -> int:
    """Write what a look found; how many polls in a row found both in one role, or 0 if this one does not count."""
    view.outcome, view.detail, view.probed_at = outcome, detail[:300], timezone.now()
    counted = 0
    if status is not None:
        view.status = asdict(status)
        view.answered_at, view.answered_boottime = view.probed_at, asked_at
        view.latency_seconds = journal.boottime() - asked_at
        view.consecutive_failures = 0
        counted = _count_same_role(view, status.header, asked_in, asked_at)
    elif outcome == ProbeOutcome.SILENT:
        view.consecutive_failures = min(view.consecutive_failures + 1, _FAILURES_KEPT)
    view.save()
    return counted


def _count_same_role(view: PeerView, header: Header, asked_in: RoleState, asked_at: float) -> int:
    if header.role != asked_in.role or header.op is not None or asked_in.op is not None:
        view.same_role_polls, view.same_role_boottime = 0, None
        return 0
    last = view.same_role_boottime
    if last is not None and 0 <= asked_at - last < SAME_ROLE_POLL_SECONDS:
        return 0
    view.same_role_polls, view.same_role_boottime = min(view.same_role_polls + 1, _FAILURES_KEPT), asked_at
    return view.same_role_polls


def latest_status() -> messages.Status | None:
    """The peer's last STATUS, however old; None if there is none or it was kept by another version."""
    kept = PeerView.load().status
    if not kept:
        return None
    try:
        return messages.read(messages.Status, kept)
    except PeerMisbehaved:
        return None


def forget_peer() -> None:
    """Forget everything about a peer: the relationship has changed."""
    PeerView.objects.all().delete()
