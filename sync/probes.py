"""Look: how this appliance is, and what the peer answers when it is asked."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from appliances import selectors, shared_ips
from appliances.choices import ChangeStatus, ProbeOutcome, Role, State, SyncStatus
from appliances.host import ping
from appliances.host.interfaces import interfaces
from appliances.models import BackupSettings, FailoverRelationship
from appliances.services.certificates import own_pins
from sync import health, journal, serving, verified
from sync.errors import PeerError, PeerMisbehaved, PeerSilent, code_of
from sync.models import PeerView, RoleChange, SyncRun
from sync.peer import identity, messages
from sync.peer.client import PeerClient
from sync.rules import timing
from sync.rules.due import SAME_ROLE_POLL_SECONDS, is_probe_due, is_unsettled, probe_interval
from sync.rules.facts import Header, RoleState, header_of

log = logging.getLogger(__name__)

ROUNDS_KEPT = 10
ADDRESSES_TOLD = 200  # a message to the peer has a limit; hosts of containers have hundreds of interfaces
TEST_SECONDS = 2.0  # what has not answered a ping by then counts as silent in this round
_FAILURES_KEPT = 1_000_000  # what the counter's column holds; more says nothing more


@dataclass(frozen=True)
class _Found:
    """What became of one question: when and in which state it was asked, and the answer or the error.

    `can_serve`: what the peer was told of this appliance.
    """

    asked_in: RoleState
    asked_at: float
    outcome: ProbeOutcome
    can_serve: bool = False
    status: messages.Status | None = None
    code: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Look:
    """What one look at the peer found. `asked_in` is the state of this appliance when it asked.

    `can_serve`: what it told of itself then; a peer that was told otherwise may be about to take the role.
    """

    outcome: ProbeOutcome
    asked_in: RoleState
    status: messages.Status | None
    detail: str
    same_role_polls: int = 0
    can_serve: bool = False


def own_status() -> messages.Status:
    """How this appliance is, as it tells the peer."""
    state, appliance = journal.read(), selectors.this_appliance()
    last = SyncRun.objects.exclude(status=SyncStatus.RUNNING).first()
    running = RoleChange.objects.filter(status=ChangeStatus.RUNNING).first()
    good = SyncRun.objects.filter(status=SyncStatus.SUCCESS).first()
    syncing = SyncRun.objects.filter(status=SyncStatus.RUNNING).first()
    backup, own_health, kept = BackupSettings.load(), health.read(), acknowledged()
    if not serving.is_bound_by(kept.announcement):
        kept = Acknowledged()  # not before it is kept to: the backup may take over as soon as it hears it
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
        can_serve=own_health.can_serve,
        backup_operations=backup.enable_backup_operations,
        data_sync_interval=backup.data_sync_interval.total_seconds(),
        takeover_after=backup.primary_timeout.total_seconds() if is_armed(backup, state) else None,
        test_ips=backup.test_ips,
        takeover_times=entered_times(backup),
        acknowledged_timeout=kept.timeout,
        acknowledged_times=kept.times,
        last_sync_at=good.reflects_at.timestamp() if good and good.reflects_at else None,
        last_sync_status=last.status if last else "",
        change=running.pk.hex if running else "",
        pins=own_pins(),
        shared_ips=list(shared_ips.read()),
        addresses=[address for interface in interfaces() for address in interface.addresses][:ADDRESSES_TOLD],
        differing_objects=differing_objects(state),
        announcement=announcement(),
        acknowledged=kept.announcement,
        verified=verified.read(),
        running_sync=syncing.progress(timezone.now()) if syncing else None,
    )


def differing_objects(state: RoleState) -> int | None:
    """In how many objects the settings here differ from the peer's while this appliance waits; None if not counted."""
    counted = PeerView.load().differences.get("objects") if state.state == State.P_SUPERSEDED else None
    return counted if isinstance(counted, int) else None


def is_armed(backup: BackupSettings, state: RoleState) -> bool:
    """Whether this appliance, as backup, is to take over by itself."""
    return state.role == Role.BACKUP and backup.enable_backup_operations and backup.enable_automatic_failover


@dataclass(frozen=True)
class Acknowledged:
    """The take-over times that this appliance, as primary, has heard of and keeps to; no timeout: none."""

    timeout: float | None = None
    times: timing.Entered = timing.DERIVED
    announcement: str = ""


