"""The readable record of role changes, and what every part of a role change needs."""

from __future__ import annotations

import logging
import time
import uuid
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from appliances import selectors, shared_ips
from appliances.choices import ChangeKind, ChangeStatus, ChangeStep, Role, State
from appliances.models import BackupSettings
from sync import act, health, history, journal, probes
from sync.errors import ChangeRefused, MessageRefused, PeerError
from sync.models import RoleChange
from sync.peer import messages
from sync.peer.client import PeerClient
from sync.rules import events as e
from sync.rules.due import PROBE_TOTAL_SECONDS, why_change_is_over
from sync.rules.facts import Header, Observation, RoleState, header_of
from sync.rules.role import UnknownEdge

WAIT_STEP_SECONDS = 0.05

log = logging.getLogger(__name__)


def running() -> RoleChange | None:
    """The role change in progress, or None."""
    return RoleChange.objects.filter(status=ChangeStatus.RUNNING).first()


def has(role: Role) -> bool:
    """Whether this appliance is, undisputed, what `role` says."""
    return journal.read().state == (State.P_ACTIVE if role == Role.PRIMARY else State.B_IDLE)


def wait(change_id: uuid.UUID, seconds: float) -> RoleChange:
    """The role change once it has ended, or as it is after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        change = RoleChange.objects.get(pk=change_id)
        if change.status != ChangeStatus.RUNNING or time.monotonic() >= deadline:
            return change
        time.sleep(WAIT_STEP_SECONDS)


def mirror(change_id: str, target: Role, *, want_final_sync: bool, requested_by: str) -> None:
    """The record of a change that was asked for on the peer, unless it is here already."""
    try:
        key = uuid.UUID(change_id)
    except ValueError as error:
        raise MessageRefused("bad_change_id", status=400) from error
    other = running()
    if other is not None and other.pk == key:
        return
    if other is not None:
        raise MessageRefused("busy", "Another role change is in progress.", status=409)
    if RoleChange.objects.filter(pk=key).exists():
        raise MessageRefused("ended", "That role change has ended.", status=409)
    peer = selectors.relationship()
    save_new(
        RoleChange(
            pk=key,
            kind=ChangeKind.SWITCHOVER,
            target_role=target,
            want_final_sync=want_final_sync,
            requested_by=f"{requested_by} on {peer.peer_name if peer else 'the peer'}"[:200],
        )
    )


def save_new(record: RoleChange) -> None:
    try:
        with transaction.atomic():
            record.save(force_insert=True)
    except IntegrityError as error:
        raise ChangeRefused("Another role change is in progress.", remedy="Wait for its end, or cancel it.") from error


def finish(change: RoleChange, status: ChangeStatus, reason: str) -> None:
    """The change has ended so, unless it has ended already."""
    ended = RoleChange.objects.filter(pk=change.pk, status=ChangeStatus.RUNNING).update(
        status=status, reason=reason[:500], finished_at=timezone.now()
    )
    change.refresh_from_db()
    if ended:
        history.record(f"role_change.{status}", f"{status.label}: swap of roles. {reason}")


def look() -> tuple[probes.Look, Header | None]:
    """Ask the peer how it is, and let the rules answer what it said; its header, or None if it did not answer."""
    found = probes.look_at_peer()
    return found, take_in(found)


def take_in(found: probes.Look) -> Header | None:
    """Let the rules answer what a look at the peer found; the peer's header, or None if it did not answer."""
    if found.status is None:
        return None
    seen = e.PeerSeen(
        found.status.header,
        is_current=True,
        can_serve=found.can_serve and health.read().can_serve,
        same_role_polls=found.same_role_polls,
        auto_resolve=BackupSettings.load().auto_resolve,
        address_holder=_holder(found.asked_in, found.status),
    )
    act.deliver(seen, asked_in=found.asked_in)
    return found.status.header


def _holder(asked_in: RoleState, status: messages.Status) -> str:
    """Who else answers at a shared IP, as far as it matters: to a primary that is about to serve again (row 5)."""
    if asked_in.state != State.P_UNCONFIRMED:
        return ""
    return shared_ips.held_elsewhere(allowed=[shared.mac for shared in status.shared_ips])


def tell_cancelled(change: RoleChange, reason: str) -> None:
    """Tell the peer that nothing will come of the change; best effort.

    A primary that is not told sees in the STATUS of the backup that it holds the change no more.
    """
    message = messages.Cancel(header_of(journal.read()), change.pk.hex, None, reason[:300])
    try:
        with PeerClient.to_peer(timeout=PROBE_TOTAL_SECONDS) as client:
            client.ask(message, messages.Done)
    except PeerError as error:
        log.info("peer not told of the cancellation", extra={"why": str(error)})


def show(change: RoleChange, step: ChangeStep) -> None:
    RoleChange.objects.filter(pk=change.pk, status=ChangeStatus.RUNNING).update(step=step)


def wishes(record: RoleChange) -> dict[str, str]:
    return {
        "becomes": record.target_role,
        "data_sync_first": "yes" if record.want_final_sync else "no",
        "change": str(record.pk),
    }


def deliver_or_refuse(event: e.Event, evidence: dict[str, Any] | None = None) -> act.Outcome:
    try:
        return act.deliver(event, evidence=evidence)
    except UnknownEdge as error:
        raise ChangeRefused(str(error)) from error


def deliver_or_deny(event: e.Event, evidence: dict[str, str] | None = None) -> act.Outcome:
    """Deliver for the peer: a refusal goes back to it as a signed refusal."""
    try:
        outcome = act.deliver(event, evidence=evidence)
    except UnknownEdge as error:
        raise MessageRefused("out_of_place", str(error), status=409) from error
    if outcome.is_refused:
        raise MessageRefused("not_now", outcome.refusal, status=409)
    return outcome


def end_if_over(seen: Observation) -> None:
    """Cancel a change that has not come to an operation and never will."""
    change, why = running(), why_change_is_over(seen)
    if why and change is not None and change.pk.hex == seen.change:
        finish(change, ChangeStatus.CANCELLED, why)
