"""Ask for a role, or give a running swap up: the one way in for page, API and shell."""

from __future__ import annotations

from django.utils import timezone

from appliances import shared_ips
from appliances.choices import ChangeKind, ChangeStatus, ChangeStep, ProbeOutcome, Role, State
from sync import history, journal, outside, probes
from sync.errors import ChangeRefused, PeerError
from sync.models import RoleChange
from sync.peer import messages
from sync.peer.client import PeerClient
from sync.probes import Look
from sync.role_changes.record import deliver_or_refuse, finish, has, look, running, save_new, tell_cancelled, wishes
from sync.rules import events as e
from sync.rules.due import PROBE_TOTAL_SECONDS
from sync.rules.facts import BACKUP_STATES, PRIMARY_STATES, Header, Operation, RoleState, ballot, header_of


def request(
    target: Role, *, want_final_sync: bool, without_peer: bool, requested_by: str, accepts_loss: bool = False
) -> RoleChange:
    """Ask for a role. A planned swap is RUNNING afterwards and goes on by itself; everything else has ended.

    `without_peer`: even if the peer cannot be dealt with. `accepts_loss`: where it cannot be contacted, become primary
    and leave what it took in since the last data-sync with it; whoever asked saw it answer otherwise. The caller
    enqueues `drive` when the change is RUNNING and this appliance is the backup.

    Raises:
        ChangeRefused: nothing was changed; the message says why, the remedy what to do.
    """
    state = journal.read()
    if state.role == Role.NONE:
        raise ChangeRefused("Failover is not configured.", remedy="Establish a relationship first.")
    if has(target):
        raise ChangeRefused(f"This appliance is {target.label.lower()} already.")
    seen, peer = look()
    state = journal.read()
    # Whoever has yielded and sees no new primary may take the role back while the swap is still on record.
    if peer is not None and running() is not None and state.state != State.B_YIELDED:
        raise ChangeRefused("Another role change is in progress.", remedy="Wait for its end, or cancel it.")
    record = RoleChange(
        target_role=target, want_final_sync=want_final_sync, without_peer=without_peer, requested_by=requested_by
    )
    is_swap = peer is not None and peer.state in (BACKUP_STATES if target == Role.BACKUP else PRIMARY_STATES)
    if is_swap and not _is_deserted(state, peer):
        return _begin_swap(record, state)
    if peer is None and want_final_sync:
        raise ChangeRefused(
            f"The peer cannot be contacted, so no data-sync can be pulled from it. {seen.detail}",
            remedy="Untick the data-sync box, or wait until the peer answers.",
        )
    if seen.outcome == ProbeOutcome.REFUSED and not without_peer:
        raise ChangeRefused(
            f"The peer is there, but cannot be dealt with: {seen.detail}",
            remedy="Mend that first, or say that the role is to change even so.",
        )
    if target == Role.BACKUP:
        return _become_backup(record, peer, seen.detail)
    if peer is None and not (without_peer or accepts_loss):
        raise ChangeRefused(
            f"The peer cannot be contacted. Nothing was changed. {seen.detail}",
            remedy="Ask again when it answers, or say that this appliance is to be primary without it: what it took in "
            "since the last data-sync is not here then.",
        )
    if peer is None and state.role == Role.PRIMARY:
        return _serve_again(record, seen)
    return _alone(record, e.BecomePrimary(None)) if peer is None else _become_primary(record, peer)


def _is_deserted(state: RoleState, peer: Header | None) -> bool:
    """Whether the peer is a superseded primary with no newer settings than this backup: it has no role to hand over."""
    is_superseded = peer is not None and peer.state == State.P_SUPERSEDED
    return is_superseded and state.role == Role.BACKUP and peer is not None and peer.head <= state.head


def _begin_swap(record: RoleChange, state: RoleState) -> RoleChange:
    if record.target_role == Role.BACKUP and state.state == State.P_SUPERSEDED:
        raise ChangeRefused(
            "Neither appliance serves: the peer is backup, and this one has been superseded.",
            remedy="It serves again by itself within seconds, unless the peer has newer settings: then press Fix This "
            "Error.",
        )
    if record.target_role == Role.BACKUP and state.state != State.P_ACTIVE:
        raise ChangeRefused(
            f"This appliance is {state.state.label.lower()}: it has no role to hand over.",
            remedy="Wait until it serves, or resolve the conflict.",
        )
    if record.target_role == Role.PRIMARY and state.role == Role.PRIMARY:
        raise ChangeRefused(
            f"This appliance is {state.state.label.lower()}.",
            remedy="Wait until it serves, or resolve the conflict: Become Backup on one of the two.",
        )
    if record.target_role == Role.PRIMARY and state.state != State.B_IDLE:
        raise ChangeRefused("A swap of roles is in progress.", remedy="Wait for its end, or cancel it.")
    if not record.want_final_sync and record.target_role == Role.PRIMARY and not state.initialised:
        raise ChangeRefused(
            "This backup has never completed a data-sync.", remedy="Tick the box to pull a data-sync first."
        )
    record.kind = ChangeKind.SWITCHOVER
    save_new(record)
    history.record(
        "role_change.requested", f"{record.requested_by} asked for a swap of roles.", evidence=wishes(record)
    )
    if record.target_role == Role.BACKUP:
        wish = messages.SwapWish(record.pk.hex, record.want_final_sync, record.requested_by)
        try:
            with PeerClient.to_peer(timeout=PROBE_TOTAL_SECONDS) as client:
                client.ask(wish, messages.Done)
        except PeerError as error:
            finish(record, ChangeStatus.REFUSED, str(error))
            raise ChangeRefused(f"The backup did not take the request: {error.message}", remedy=error.remedy) from error
    return record


