"""What is known of the pair at this moment, and the one verdict on it: page, commands, command API and mails read it.

`now()` reads everything once; all else follows from that and touches nothing. `problems` is empty exactly where an
administrator has nothing to look at; `sync.situation` puts the first of them at the top of the page.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.utils import timezone

from appliances import selectors, shared_ips
from appliances.choices import ChangeStatus, ProbeOutcome, Role, State, SyncStatus
from appliances.host.interfaces import interfaces
from appliances.models import BackupSettings, FailoverRelationship
from appliances.shared_ips import SharedAddress
from sync import health, journal, verified
from sync.errors import PeerMisbehaved
from sync.health import Health
from sync.models import PeerView, RoleChange, SyncRun
from sync.peer import identity, messages
from sync.rules.facts import HOLDING_STATES, RoleState, role_of
from sync.rules.progress import RunningSync
from sync.rules.verified import Verified
from sync.shared_ips import PairedAddress, Told, of_pair
from sync.troubles import Problem, Trouble

SILENT_AFTER = dt.timedelta(seconds=10)  # the peer is asked each few seconds; more than this is no hiccup
CONFLICT_AFTER_POLLS = 2  # one equal answer may be an old one that crossed a role change
LATE_AFTER_MORE = dt.timedelta(minutes=1)  # than two intervals: one data-sync may be running, one may be waited for
EXACT_MINUTES = 10  # below that, a duration is told with its seconds
NOT_DONE = (SyncStatus.FAILED, SyncStatus.REFUSED)


@dataclass(frozen=True)
class LastSync:
    """`at`: the moment that the latest good data-sync reflects, None before the first; how the latest one ended."""

    at: dt.datetime | None
    status: str


@dataclass(frozen=True)
class Overview:
    """This appliance and its peer as of `now`. What is said of the peer is what it last said."""

    now: dt.datetime
    state: RoleState
    host_name: str
    guid: str
    health: Health
    relationship: FailoverRelationship | None
    view: PeerView
    backup_settings: BackupSettings
    last_run: SyncRun | None
    last_good_run: SyncRun | None
    running_sync: SyncRun | None
    change: RoleChange | None
    verified: Verified
    own_shared: tuple[SharedAddress, ...]
    own_addresses: tuple[str, ...]
    folder_trouble: str

    @property
    def role(self) -> Role:
        """The role of this appliance."""
        return self.state.role

    @property
    def said(self) -> dict[str, Any]:
        """The peer's last STATUS as it was kept, whatever that is."""
        return self.view.status if isinstance(self.view.status, dict) else {}

    @property
    def peer_name(self) -> str:
        """The peer's host name."""
        return str(self.said.get("host_name") or (self.relationship.peer_name if self.relationship else ""))

    @property
    def peer_state(self) -> State | None:
        """The role state that the peer reported last; None before its first answer."""
        header = self.said.get("header")
        state = header.get("state") if isinstance(header, dict) else None
        return State(state) if isinstance(state, str) and state in State.values else None

    @property
    def peer_role(self) -> Role | None:
        """The role that the peer reported last; None before its first answer."""
        return None if self.peer_state is None else role_of(self.peer_state)

    @property
    def peer_is_swapping(self) -> bool:
        """Whether the peer is in the middle of a planned swap."""
        header = self.said.get("header")
        return isinstance(header, dict) and bool(header.get("op"))

    @property
    def peer_answers(self) -> bool:
        """Whether the peer answered this appliance when it was last asked, and that not long ago."""
        at = self.view.answered_at
        return self.view.outcome == ProbeOutcome.ANSWERED and at is not None and self.now - at <= SILENT_AFTER

    @property
    def is_busy(self) -> bool:
        """Whether a role change runs here or on the peer."""
        return bool(self.change or self.state.op or self.peer_is_swapping)

    @property
    def is_held(self) -> bool:
        """Whether a running role change keeps everybody from asking for another one: not once the peer is gone."""
        return self.is_busy and self.peer_answers and self.state.state != State.B_YIELDED

    @property
    def is_superseded(self) -> bool:
        """Whether this appliance was primary, and has stopped serving because the peer is primary in a later term."""
        return self.state.state == State.P_SUPERSEDED

    @property
    def is_peer_superseded(self) -> bool:
        """Whether the peer, answering now, has stopped serving because this appliance is primary in a later term."""
        return self.peer_answers and self.peer_state == State.P_SUPERSEDED

    @property
    def differing_objects(self) -> int | None:
        """In how many objects the settings of the two differ while one waits as superseded; None if not counted yet."""
        waiting = self.view.differences if self.is_superseded else {}
        counted = waiting.get("objects") if self.is_superseded else self.said.get("differing_objects")
        return counted if isinstance(counted, int) and (self.is_superseded or self.is_peer_superseded) else None

    @property
    def may_serve_again(self) -> bool:
        """Whether this is a primary that does not serve, beside a peer that cannot be contacted."""
        is_out = self.state.state in (State.P_SUPERSEDED, State.P_UNCONFIRMED)
        return is_out and self.view.outcome == ProbeOutcome.SILENT and not self.is_busy

    @property
    def is_same(self) -> bool:
        """Whether the peer, answering now, has the role that this appliance has, and neither has given way."""
        is_equal = self.peer_answers and self.role == self.peer_role and self.role != Role.NONE
        return is_equal and not self.is_superseded and not self.is_peer_superseded

    @property
    def is_unequal(self) -> bool:
        """Whether there is a primary and a backup, so that the two can swap; else one of them gives way at once."""
        return not (self.is_conflict or self.is_superseded or self.is_peer_superseded)

    @property
    def is_peer_new(self) -> bool:
        """Whether the relationship has just begun and the peer's first answer is still to come."""
        if self.relationship is None or self.view.answered_at is not None or self.view.outcome == ProbeOutcome.REFUSED:
            return False
        return self.now - self.relationship.established_at <= SILENT_AFTER

    @property
    def is_conflict(self) -> bool:
        """Whether both appliances have the same role and no role change explains it."""
        return self.is_same and not self.is_busy and self.view.same_role_polls >= CONFLICT_AFTER_POLLS

    @property
    def backup_operations(self) -> bool:
        """Whether the backup pulls data-syncs by itself."""
        if self.role == Role.BACKUP:
            return self.backup_settings.enable_backup_operations
        return self.said.get("backup_operations") is not False

    @property
    def interval(self) -> dt.timedelta:
        """The time between two automatic data-syncs of the backup."""
        said = self.said.get("data_sync_interval")
        is_usable = self.role != Role.BACKUP and isinstance(said, int | float) and 0 < said <= 7 * 86400
        return dt.timedelta(seconds=float(said)) if is_usable else self.backup_settings.data_sync_interval  # type: ignore[arg-type]

    @cached_property
    def last_sync(self) -> LastSync | None:
        """The latest data-sync of this relationship, whichever appliance pulled it; None without a relationship."""
        if self.relationship is None:
            return None
        good, said = self.last_good_run, _moment(self.said.get("last_sync_at"))
        if said is not None and said < self.relationship.established_at:
            said = None  # it was pulled from another peer
        moments = [(good.reflects_at or good.finished_at) if good else None, said]
        at = max((moment for moment in moments if moment is not None), default=self.relationship.last_pulled_at)
        own, reported = self.last_run.status if self.last_run else "", str(self.said.get("last_sync_status") or "")
        return LastSync(at, own or reported if self.role == Role.BACKUP else reported or own)

    @property
    def last_sync_at(self) -> dt.datetime | None:
        """The moment that the last good data-sync reflects; None if there was none."""
        return self.last_sync.at if self.last_sync else None

    @property
    def lag(self) -> dt.timedelta | None:
        """How old the state is that the last good data-sync reflects; None if there was none."""
        return max(self.now - self.last_sync_at, dt.timedelta()) if self.last_sync_at else None

    @property
    def is_late(self) -> bool:
        """Whether the last good data-sync is older than two intervals and a minute."""
        return self.lag is not None and self.lag > 2 * self.interval + LATE_AFTER_MORE

    @cached_property
    def shared(self) -> tuple[PairedAddress, ...]:
        """The shared IPs, as they are on both appliances."""
        status = self._peer_status if self.peer_answers else None
        own = Told(self.host_name, True, self.state.state in HOLDING_STATES, self.own_shared, self.own_addresses)
        if status is None:
            return of_pair(own, Told(self.peer_name, False, False))
        is_holder = status.header.state in HOLDING_STATES
        peer = Told(self.peer_name, True, is_holder, tuple(status.shared_ips), tuple(status.addresses))
        return of_pair(own, peer)

    @property
    def peer_verified(self) -> Verified | None:
        """What the peer said of its stored files; None if that is not known."""
        return self._peer_status.verified if self._peer_status else None

    @property
    def progress(self) -> RunningSync | None:
        """The data-sync that runs now, here or on the backup as it said last; None if there is none."""
        if self.running_sync is not None:
            return self.running_sync.progress(self.now)
        return self._peer_status.running_sync if self._peer_status and self.peer_answers else None

    @cached_property
    def _peer_status(self) -> messages.Status | None:
        try:
            return messages.read(messages.Status, self.said)
        except PeerMisbehaved:  # kept by another version, or nothing yet
            return None

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """What an administrator should look at, the gravest first."""
        found = list(self._problems_of_pair()) if self.relationship else []
        if not self.health.is_healthy:
            found.append(Problem(Trouble.UNWELL, self.health.message))
        return tuple(found)

    def problem(self, kind: Trouble) -> Problem | None:
        """The problem of this kind, if there is one."""
        return next((problem for problem in self.problems if problem.kind == kind), None)

    def _problems_of_pair(self) -> Iterator[Problem]:
        if self.is_conflict:
            yield Problem(Trouble.CONFLICT, f"Both appliances are {self.role.value}.")
        if self.is_superseded:
            sentence = f"{self.host_name} does not serve: {self.peer_name} is primary in a later term.{self._waits}"
            yield Problem(Trouble.SUPERSEDED, sentence)
        elif self.is_peer_superseded:
            yield Problem(
                Trouble.PEER_SUPERSEDED, f"{self.peer_name} no longer serves, and is not backup yet.{self._waits}"
            )
        if self.view.outcome == ProbeOutcome.REFUSED:
            yield Problem(Trouble.REFUSED, f"The peer answers, but refuses this appliance: {self.view.detail}")
        elif not self.peer_answers and not self.is_peer_new:
            silence = f"The peer {self.peer_name} does not answer."
            if self.is_without_primary:
                silence = (
                    f"No appliance is known to serve: this one is backup, and {self.peer_name}, which does not answer, "
                    "was backup too."
                )
            yield Problem(Trouble.SILENT, silence)
        elif self.peer_role == Role.NONE:
            yield Problem(Trouble.LEFT, "The peer no longer has a failover relationship with this appliance.")
        for shared in self.shared:
            if not shared.is_well:
                tone, sentence = shared.verdict
                yield Problem(Trouble.SHARED_IP, sentence if tone == "bad" else shared.warnings[0])
        yield from self._problems_of_sync()
        if self.verified.lost:
            yield Problem(Trouble.LOST_FILES, verified.lost_sentence())
        if self.peer_trouble and not self.is_peer_superseded:
            yield Problem(Trouble.PEER_UNWELL, f"{self.peer_name} reports a problem: {self.peer_trouble}")
        if difference := mismatch(self.view):
            yield Problem(Trouble.MISMATCH, difference)

    @property
    def peer_trouble(self) -> str:
        """What the peer, answering now, says is wrong with it, in the words of this appliance; empty if nothing is."""
        if not self.peer_answers or self.said.get("healthy") is not False:
            return ""
        message = str(self.said.get("health_message") or "It gives no reason.")
        return health.told_of_peer(message, self.peer_name, self.host_name)

    @property
    def is_without_primary(self) -> bool:
        """Whether this is a backup whose silent peer was backup too when it was heard last."""
        return self.role == self.peer_role == Role.BACKUP and not self.peer_answers and not self.is_busy

    @property
    def _waits(self) -> str:
        return f" Its settings differ in {objects(self.differing_objects)}." if self.differing_objects else ""

    def _problems_of_sync(self) -> Iterator[Problem]:
        if self.last_sync is None or self.last_sync.at is None:
            yield Problem(Trouble.NEVER_SYNCED, "No data-sync has succeeded yet.")
        if not self.backup_operations:
            yield Problem(Trouble.BACKUP_OFF, "Backup operations are off: no automatic data-sync runs.")
        if self.last_sync is not None and self.last_sync.status in NOT_DONE:
            yield Problem(Trouble.NOT_SYNCED, "The latest data-sync did not succeed.")
        if self.is_late:
            yield Problem(Trouble.LATE, f"The latest good data-sync is too old: {age_of_data(self)}.")
        if self.folder_trouble:
            yield Problem(Trouble.FOLDER, self.folder_trouble)


