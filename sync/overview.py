"""What is known of the pair at this moment, in one value: for the command API, the commands and the mails."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from django.utils import timezone
from django.utils.timesince import timesince

from appliances import selectors
from appliances.choices import ProbeOutcome, Role, State, SyncStatus
from appliances.models import FailoverRelationship
from sync import health, journal
from sync.models import PeerView, RoleChange, SyncRun
from sync.peer import identity
from sync.rules.facts import role_of

PEER_SILENT_AFTER = dt.timedelta(seconds=10)  # a dead peer shows within this time


@dataclass(frozen=True)
class LastSync:
    """`at`: the moment that the latest good data-sync reflects, None before the first; how the latest one ended."""

    at: dt.datetime | None
    status: str


@dataclass(frozen=True)
class Overview:
    """This appliance, its peer and what is wrong; `peer` and `last_sync` are None while nothing is established."""

    role: Role
    state: str
    term: int
    host_name: str
    guid: str
    relationship: FailoverRelationship | None
    peer_role: str
    peer_answered_at: dt.datetime | None
    peer_outcome: str
    last_sync: LastSync | None
    change: RoleChange | None
    sync: SyncRun | None
    problems: tuple[str, ...]


def now() -> Overview:
    """The pair as this appliance knows it."""
    appliance = selectors.this_appliance()
    state = journal.read()
    relationship = selectors.relationship()
    view = PeerView.objects.filter(pk=1).first() or PeerView()
    known = relationship is not None
    return Overview(
        role=state.role,
        state=state.state,
        term=state.term,
        host_name=appliance.host_name,
        guid=appliance.guid,
        relationship=relationship,
        peer_role=peer_role(view) if known else "",
        peer_answered_at=view.answered_at if known else None,
        peer_outcome=view.outcome if known else "",
        last_sync=last_sync(view) if known else None,
        change=RoleChange.objects.filter(finished_at=None).first(),
        sync=SyncRun.objects.filter(status=SyncStatus.RUNNING).first(),
        problems=tuple(_problems(state.role, relationship, view)),
    )


def is_silent(answered_at: dt.datetime | None) -> bool:
    """Whether a peer that answered last at this moment counts as gone."""
    return answered_at is None or timezone.now() - answered_at > PEER_SILENT_AFTER


def age_of_data(known: Overview) -> str:
    """How old the backup's copy of the data is, for people."""
    if known.last_sync is None or known.last_sync.at is None:
        return "no data-sync has succeeded yet"
    at = known.last_sync.at
    age = "just now" if timezone.now() - at < dt.timedelta(minutes=1) else f"{timesince(at)} ago"
    return f"{age}, {at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC".replace("\xa0", " ")


def peer_role(view: PeerView) -> str:
    """The role that the peer reported last; empty before its first answer."""
    header = view.status.get("header")
    state = header.get("state") if isinstance(header, dict) else None
    return role_of(State(state)).value if state in State.values else ""


def last_sync(view: PeerView) -> LastSync:
    """The latest data-sync of the pair: what this appliance pulled, or what the peer says that it pulled."""
    run = SyncRun.objects.exclude(status=SyncStatus.RUNNING).order_by("-started_at").first()
    good = SyncRun.objects.filter(status=SyncStatus.SUCCESS).order_by("-started_at").first()
    own = LastSync(good.reflects_at if good else None, run.status if run else "")
    seconds = view.status.get("last_sync_at")
    try:
        at = dt.datetime.fromtimestamp(seconds, dt.UTC) if isinstance(seconds, int | float) else None
    except (OverflowError, ValueError, OSError):  # a peer's clock may say anything
        at = None
    peers = LastSync(at, str(view.status.get("last_sync_status") or ""))
    if own.at is None or (peers.at is not None and peers.at > own.at):
        return peers if peers.at or peers.status else own
    return own


def mismatch(view: PeerView) -> str:
    """How product version, build or schema of the two appliances differ, as the peer reported last; empty if not."""
    theirs = view.status
    if not theirs:
        return ""
    name = theirs.get("host_name") or "The peer"
    if theirs.get("build") != identity.product_build():
        return f"This appliance runs {identity.product_build()}, {name} runs {theirs.get('build')}."
    if theirs.get("schema") != identity.schema_digest():
        return f"The databases of this appliance and {name} are of different versions."
    return ""


def _problems(role: Role, relationship: FailoverRelationship | None, view: PeerView) -> Iterator[str]:
    """What an administrator should look at, as sentences."""
    condition = health.read()
    if not condition.is_healthy:
        yield condition.message
    if relationship is None:
        return
    answered = view.answered_at
    if view.outcome == ProbeOutcome.REFUSED:
        yield f"The peer answers, but refuses this appliance: {view.detail}"
    elif is_silent(answered):
        yield f"The peer {relationship.peer_name} does not answer."
    elif view.status.get("healthy") is False:
        yield f"The peer reports a problem: {view.status.get('health_message')}"
    theirs = peer_role(view)
    if theirs == role and view.same_role_polls > 1:
        yield f"Both appliances are {role.value}."
    if theirs and theirs == Role.NONE:
        yield "The peer no longer has a failover relationship with this appliance."
    if difference := mismatch(view):
        yield difference
    latest = last_sync(view)
    if latest.at is None:
        yield "No data-sync has succeeded yet."
    elif latest.status in (SyncStatus.FAILED, SyncStatus.REFUSED):
        yield "The latest data-sync did not succeed."
