"""The situation of the pair as the page, the Status pages and the command tell it: facts read once, one verdict.

`read()` reads; `headline()` decides the sentence and touches nothing.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils import timezone

from appliances import selectors
from appliances.choices import ChangeStatus, ProbeOutcome, Role, State, SyncStatus
from appliances.models import BackupSettings, FailoverRelationship
from sync import journal
from sync.models import PeerView, RoleChange, SyncRun
from sync.peer import identity
from sync.rules.facts import RoleState, role_of

SILENT_AFTER = dt.timedelta(seconds=10)  # the peer is asked each few seconds; more than this is no hiccup
CONFLICT_AFTER_POLLS = 2  # one equal answer may be an old one that crossed a role change
FINISHED_CHANGE_SHOWN = dt.timedelta(minutes=2)


@dataclass(frozen=True)
class Box:
    """One appliance of the pair as this page shows it. Fields of the peer are what it last said."""

    name: str
    address: str
    url: str
    role: Role
    state: str
    is_this: bool
    version: str
    build: str
    checked_at: dt.datetime | None
    answers: bool
    problem: str
    is_swapping: bool = False


@dataclass(frozen=True)
class Headline:
    """The answer to "am I safe": `tone` is good, busy, warn or bad."""

    tone: str
    title: str
    detail: str


@dataclass(frozen=True)
class Situation:
    """All that the Failover page shows, as of `now`."""

    now: dt.datetime
    state: RoleState
    relationship: FailoverRelationship
    this: Box
    peer: Box
    view: PeerView
    backup_operations: bool
    interval: dt.timedelta
    last_sync_at: dt.datetime | None
    last_run: SyncRun | None
    running_sync: SyncRun | None
    change: RoleChange | None
    recent_change: RoleChange | None

    @property
    def role(self) -> Role:
        """The role of this appliance."""
        return self.state.role

    @property
    def lag(self) -> dt.timedelta | None:
        """How old the state is that the last good data-sync reflects; None if there was none."""
        return max(self.now - self.last_sync_at, dt.timedelta()) if self.last_sync_at else None

    @property
    def is_late(self) -> bool:
        """Whether the last good data-sync is older than two intervals and a minute."""
        return self.lag is not None and self.lag > 2 * self.interval + dt.timedelta(minutes=1)

    @property
    def is_busy(self) -> bool:
        """Whether a role change runs here or on the peer."""
        return bool(self.change or self.state.op or self.peer.is_swapping)

    @property
    def is_held(self) -> bool:
        """Whether a running role change keeps everybody from asking for another one: not once the peer is gone."""
        return self.is_busy and self.peer.answers and self.state.state != State.B_YIELDED

    @property
    def is_same(self) -> bool:
        """Whether the peer, answering now, has the role that this appliance has."""
        return self.peer.answers and self.role == self.peer.role and self.role != Role.NONE

    @property
    def is_conflict(self) -> bool:
        """Whether both appliances have the same role and no role change explains it."""
        return self.is_same and not self.is_busy and self.view.same_role_polls >= CONFLICT_AFTER_POLLS

    @property
    def target(self) -> Role:
        """The role this appliance would take by a change."""
        return Role.BACKUP if self.role == Role.PRIMARY else Role.PRIMARY

    @property
    def primary(self) -> Box | None:
        """The appliance that is primary, if exactly one is."""
        found = [box for box in (self.this, self.peer) if box.role == Role.PRIMARY]
        return found[0] if len(found) == 1 else None

    @property
    def headline(self) -> Headline:
        """The sentence at the top of the page."""
        return headline(self)


def read(now: dt.datetime | None = None) -> Situation | None:
    """The situation now, or None while no relationship is established."""
    relationship = selectors.relationship()
    if relationship is None:
        return None
    now = now or timezone.now()
    state, view = journal.read(), PeerView.load()
    backup = BackupSettings.load()
    said = view.status if isinstance(view.status, dict) else {}
    is_backup = state.role == Role.BACKUP
    good = SyncRun.objects.filter(status=SyncStatus.SUCCESS).order_by("-started_at").first()
    changes = RoleChange.objects.order_by("-requested_at")
    latest_change = changes.first()
    return Situation(
        now=now,
        state=state,
        relationship=relationship,
        this=_this(relationship, state),
        peer=_peer(relationship, view, said, now),
        view=view,
        backup_operations=backup.enable_backup_operations if is_backup else said.get("backup_operations") is not False,
        interval=backup.data_sync_interval if is_backup else _seconds(said.get("data_sync_interval")),
        last_sync_at=_reflects(good) if is_backup else _later(relationship.last_pulled_at, said.get("last_sync_at")),
        last_run=SyncRun.objects.exclude(status=SyncStatus.RUNNING).order_by("-started_at").first(),
        running_sync=SyncRun.objects.filter(status=SyncStatus.RUNNING).first(),
        change=changes.filter(status=ChangeStatus.RUNNING).first(),
        recent_change=_recent(latest_change, now),
    )


def headline(it: Situation) -> Headline:
    """Whether the pair is safe, in the order of what matters most."""
    if it.is_busy:
        return Headline(
            "busy",
            f"Swap in progress{_to_whom(it)}",
            "The roles change one after the other: for a moment both appliances are Backup. That is expected.",
        )
    if it.is_conflict:
        return Headline("bad", f"Conflict: both appliances are {it.role.label}", _conflict_detail(it))
    if it.state.state == State.P_SUPERSEDED:
        return Headline(
            "bad", f"{it.this.name} has been superseded", f"{it.peer.name} took the role of primary in a later term."
        )
    if it.view.outcome == ProbeOutcome.REFUSED:
        return Headline(
            "bad",
            f"{it.peer.name} answers, but the two do not agree",
            f"{it.view.detail or 'It refused the last check.'} {_loss(it)}",
        )
    if not it.peer.answers:
        return _silent(it)
    if it.state.state == State.P_UNCONFIRMED:
        return Headline("busy", f"{it.this.name} is confirming its role", "It asks the peer before it serves.")
    if it.is_same:
        done = it.recent_change is not None and it.recent_change.status == ChangeStatus.COMPLETED
        title = f"{it.this.name} is {it.role.label} now" if done else "The roles are being settled"
        return Headline("busy", title, f"{it.peer.name} is asked again within seconds.")
    return _quiet(it)


def _to_whom(it: Situation) -> str:
    if it.change is None:
        return ""
    return f": {it.this.name if it.change.target_role == Role.PRIMARY else it.peer.name} becomes primary"


def _quiet(it: Situation) -> Headline:
    """Both answer, roles differ, no operation: what remains is how fresh the backup's data is."""
    primary = it.primary.name if it.primary else "no appliance"
    if it.last_sync_at is None:
        if it.running_sync:
            return Headline("busy", "The first data-sync is running", f"{primary} is primary. {_loss(it)}")
        return Headline("warn", "Not safe yet: never synchronised", f"{primary} is primary. {_loss(it)}")
    if not it.backup_operations:
        return Headline("warn", "Backup operations are off", f"No automatic data-sync runs. {_loss(it)}")
    if it.last_run and it.last_run.status in (SyncStatus.FAILED, SyncStatus.REFUSED) and it.role == Role.BACKUP:
        why = it.last_run.message or it.last_run.get_status_display()
        return Headline("warn", "The last data-sync did not succeed", f"{why} {_loss(it)}")
    if it.is_late:
        return Headline("warn", "The backup is behind", f"{primary} is primary. {_loss(it)}")
    return Headline("good", f"Safe: {primary} serves, the backup is ready", _loss(it))