def _become_backup(record: RoleChange, peer: Header | None, detail: str) -> RoleChange:
    record.kind = ChangeKind.CONFLICT if peer else ChangeKind.STEP_DOWN
    remedy = "Tick the box to become backup even if the peer cannot be contacted." if peer is None else ""
    return _at_once(record, e.BecomeBackup(peer, record.without_peer), remedy=remedy, detail=detail)


def _become_primary(record: RoleChange, peer: Header) -> RoleChange:
    record.kind = ChangeKind.CONFLICT
    state = journal.read()
    if state.role == Role.PRIMARY:
        # Its own rules would refuse to promote it, after the peer had been demoted for nothing.
        raise ChangeRefused(
            f"This appliance is {state.state.label.lower()}.",
            remedy="Wait until it serves, or press Become Primary on the peer.",
        )
    term = ballot(state.parity, max(state.term, peer.term))
    reason = f"{record.requested_by} pressed Become Primary"
    try:
        with PeerClient.to_peer(timeout=PROBE_TOTAL_SECONDS) as client:
            reply = client.ask(messages.Demote(header_of(state), term, reason), messages.Done)
    except PeerError as error:
        raise ChangeRefused(f"The peer did not acknowledge: {error.message}", remedy=error.remedy) from error
    return _at_once(record, e.BecomePrimary(reply.header, demoted_for=term))


def _serve_again(record: RoleChange, seen: Look) -> RoleChange:
    """A primary that does not serve, and whose peer cannot be contacted, begins a new term (row 31)."""
    state = journal.read()
    if seen.outcome == ProbeOutcome.REFUSED:
        raise ChangeRefused(
            f"The peer is there, but cannot be dealt with: {seen.detail}",
            remedy="Mend that first: the peer may be serving.",
        )
    if not record.without_peer:
        raise ChangeRefused(
            f"This appliance is {state.state.label.lower()}, and the peer does not answer.",
            remedy="Wait for the peer, or say that this appliance is to serve again even so.",
        )
    return _alone(record, e.ServeAgain(None))


def _alone(record: RoleChange, event: e.Event) -> RoleChange:
    """Become primary in a new term without the peer: where everybody who can be asked agrees (rows 18 and 31)."""
    record.kind = ChangeKind.FAILOVER
    state = journal.read()
    term, ttl = ballot(state.parity, state.term), outside.witness_seconds(probes.times())
    attempt = outside.attempt_and_wait(term, ttl)
    if attempt.has_witness is False:
        raise ChangeRefused(
            "The witness did not grant the role: the peer may still serve. Nothing was changed.",
            remedy="Switch the peer off and try again when its grant has run out, or unset WITNESS_COMMAND.",
        )
    if attempt.is_fenced is False:
        raise ChangeRefused(
            "The fencing command did not confirm that the peer is off. Nothing was changed.",
            remedy="See the log of this appliance for what it said, or switch the peer off and unset FENCING_COMMAND.",
        )
    if holder := shared_ips.held_elsewhere():
        raise ChangeRefused(
            f"The shared IP address is in use by {holder}. Nothing was changed.",
            remedy="Switch the machine off that answers there, or take the address away from it, then try again.",
        )
    return _at_once(record, event)


def _at_once(record: RoleChange, event: e.Event, *, remedy: str = "", detail: str = "") -> RoleChange:
    """Carry out a change of one step and keep its record, ended."""
    outcome = deliver_or_refuse(
        event, evidence={"requested_by": record.requested_by, **({"peer": detail} if detail else {})}
    )
    if outcome.is_refused:
        history.record("role_change.refused", outcome.refusal, evidence={"requested_by": record.requested_by})
        raise ChangeRefused(outcome.refusal, remedy=remedy)
    record.step = ChangeStep.PROMOTED if record.target_role == Role.PRIMARY else ChangeStep.YIELDED
    record.status, record.finished_at, record.reason = ChangeStatus.COMPLETED, timezone.now(), outcome.sentence
    record.save(force_insert=True)
    return record


def cancel(requested_by: str) -> RoleChange:
    """Give the running swap up, on both appliances; possible until the role was yielded.

    Raises:
        ChangeRefused: nothing runs, or the role has been yielded.
    """
    change = running()
    if change is None:
        raise ChangeRefused("No role change is in progress.")
    reason = f"Cancelled by {requested_by}."
    state = journal.read()
    if state.op is None:
        finish(change, ChangeStatus.CANCELLED, reason)
        tell_cancelled(change, reason)
    elif state.state == State.B_YIELDED:
        raise ChangeRefused("The role has been handed over already.", remedy="Swap back when the change has ended.")
    elif state.state == State.B_READY:
        _withdraw(change, state.op, reason)
    else:
        deliver_or_refuse(e.OperationLost(state.op.op_id, reason))
    change.refresh_from_db()
    return change


def _withdraw(change: RoleChange, op: Operation, reason: str) -> None:
    """Take back the promise to become primary: only once the primary has said that it keeps its role."""
    message = messages.Cancel(header_of(journal.read()), change.pk.hex, op.op_id, reason)
    try:
        with PeerClient.to_peer(timeout=PROBE_TOTAL_SECONDS) as client:
            reply = client.ask(message, messages.Done)
    except PeerError as error:
        raise ChangeRefused(
            "The primary does not answer, and it may have handed its role over already.",
            remedy="Wait until it answers, or press Become Primary here.",
        ) from error
    if reply.header.state not in PRIMARY_STATES:
        raise ChangeRefused("The role has been handed over already.", remedy="Swap back when the change has ended.")
    deliver_or_refuse(e.OperationLost(op.op_id, reason, tell_peer=False, is_peer_out=True))
