"""EYES: read once what a turn has to know."""

from __future__ import annotations

import datetime as dt
from itertools import takewhile

from django.conf import settings
from django.utils import timezone

from appliances.choices import Role, SyncStatus
from appliances.models import BackupSettings, FailoverRelationship
from sync import health, journal, probes
from sync.models import PeerView, RoleChange, StatusEvent, SyncRun
from sync.rules import due
from sync.rules.facts import Observation
from sync.rules.snapshot import Refusal

REJOINED = ("role.26 superseded", "role.30")  # the rows by which a superseded primary becomes backup
# How a data-sync ended that is not left until the next is due. What lost recordings end goes on without them then.
TRIED_AGAIN = (SyncStatus.FAILED, SyncStatus.CANCELLED)
GOES_ON = (Refusal.RECORDING_LOST.value, Refusal.RECORDING_LOST_HERE.value)


def observe(
    relationship: FailoverRelationship, change: RoleChange | None, *, is_driven: bool, is_sync_running: bool
) -> Observation:
    """What is known at this moment, for the rules. `change` is the running role change."""
    state, view = journal.read(), PeerView.load()
    answered, now = view.answered_boottime, journal.boottime()
    status = probes.latest_status()
    return Observation(
        state=state,
        seconds_in_state=journal.seconds_in_state(),
        seconds_since_answer=now - answered if answered is not None and answered <= now else None,
        failures=view.consecutive_failures,
        peer_op=status.header.op if status else None,
        peer_change=status.change if status else "",
        change=change.pk.hex if change else "",
        change_age=(timezone.now() - change.requested_at).total_seconds() if change else 0.0,
        is_driven=is_driven,
        is_sync_due=state.role == Role.BACKUP and _is_sync_due(relationship),
        is_sync_running=is_sync_running,
        boot_seconds=probes.times().boot,
        can_serve=health.read().can_serve,
        hears_test_ip=not probes.all_test_ips() or view.test_rounds[-1:] == [True],
    )


def _has_rejoined_since(last: SyncRun | None) -> bool:
    """Whether this appliance, superseded before, became backup after the last data-sync began: it pulls at once."""
    if last is None:
        return False
    return StatusEvent.objects.filter(event__in=REJOINED, at__range=(last.started_at, timezone.now())).exists()


def _failures_in_a_row() -> int:
    """How many data-syncs have failed since one ended otherwise, as far as that makes a difference."""
    ends = SyncRun.objects.order_by("-started_at").values_list("status", "code")[: due.MOST_COUNTED_FAILURES]
    return len(list(takewhile(lambda end: end[0] in TRIED_AGAIN or end[1] in GOES_ON, ends)))


def _is_sync_due(relationship: FailoverRelationship) -> bool:
    wishes = BackupSettings.load()
    last = SyncRun.objects.order_by("-started_at").first()
    if not wishes.enable_backup_operations:
        return False
    return _has_rejoined_since(last) or due.is_data_sync_due(
        timezone.now(),
        established_at=relationship.established_at,
        last_started_at=last.started_at if last else None,
        interval=wishes.data_sync_interval,
        failures=_failures_in_a_row(),
        first_delay=dt.timedelta(seconds=settings.FIRST_SYNC_DELAY_SECONDS),
    )