def _silent(it: Situation) -> Headline:
    seen = f"last answer {ago(it.now - it.view.answered_at)} ago" if it.view.answered_at else "it has never answered"
    if it.role == Role.PRIMARY:
        return Headline(
            "bad", f"No backup: {it.peer.name} does not answer", f"This appliance serves; {seen}. {_loss(it)}"
        )
    return Headline("bad", f"{it.peer.name} does not answer", f"This appliance is the backup; {seen}. {_loss(it)}")


def _loss(it: Situation) -> str:
    lag = it.lag
    if lag is None:
        return "A failover now would lose everything: the backup holds no copy yet."
    return f"A failover now would lose what changed in the last {ago(lag)}."


def _conflict_detail(it: Situation) -> str:
    if it.role == Role.PRIMARY:
        return "Decide which one should be the backup, and press Become Backup on it."
    return "Decide which one should be the primary, and press Become Primary on it."


def ago(span: dt.timedelta) -> str:
    """A duration as people say it: "8 s", "3 min", "2 h 5 min", "4 days"."""
    seconds = max(int(span.total_seconds()), 0)
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{hours // 24} days"


def _this(relationship: FailoverRelationship, state: RoleState) -> Box:
    return Box(
        name=selectors.this_appliance().host_name,
        address=f"{relationship.reverse_host}:{relationship.reverse_port}",
        url="",
        role=state.role,
        state=state.state.label,
        is_this=True,
        version=settings.PRODUCT_VERSION,
        build=build(),
        checked_at=None,
        answers=True,
        problem="",
        is_swapping=state.op is not None,
    )


def _peer(relationship: FailoverRelationship, view: PeerView, said: dict[str, Any], now: dt.datetime) -> Box:
    header = said.get("header") if isinstance(said.get("header"), dict) else {}
    state = _state(header.get("state") if header else None)
    fresh = view.answered_at is not None and now - view.answered_at <= SILENT_AFTER
    return Box(
        name=str(said.get("host_name") or relationship.peer_name),
        address=f"{relationship.peer_host}:{relationship.peer_port}",
        url=peer_url(relationship),
        role=role_of(state),
        state=state.label if header else "Not seen yet",
        is_this=False,
        version=str(said.get("product", "")),
        build=str(said.get("build", "")),
        checked_at=view.answered_at,
        answers=fresh and view.outcome == ProbeOutcome.ANSWERED,
        problem=view.detail if view.outcome in (ProbeOutcome.SILENT, ProbeOutcome.REFUSED) else "",
        is_swapping=bool(header and header.get("op")),
    )


def peer_url(relationship: FailoverRelationship) -> str:
    """The peer's Failover page, at the address by which this appliance reaches it."""
    host = f"[{relationship.peer_host}]" if ":" in relationship.peer_host else relationship.peer_host
    port = "" if relationship.peer_port == 443 else f":{relationship.peer_port}"
    return f"https://{host}{port}/login/management/failover/"


def build() -> str:
    """The product build of this appliance."""
    return identity.product_build()


def _state(value: object) -> State:
    return State(value) if value in State.values else State.NONE


def _seconds(value: object) -> dt.timedelta:
    usable = isinstance(value, int | float) and 0 < value <= 7 * 86400
    return dt.timedelta(seconds=float(value)) if usable else BackupSettings().data_sync_interval  # type: ignore[arg-type]


def _reflects(run: SyncRun | None) -> dt.datetime | None:
    return (run.reflects_at or run.finished_at) if run else None


def _later(pulled_at: dt.datetime | None, said: object) -> dt.datetime | None:
    moments = [pulled_at] if pulled_at else []
    if isinstance(said, int | float) and said > 0:
        moments.append(dt.datetime.fromtimestamp(min(float(said), 4e9), tz=dt.UTC))
    return max(moments, default=None)


def _recent(change: RoleChange | None, now: dt.datetime) -> RoleChange | None:
    if change is None or change.status == ChangeStatus.RUNNING or change.finished_at is None:
        return None
    return change if now - change.finished_at <= FINISHED_CHANGE_SHOWN else None
