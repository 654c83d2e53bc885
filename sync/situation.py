"""The situation of the pair as the Failover page and the Status pages tell it: the overview in the page's words.

Every value and every verdict is that of `sync.overview`; `headline()` finds the words for the gravest problem.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings

from appliances.choices import ChangeStatus, ProbeOutcome, Role, State
from appliances.models import FailoverRelationship
from sync import overview
from sync.models import RoleChange
from sync.overview import Overview, objects
from sync.peer import identity
from sync.rules.takeover import Verdict
from sync.troubles import Trouble

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
    is_superseded: bool = False
    is_new: bool = False

    @property
    def chip(self) -> str:
        """The role in a word; one that has been superseded is primary in name alone."""
        if self.is_superseded:
            return "Superseded"
        return "Not asked yet" if self.is_new else str(self.role.label)

    @property
    def chip_role(self) -> str:
        """The role whose colour the box has: none for one that does not serve as primary."""
        return Role.NONE.value if self.is_superseded else self.role.value


@dataclass(frozen=True)
class Headline:
    """The answer to "am I safe": `tone` is good, busy, warn or bad."""

    tone: str
    title: str
    detail: str


@dataclass(frozen=True)
class Situation(Overview):
    """All that the Failover page shows: what is known of an established pair."""

    relationship: FailoverRelationship
    recent_change: RoleChange | None

    @property
    def this(self) -> Box:
        """The box of this appliance."""
        return _this(self)

    @property
    def peer(self) -> Box:
        """The box of the peer."""
        return _peer(self)

    @property
    def target(self) -> Role:
        """The role this appliance would take by a change."""
        return Role.BACKUP if self.role == Role.PRIMARY else Role.PRIMARY

    @property
    def primary(self) -> Box | None:
        """The appliance that is primary, if exactly one is."""
        found = [box for box in (self.this, self.peer) if box.role == Role.PRIMARY and not box.is_superseded]
        return found[0] if len(found) == 1 else None

    @property
    def headline(self) -> Headline:
        """The sentence at the top of the page."""
        return headline(self)


def read() -> Situation | None:
    """The situation now, or None while no relationship is established."""
    known = overview.now()
    if known.relationship is None:
        return None
    latest = RoleChange.objects.order_by("-requested_at").first()
    return Situation(**vars(known), recent_change=_recent(latest, known))


def headline(it: Situation) -> Headline:
    """Whether the pair is safe: what goes on, else the gravest problem; good exactly where there is neither."""
    if it.is_busy:
        return Headline(
            "busy",
            f"Swap in progress{_to_whom(it)}",
            "The roles change one after the other: for a moment both appliances are Backup. That is expected.",
        )
    grave = next((problem.kind for problem in it.problems if problem.kind in _GRAVE), None)
    if grave is not None:
        return _WORDS[grave](it)
    if it.is_peer_new:
        detail = f"The relationship has just been established. {it.peer.name} is asked within seconds."
        return Headline("busy", f"{_primary(it)} is primary", detail)
    if it.state.state == State.P_UNCONFIRMED:
        return Headline("busy", f"{it.this.name} is confirming its role", "It asks the peer before it serves.")
    if it.is_same:
        done = it.recent_change is not None and it.recent_change.status == ChangeStatus.COMPLETED
        title = f"{it.this.name} is {it.role.label} now" if done else "The roles are being settled"
        return Headline("busy", title, f"{it.peer.name} is asked again within seconds.")
    if it.problems:
        return _WORDS[it.problems[0].kind](it)
    return Headline("good", f"Safe: {_primary(it)} serves, the backup is ready", _loss(it))


def _to_whom(it: Situation) -> str:
    if it.change is None:
        return ""
    return f": {it.this.name if it.change.target_role == Role.PRIMARY else it.peer.name} becomes primary"


def _primary(it: Situation) -> str:
    return it.primary.name if it.primary else "no appliance"


def _conflict(it: Situation) -> Headline:
    other = Role.BACKUP if it.role == Role.PRIMARY else Role.PRIMARY
    return Headline(
        "bad",
        f"Conflict: both appliances are {it.role.label}",
        f"Decide which one should be the {other.value}, and press Become {other.label} on it.",
    )


def _superseded(it: Situation) -> Headline:
    if it.differing_objects and not it.may_serve_again:
        return Headline(
            "bad",
            f"{it.this.name} waits for your decision",
            f"It does not serve: {it.peer.name} is primary. Their settings differ in {objects(it.differing_objects)}: "
            "choose which to keep. Until then nothing is overwritten.",
        )
    if it.may_serve_again:
        detail = (
            f"It does not serve, and {it.peer.name} does not answer. If it is gone for good, press Serve Again here."
        )
    elif it.peer_role == Role.BACKUP:
        detail = (
            f"It does not serve, and {it.peer.name} is backup. It serves again by itself if it has the newest settings."
        )
    else:
        detail = f"It does not serve: {it.peer.name} is primary. Press Become Backup here to make it the backup."
    return Headline("bad", f"{it.this.name} has been superseded", detail)


def _peer_superseded(it: Situation) -> Headline:
    title = f"{it.this.name} serves; {it.peer.name} no longer does"
    if it.differing_objects:
        return Headline(
            "warn",
            title,
            f"{it.peer.name} waits: its settings differ in {objects(it.differing_objects)}. Open its page to choose "
            "which to keep. Until then there is no backup, and nothing is overwritten.",
        )
    return Headline(
        "warn",
        title,
        f"{it.peer.name} was primary before and has given way. Press Become Backup there to make it the backup.",
    )


def _refused(it: Situation) -> Headline:
    where = " Compare the key under Management > Security on both." if it.view.code == "key_differs" else ""
    detail = f"{it.view.detail or 'It refused the last check.'}{where} {_loss(it)}"
    return Headline("bad", f"{it.peer.name} answers, but the two do not agree", detail)


def _silent(it: Situation) -> Headline:
    seen = (
        f"last answer {overview.ago(it.now - it.view.answered_at)} ago"
        if it.view.answered_at
        else "it has never answered"
    )
    if it.role == Role.PRIMARY:
        return Headline(
            "bad", f"No backup: {it.peer.name} does not answer", f"This appliance serves; {seen}. {_only_here(it)}"
        )
    if it.is_without_primary:
        detail = f"This appliance is backup, and it was backup too; {seen}. If it is down, press Become Primary here."
        return Headline("bad", f"No primary: {it.peer.name} does not answer", detail)
    detail = f"This appliance is the backup; {seen}. {_take_over(it)} {_loss(it)}"
    return Headline("bad", f"{it.peer.name} does not answer", detail)


def _take_over(it: Situation) -> str:
    """Whether this backup takes over by itself from a primary that is silent."""
    if not it.backup_settings.enable_automatic_failover:
        return f"Nobody takes over by itself: if {it.peer.name} is down, press Become Primary."
    decision = it.view.decision or {}
    match decision.get("verdict"):
        case Verdict.COUNT_DOWN.value:
            return f"It takes over by itself in {decision.get('seconds_left') or 0:.0f} s."
        case Verdict.HOLD.value:
            return f"It does not take over by itself now: {decision.get('reason')}"
        case Verdict.TAKE_OVER.value:
            return "It is taking over."
    return ""


def _left(it: Situation) -> Headline:
    return Headline("bad", f"{it.peer.name} is no longer part of the pair", _sentence(it, Trouble.LEFT))


def _shared_ip(it: Situation) -> Headline:
    is_bad = any(shared.verdict[0] == "bad" for shared in it.shared)
    title = "The shared IP is not where it belongs" if is_bad else "The shared IP is not ready for a role change"
    return Headline("bad" if is_bad else "warn", title, _sentence(it, Trouble.SHARED_IP))


def _never_synced(it: Situation) -> Headline:
    detail = f"{_primary(it)} is primary. {_loss(it)}"
    if it.progress:
        return Headline("busy", "The first data-sync is running", detail)
    return Headline("warn", "Not safe yet: never synchronised", detail)


def _backup_off(it: Situation) -> Headline:
    return Headline("warn", "Backup operations are off", f"No automatic data-sync runs. {_loss(it)}")


def _not_synced(it: Situation) -> Headline:
    run = it.last_run if it.role == Role.BACKUP else None
    why = (run.message or run.get_status_display()) if run else "The backup says why."
    return Headline("warn", "The last data-sync did not succeed", f"{why} {_loss(it)}")


def _late(it: Situation) -> Headline:
    return Headline("warn", "The backup is behind", f"{_primary(it)} is primary. {_loss(it)}")


def _folder(it: Situation) -> Headline:
    detail = f"{_sentence(it, Trouble.FOLDER)} See Management > Folders. All else is synchronised."
    return Headline("warn", "A folder is not as on the primary", detail)


def _lost_files(it: Situation) -> Headline:
    return Headline("warn", "Stored files are damaged", _sentence(it, Trouble.LOST_FILES))


def _peer_unwell(it: Situation) -> Headline:
    return Headline("warn", f"{it.peer.name} is not well", _sentence(it, Trouble.PEER_UNWELL))


def _mismatch(it: Situation) -> Headline:
    return Headline("warn", "The two appliances run different versions", _sentence(it, Trouble.MISMATCH))


def _unwell(it: Situation) -> Headline:
    return Headline("warn", f"{it.this.name} is not well", _sentence(it, Trouble.UNWELL))


# Before these, nothing else about the pair matters; the others wait until the roles are settled.
_GRAVE = frozenset({Trouble.CONFLICT, Trouble.SUPERSEDED, Trouble.PEER_SUPERSEDED, Trouble.REFUSED, Trouble.SILENT})
_WORDS: dict[Trouble, Callable[[Situation], Headline]] = {
    Trouble.CONFLICT: _conflict,
    Trouble.SUPERSEDED: _superseded,
    Trouble.PEER_SUPERSEDED: _peer_superseded,
    Trouble.REFUSED: _refused,
    Trouble.SILENT: _silent,
    Trouble.LEFT: _left,
    Trouble.SHARED_IP: _shared_ip,
    Trouble.NEVER_SYNCED: _never_synced,
    Trouble.BACKUP_OFF: _backup_off,
    Trouble.NOT_SYNCED: _not_synced,
    Trouble.LATE: _late,
    Trouble.FOLDER: _folder,
    Trouble.LOST_FILES: _lost_files,
    Trouble.PEER_UNWELL: _peer_unwell,
    Trouble.MISMATCH: _mismatch,
    Trouble.UNWELL: _unwell,
}


def _sentence(it: Situation, kind: Trouble) -> str:
    problem = it.problem(kind)
    return problem.sentence if problem else ""


def _only_here(it: Situation) -> str:
    if it.lag is None:
        return "Nothing of its data is on another appliance."
    if it.peer_role == Role.PRIMARY:  # when it was heard last: this one took over from it
        ago = overview.ago(it.lag)
        return f"What {it.peer.name} took in after the last data-sync, {ago} ago, is not here until it is back."
    return f"What changed in the last {overview.ago(it.lag)} is on this appliance alone."


def _loss(it: Situation) -> str:
    lag = it.lag
    if lag is None:
        return "A failover now would lose everything: the backup holds no copy yet."
    return f"A failover now would lose what changed in the last {overview.ago(lag)}."


def _this(it: Situation) -> Box:
    return Box(
        name=it.host_name,
        address=f"{it.relationship.reverse_host}:{it.relationship.reverse_port}",
        url="",
        role=it.role,
        state=it.state.state.label,
        is_this=True,
        version=settings.PRODUCT_VERSION,
        build=identity.product_build(),
        checked_at=None,
        answers=True,
        problem="",
        is_swapping=it.state.op is not None,
        is_superseded=it.is_superseded,
    )


def _peer(it: Situation) -> Box:
    view = it.view
    return Box(
        name=it.peer_name,
        address=f"{it.relationship.peer_host}:{it.relationship.peer_port}",
        url=failover_page_of_peer(it.relationship),
        role=it.peer_role or Role.NONE,
        state=it.peer_state.label if it.peer_state else "Not seen yet",
        is_this=False,
        version=str(it.said.get("product", "")),
        build=str(it.said.get("build", "")),
        checked_at=view.answered_at,
        answers=it.peer_answers,
        problem=view.detail if view.outcome in (ProbeOutcome.SILENT, ProbeOutcome.REFUSED) else "",
        is_swapping=it.peer_is_swapping,
        is_superseded=it.peer_state == State.P_SUPERSEDED,
        is_new=it.is_peer_new,
    )


def failover_page_of_peer(relationship: FailoverRelationship) -> str:
    """The peer's Failover page, at the address by which this appliance reaches it."""
    return f"{relationship.peer_url}login/management/failover/"


def _recent(change: RoleChange | None, known: overview.Overview) -> RoleChange | None:
    """The role change that has just ended; not one whose role this appliance has given up or lost since."""
    if change is None or change.status == ChangeStatus.RUNNING or change.finished_at is None:
        return None
    if change.status == ChangeStatus.COMPLETED and change.target_role != known.role:
        return None
    return change if known.now - change.finished_at <= FINISHED_CHANGE_SHOWN else None
