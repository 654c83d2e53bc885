"""Lists of steps as the page shows them: what a role change will do, how far it is, where establishing failed."""

from __future__ import annotations

from dataclasses import dataclass

from appliances.choices import ChangeKind, ChangeStatus, ChangeStep, EstablishStep, OperationKind, Role
from sync.errors import EstablishRefused
from sync.models import RoleChange
from sync.overview import ago
from sync.situation import Situation

SYNC_STEPS = (ChangeStep.FIRST_SYNC, ChangeStep.FINAL_SYNC)

ESTABLISH_HELP = {
    EstablishStep.FORM: "Both addresses are usable",
    EstablishStep.NAME_LOOKUP: "The name leads to an address",
    EstablishStep.TCP: "The address accepts a connection",
    EstablishStep.TLS: "An encrypted connection stands",
    EstablishStep.KEY: "Both hold the same inter-appliance key",
    EstablishStep.IDENTITY: "It is another appliance, not this one",
    EstablishStep.VERSION: "Both run the same product build",
    EstablishStep.STATE: "The other appliance is free",
    EstablishStep.CALL_BACK: "It can connect back to this one",
}


@dataclass(frozen=True)
class Step:
    """One line of a list of steps; `mark` is done, now, failed or todo."""

    label: str
    detail: str
    mark: str


def of_establish(error: EstablishRefused) -> list[Step]:
    """The steps before the failed one ticked, the failed one marked, the rest open."""
    steps, mark = [], "done"
    for step in EstablishStep:
        here = "failed" if step == error.step else mark
        mark = "todo" if here == "failed" else mark
        steps.append(Step(step.label, ESTABLISH_HELP[step], here))
    return steps


def of_change(change: RoleChange, it: Situation) -> list[Step]:
    """How far a running or just ended role change is."""
    wanted = [step for step in ChangeStep if change.want_final_sync or step not in SYNC_STEPS]
    if change.kind != ChangeKind.SWITCHOVER:
        wanted = [ChangeStep.REQUESTED, _last(change.target_role)]
    reached = list(ChangeStep).index(ChangeStep(change.step))
    steps = []
    for step in wanted:
        at = list(ChangeStep).index(step)
        if change.status == ChangeStatus.COMPLETED or at < reached:
            mark = "done"
        elif at == reached:
            mark = "now" if change.status == ChangeStatus.RUNNING else "failed"
        else:
            mark = "todo"
        steps.append(Step(step.label, _who_does(step, change, it), mark))
    return steps


def of_operation(it: Situation) -> list[Step]:
    """How far a swap is that runs without a record here: as the role journal has it."""
    order = [OperationKind.DRAIN, OperationKind.OFFERED, OperationKind.READY, OperationKind.YIELDED]
    reached = order.index(it.state.op.kind) if it.state.op else 0
    return [
        Step(kind.label, "", "done" if at < reached else "now" if at == reached else "todo")
        for at, kind in enumerate(order)
    ]


def preview(it: Situation, *, want_final_sync: bool, without_peer: bool) -> list[Step]:
    """What will happen, in order, when this appliance changes to its other role."""
    me, peer = it.this.name, it.peer.name
    if not it.peer.answers:
        return _preview_alone(it, without_peer)
    if it.is_superseded:
        detail = f"At once. It takes over the settings of {peer}, which serves meanwhile."
        return [Step(f"{me} becomes Backup", detail, "todo")]
    if not it.is_unequal:
        other = Role.PRIMARY if it.target == Role.BACKUP else Role.BACKUP
        return [
            Step(f"{me} becomes {it.target.label}", "At once.", "todo"),
            Step(f"{peer} stays or becomes {other.label}", "Its settings replace those of the backup.", "todo"),
        ]
    old, new = (me, peer) if it.role == Role.PRIMARY else (peer, me)
    steps = []
    if want_final_sync:
        steps.append(Step(f"{new} pulls a data-sync", f"{old} still serves meanwhile.", "todo"))
    steps.append(Step(f"Users of {old} are disconnected", "Nobody can log in until the roles have swapped.", "todo"))
    if want_final_sync:
        steps.append(Step(f"{new} pulls what changed since", "Nothing is lost.", "todo"))
    steps.append(Step(f"{old} becomes Backup", "For a moment both are Backup. That is expected.", "todo"))
    steps.append(Step(f"{new} becomes Primary and serves", "", "todo"))
    return steps


def by_hand(it: Situation) -> list[Step]:
    """What the administrator has to do after this appliance has changed to its other role."""
    is_own = it.target == Role.PRIMARY
    addresses = " and ".join(
        paired.address for paired in it.shared if not (paired.own if is_own else paired.peer).is_present
    )
    if not addresses:
        return []
    new, old = (it.this, it.peer) if is_own else (it.peer, it.this)
    detail = (
        f"This installation has no right to change addresses. Take it off {old.name}, and only then put it on "
        f"{new.name}; Networking > IP Configuration of each shows the commands."
    )
    return [Step(f"Move {addresses} to {new.name} by hand", detail, "todo")]


def loss(it: Situation, *, want_final_sync: bool) -> str:
    """What is lost when the roles change now; empty if nothing is."""
    if not it.is_unequal or (want_final_sync and it.peer.answers):
        return ""
    if it.role == Role.PRIMARY and not it.peer.answers:
        return ""
    old = it.peer.name if it.role == Role.BACKUP else it.this.name
    if it.lag is None:
        return f"No data-sync has ever succeeded: nothing that {old} holds will be there."
    if not it.peer.answers:
        return (
            f"The last good data-sync is {ago(it.lag)} old. Settings changed on {old} since then are not here until "
            f"{old} is back. Then its page compares the two, and you choose for each object; nothing is overwritten "
            f"before that. Its recordings and logs since then come along with the next data-sync."
        )
    return (
        f"The last good data-sync is {ago(it.lag)} old. Settings changed on {old} since then will be lost. "
        f"Sessions and recordings since then stay on {old} and are brought together at the next data-sync."
    )


def _preview_alone(it: Situation, without_peer: bool) -> list[Step]:
    me, peer = it.this.name, it.peer.name
    if it.target == Role.PRIMARY:
        return [
            Step(f"{me} becomes Primary and serves", f"{peer} is not asked: it does not answer.", "todo"),
            Step(f"{peer} gives way when it comes back", "It sees the newer role and does not serve.", "todo"),
        ]
    if not without_peer:
        return [Step("The change is cancelled", f"{peer} does not answer, and cannot become primary.", "todo")]
    return [
        Step(f"{me} becomes Backup and stops serving", f"{peer} is not asked: it does not answer.", "todo"),
        Step(f"Make {peer} primary yourself", "Until then no appliance serves the site.", "todo"),
    ]


def _last(target: str) -> ChangeStep:
    return ChangeStep.PROMOTED if target == Role.PRIMARY else ChangeStep.YIELDED


def _who_does(step: ChangeStep, change: RoleChange, it: Situation) -> str:
    mine = change.target_role == Role.PRIMARY
    new, old = (it.this.name, it.peer.name) if mine else (it.peer.name, it.this.name)
    return {
        ChangeStep.REQUESTED: f"by {change.requested_by}",
        ChangeStep.FIRST_SYNC: f"{new} pulls from {old}",
        ChangeStep.DRAINING: f"on {old}",
        ChangeStep.FINAL_SYNC: f"{new} pulls what changed since",
        ChangeStep.READY: new,
        ChangeStep.YIELDED: old,
        ChangeStep.PROMOTED: new,
    }[step]
