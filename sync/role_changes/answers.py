"""The answering side of a role change: one function a message, called by the peer's endpoints."""

from __future__ import annotations

from django.db import transaction

from appliances.choices import ChangeStatus, Role, State
from sync import act, journal, probes
from sync.errors import MessageRefused
from sync.peer import identity, messages
from sync.role_changes.record import deliver_or_deny, finish, mirror, running
from sync.rules import events as e
from sync.rules.actions import operation_of
from sync.rules.facts import header_of


def answer_status(message: messages.Status) -> messages.Status:
    """Learn the peer's term from its STATUS and tell how this appliance is."""
    probes.note_heard(message)
    act.deliver(e.PeerSeen(message.header))
    return probes.own_status()


def answer_swap_wish(message: messages.SwapWish) -> messages.Done:
    """The primary wants to be backup: record it here; the caller enqueues `drive` for the same id."""
    state = journal.read()
    if state.state != State.B_IDLE:
        raise MessageRefused("not_idle", f"This appliance is {state.state.label.lower()}.", status=409)
    if not message.want_final_sync and not state.initialised:
        raise MessageRefused(
            "never_synchronised",
            "The backup has never completed a data-sync. Tick the box to pull a data-sync first.",
            status=409,
        )
    mirror(message.change_id, Role.PRIMARY, want_final_sync=message.want_final_sync, requested_by=message.requested_by)
    return messages.Done(header_of(journal.read()))


def answer_handover(message: messages.HandoverRequest) -> messages.Offer:
    """The backup asks for the role: stop taking changes and offer it (row 8)."""
    own = (identity.schema_digest(), identity.product_build())
    with transaction.atomic():
        mirror(
            message.change_id, Role.BACKUP, want_final_sync=message.want_final_sync, requested_by=message.requested_by
        )
        outcome = deliver_or_deny(
            e.HandoverAsked(
                message.header, message.want_final_sync, schema_equal=own == (message.schema, message.build)
            ),
            evidence={"requested_by": message.requested_by},
        )
    op = operation_of(outcome.after)
    return messages.Offer(header_of(outcome.after), op.op_id, op.new_term, op.want_final_sync)


def answer_ready(message: messages.Ready) -> messages.Done:
    """The backup is ready: give the role up durably, then grant it, before this answers (row 10)."""
    deliver_or_deny(e.ReadyReceived(message.header, message.op_id, message.new_term, message.head, message.challenge))
    return messages.Done(header_of(journal.read()))


def answer_grant(message: messages.Grant) -> messages.Done:
    """The role is granted: be primary durably, then answer (row 14)."""
    outcome = deliver_or_deny(e.Granted(message.header, message.op_id, message.new_term))
    return messages.Done(header_of(outcome.after))


def answer_cancel(message: messages.Cancel) -> messages.Done:
    """The peer gave the swap up."""
    state, change = journal.read(), running()
    is_this_change = change is not None and change.pk.hex == message.change_id
    is_this_operation = state.op is not None and (is_this_change or state.op.op_id == message.op_id)
    if is_this_operation and state.state != State.B_YIELDED:
        lost = e.OperationLost(operation_of(state).op_id, message.reason, tell_peer=False, is_peer_out=True)
        deliver_or_deny(lost)
    elif is_this_change and change is not None and state.op is None:
        finish(change, ChangeStatus.CANCELLED, message.reason)
    return messages.Done(header_of(journal.read()))


def answer_demote(message: messages.Demote) -> messages.Done:
    """The peer takes a higher term: become backup (row 28)."""
    outcome = deliver_or_deny(e.DemoteReceived(message.header, message.new_term), evidence={"reason": message.reason})
    return messages.Done(header_of(outcome.after))


def answer_promote(message: messages.Promote) -> messages.Done:
    """The peer became backup and hands this appliance the role (row 29)."""
    outcome = deliver_or_deny(e.PromoteReceived(message.header, message.new_term), evidence={"reason": message.reason})
    return messages.Done(header_of(outcome.after))