def now() -> Overview:
    """The pair as this appliance knows it."""
    appliance, relationship = selectors.this_appliance(), selectors.relationship()
    since = relationship.established_at if relationship else None
    runs = SyncRun.objects.filter(started_at__gte=since) if since else SyncRun.objects.none()
    return Overview(
        now=timezone.now(),
        state=journal.read(),
        host_name=appliance.host_name,
        guid=appliance.guid,
        health=health.read(),
        relationship=relationship,
        view=PeerView.objects.filter(pk=1).first() or PeerView(),
        backup_settings=BackupSettings.objects.filter(pk=1).first() or BackupSettings(),
        last_run=runs.exclude(status=SyncStatus.RUNNING).order_by("-started_at").first(),
        last_good_run=runs.filter(status=SyncStatus.SUCCESS).order_by("-started_at").first(),
        running_sync=SyncRun.objects.filter(status=SyncStatus.RUNNING).first(),
        change=RoleChange.objects.filter(status=ChangeStatus.RUNNING).first(),
        verified=verified.read(),
        own_shared=shared_ips.read(),
        own_addresses=tuple(address for interface in interfaces() for address in interface.addresses),
        folder_trouble=selectors.folder_trouble() if relationship else "",
    )


def objects(count: int | None) -> str:
    """A number of objects in words."""
    return "one object" if count == 1 else f"{count or 'no'} objects"


def ago(span: dt.timedelta) -> str:
    """A duration as people say it: "8 s", "1 min 54 s", "23 min", "2 h 5 min", "4 days"."""
    minutes, seconds = divmod(max(int(span.total_seconds()), 0), 60)
    if minutes < 1:
        return f"{seconds} s"
    if minutes < EXACT_MINUTES:
        return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{hours // 24} days"


def age_of_data(known: Overview) -> str:
    """How old the backup's copy of the data is, for people."""
    at = known.last_sync_at
    if at is None:
        return "no data-sync has succeeded yet"
    return f"{ago(known.now - at)} ago, {at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


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


def _moment(seconds: object) -> dt.datetime | None:
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC) if isinstance(seconds, int | float) else None
    except (OverflowError, ValueError, OSError):  # a peer's clock may say anything
        return None