def acknowledged() -> Acknowledged:
    """What this primary keeps to. Times that do not go together are not acknowledged, and so never take effect."""
    peer = latest_status()
    if peer is None or peer.takeover_after is None or journal.read().role != Role.PRIMARY:
        return Acknowledged()
    if timing.problems(peer.takeover_after, peer.takeover_times):
        return Acknowledged()
    return Acknowledged(peer.takeover_after, peer.takeover_times, peer.announcement)


def announcement() -> str:
    """What the primary has to have heard of: these settings, since this appliance last was primary itself."""
    return f"{journal.read().own_term}.{BackupSettings.load().announcement}"


def entered_times(backup: BackupSettings) -> timing.Entered:
    """The times that were entered beside the timeout."""
    return timing.Entered(backup.probe_interval, backup.address_lifetime, backup.isolation_time)


def times() -> timing.Timing:
    """The times in force: the own ones on a backup, those that the backup announced on a primary."""
    if journal.read().role == Role.BACKUP:
        backup = BackupSettings.load()
        return timing.derive(backup.primary_timeout.total_seconds(), entered_times(backup))
    kept = acknowledged()
    return timing.derive(kept.timeout or timing.DEFAULT_TIMEOUT, kept.times)


def is_acknowledged(own: timing.Timing) -> bool:
    """Whether the primary has said that it keeps to times with which this backup may take over after its own.

    What it said of former settings counts no more: it may have heard since that it has nothing to keep to.
    """
    peer = latest_status()
    if peer is None or peer.acknowledged_timeout is None or peer.acknowledged != announcement():
        return False
    return timing.is_kept_to(own, timing.derive(peer.acknowledged_timeout, peer.acknowledged_times))


def all_test_ips() -> list[str]:
    """The connectivity test IPs of both appliances."""
    peer = latest_status()
    return sorted({*BackupSettings.load().test_ips, *(peer.test_ips if peer else ())})


def ask_test_ips_if_due() -> None:
    """Ask the connectivity test IPs, each interval, and keep which of them answered."""
    asked_at, wanted = journal.boottime(), all_test_ips()
    view = PeerView.load()
    if not wanted or not is_probe_due(asked_at, view.tests.get("asked"), times().interval):
        return
    PeerView.objects.filter(pk=1).update(tests={**view.tests, "asked": asked_at})
    answers = ping.ask_all(wanted, seconds=min(times().probe, TEST_SECONDS))
    with transaction.atomic():
        view = PeerView.objects.select_for_update().get(pk=1)
        known = view.tests.get("addresses", {})
        addresses = {
            answer.address: {"at": time.time(), "how": answer.how}
            if answer.answered
            else {"at": known.get(answer.address, {}).get("at"), "how": ""}
            for answer in answers
        }
        is_answered = any(answer.answered for answer in answers)
        view.tests = {
            "asked": asked_at,
            "answered": asked_at if is_answered else view.tests.get("answered"),
            "addresses": addresses,
        }
        view.test_rounds = [*view.test_rounds, is_answered][-ROUNDS_KEPT:]
        view.save(update_fields=["tests", "test_rounds"])


def forget_failures() -> None:
    """What was seen before this appliance stood still counts no more.

    To a backup the peer is silent from now on, if it is. A primary has heard nobody meanwhile: its time goes on.
    """
    fields: dict[str, Any] = {"consecutive_failures": 0, "test_rounds": []}
    if journal.read().role == Role.BACKUP:
        fields["answered_boottime"] = journal.boottime()
    PeerView.objects.filter(pk=1).update(**fields)


def forget_moments() -> None:
    """This appliance starts, perhaps with its machine, whose clock then has begun anew: a primary has heard nobody yet.

    A backup goes by what it has kept: without it, no silence of the primary could be told from a first start.
    """
    if journal.read().role == Role.PRIMARY:
        tests = {**PeerView.load().tests, "asked": None, "answered": None}
        PeerView.objects.filter(pk=1).update(answered_boottime=None, tests=tests, test_rounds=[])


def note_heard(said: messages.Status) -> None:
    """The peer itself has just opened a connection to this appliance.

    A primary that says that it cannot serve (its web server hangs, say) does not call for being left in its role. One
    that is confirming its role and can serve does, for the answer lets it.
    """
    serves_not = said.header.state == State.P_UNCONFIRMED and not said.can_serve
    PeerView.objects.filter(pk=1).update(heard_boottime=None if serves_not else journal.boottime())


def look_if_due() -> Look | None:
    """Look at the peer if it is time to; None if it is not, or if another process of this appliance does it."""
    now, last = journal.boottime(), PeerView.load().asked_boottime
    if not is_probe_due(now, last, probe_interval(journal.read().state, times().interval)):
        return None
    if not PeerView.objects.filter(pk=1, asked_boottime=last).update(asked_boottime=now):
        return None
    return _look(now)


def look_at_peer() -> Look:
    """Ask the peer for its STATUS, once, and keep what came of it in `PeerView`.

    Silence counts as a failure; an answer that is refused, or that does not come from the peer, is an alert and resets
    nothing and counts nothing. Looks may overlap: what a later one found is never replaced by an earlier one.
    """
    PeerView.load()
    now = journal.boottime()
    PeerView.objects.filter(pk=1).update(asked_boottime=now)
    return _look(now)


def _look(asked_at: float) -> Look:
    row = selectors.relationship()
    asked_in, pair_id = journal.read(), row.pair_id if row else ""
    found = _Found(asked_in, asked_at, ProbeOutcome.ANSWERED)
    try:
        with PeerClient.to_peer(timeout=times().probe) as client:
            pair_id = client.channel.pair_id
            told = own_status()
            found = replace(found, can_serve=told.can_serve, status=client.ask(told, messages.Status))
    except PeerError as error:
        outcome = ProbeOutcome.SILENT if isinstance(error, PeerSilent) else ProbeOutcome.REFUSED
        found = replace(found, outcome=outcome, code=code_of(error), detail=str(error))
    with transaction.atomic():
        # Locked, so that a relationship that is just being left cannot leave its peer's answer behind.
        if not FailoverRelationship.objects.select_for_update().filter(pk=1, pair_id=pair_id).exists():
            return Look(ProbeOutcome.REFUSED, asked_in, None, found.detail or "The failover relationship has changed.")
        PeerView.load()
        view = PeerView.objects.select_for_update().get(pk=1)
        polls = _keep(view, found)
        view.save()
    if found.outcome != ProbeOutcome.ANSWERED:
        log.info(
            "peer did not answer",
            extra={
                "outcome": found.outcome,
                "code": found.code,
                "why": found.detail,
                "failures": view.consecutive_failures,
            },
        )
    return Look(found.outcome, asked_in, found.status, found.detail, polls, found.can_serve)


def _keep(view: PeerView, found: _Found) -> int:
    """Note what a look found; how many polls in a row found both in one role, or 0 if this one does not count."""
    now = journal.boottime()
    counted = 0
    if found.outcome == ProbeOutcome.SILENT and _is_later(found.asked_at, view.answered_boottime, now):
        view.consecutive_failures = min(view.consecutive_failures + 1, _FAILURES_KEPT)
    if found.status is not None and _is_later(found.asked_at, view.answered_boottime, now):
        view.status = asdict(found.status)
        view.answered_at, view.answered_boottime = timezone.now(), found.asked_at
        view.latency_seconds = now - found.asked_at
        view.consecutive_failures = 0
        counted = _count_same_role(view, found.status.header, found.asked_in, found.asked_at)
    if _is_later(found.asked_at, view.kept_boottime, now):
        view.outcome, view.code, view.detail = found.outcome, found.code[:60], found.detail[:300]
        view.probed_at, view.kept_boottime = timezone.now(), found.asked_at
    return counted


def _is_later(asked_at: float, kept: float | None, now: float) -> bool:
    """Whether a question was asked after the one that is kept; one kept from the future is from before a restart."""
    return kept is None or asked_at > kept or kept > now


def _count_same_role(view: PeerView, header: Header, asked_in: RoleState, asked_at: float) -> int:
    if not is_unsettled(asked_in, header):
        view.same_role_polls, view.same_role_boottime = 0, None
        return 0
    last = view.same_role_boottime
    if last is not None and 0 <= asked_at - last < SAME_ROLE_POLL_SECONDS:
        return 0
    view.same_role_polls, view.same_role_boottime = min(view.same_role_polls + 1, _FAILURES_KEPT), asked_at
    return view.same_role_polls


def latest_status() -> messages.Status | None:
    """The peer's last STATUS, however old; None if there is none or it was kept by another version."""
    view = PeerView.objects.filter(pk=1).first()
    if view is None or not view.status:
        return None
    try:
        return messages.read(messages.Status, view.status)
    except PeerMisbehaved:
        return None
