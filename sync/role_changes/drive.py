"""Drive a planned swap to its end: run by a worker of the backup."""

from __future__ import annotations

import logging
import time
import uuid

from django.db import transaction

from appliances import selectors
from appliances.choices import ChangeStatus, ChangeStep, State, SyncTrigger
from appliances.host.process import is_alive, this_process
from sync import act, journal
from sync.datasync import pull
from sync.errors import ChangeRefused, PeerError, PeerRefused, SyncError, SyncRefused
from sync.models import RoleChange
from sync.peer import identity, messages, nonces
from sync.peer.client import PeerClient
from sync.role_changes.record import deliver_or_refuse, finish, show, tell_cancelled
from sync.rules import events as e
from sync.rules.due import PROBE_TOTAL_SECONDS
from sync.rules.effects import SendCancel
from sync.rules.facts import Operation, header_of
from sync.rules.role import UnknownEdge
from sync.rules.snapshot import Refusal

READY_TRIES = 3  # a READY is repeated while its answer is lost; each try waits up to the time-out of a probe
READY_PAUSE_SECONDS = 1.0
PULL_PAUSE_SECONDS = 0.2
TROUBLE_LETTERS = 300  # of what is said of the folders, so that the reason of the swap has room for the remedy
# With these the primary says, signed, that its role is its own: it has not yielded and will not for this operation.
SURELY_NOT_YIELDED = frozenset({"not_now", "out_of_place"})

log = logging.getLogger(__name__)


def is_driven(change: RoleChange) -> bool:
    """Whether a living process of this appliance drives the change."""
    return bool(change.driver) and is_alive(change.driver)


def drive(change_id: uuid.UUID) -> None:
    """Bring a swap to its end, from wherever it stands; run by the backup. What fails before the yield is undone."""
    with transaction.atomic():
        change = RoleChange.objects.select_for_update().filter(pk=change_id, status=ChangeStatus.RUNNING).first()
        if change is None or is_driven(change):
            return
        change.driver = this_process()
        change.save(update_fields=["driver"])
    try:
        _drive(change)
    except (SyncError, UnknownEdge) as error:
        log.warning("swap given up", extra={"why": str(error), "change": str(change_id)})
        give_up(change, str(error))
    finally:
        RoleChange.objects.filter(pk=change_id).update(driver="")


def _drive(change: RoleChange) -> None:
    state = journal.read()
    if state.state == State.B_IDLE:
        if change.want_final_sync:
            show(change, ChangeStep.FIRST_SYNC)
            _pull(change)
        _stop_if_cancelled(change)
        _ask_for_handover(change)
    state = journal.read()
    if state.state == State.B_SYNCING and state.op is not None:
        if state.op.want_final_sync:
            show(change, ChangeStep.FINAL_SYNC)
            _pull(change, state.op)
        _refuse_unless_done(act.deliver(e.Prepared(state.op.op_id)))
    if journal.read().state == State.B_READY:
        _tell_ready()


def _pull(change: RoleChange, op: Operation | None = None) -> None:
    """Pull a data-sync, after the end of one that is running already, also where that began at the last moment.

    Raises:
        ChangeRefused: a folder of the administrator's own is not copied: as primary, this appliance would serve it old.
    """
    while True:
        while pull.is_running():
            _stop_if_cancelled(change)
            time.sleep(PULL_PAUSE_SECONDS)
        try:
            pull.pull_data(SyncTrigger.ROLE_CHANGE, for_operation=op)
        except SyncRefused as error:
            if error.reason != Refusal.ALREADY_RUNNING:
                raise
        else:
            break
    if trouble := selectors.folder_trouble():
        raise ChangeRefused(
            f"A folder could not be copied. {trouble}"[:TROUBLE_LETTERS],
            remedy="Mend that or agree to it on the page Folders of the backup, or ask for a swap without a data-sync.",
        )


def _ask_for_handover(change: RoleChange) -> None:
    ask = messages.HandoverRequest(
        header=header_of(journal.read()),
        change_id=change.pk.hex,
        want_final_sync=change.want_final_sync,
        requested_by=change.requested_by,
        schema=identity.schema_digest(),
        build=identity.product_build(),
    )
    with PeerClient.to_peer(timeout=PROBE_TOTAL_SECONDS) as client:
        offer = client.ask(ask, messages.Offer)
    offered = e.Offered(offer.header, offer.op_id, offer.new_term, offer.want_final_sync)
    try:
        with transaction.atomic():
            _stop_if_cancelled(change, lock=True)
            _refuse_unless_done(act.deliver(offered))
    except ChangeRefused as error:
        act.carry_out((SendCancel(offer.op_id, error.message),))
        raise
    show(change, ChangeStep.DRAINING)


def _tell_ready() -> None:
    """Send READY until it is answered. After the last silent try the swap stays open: the grant may still come."""
    for attempt in range(READY_TRIES):
        state = journal.read()
        if state.state != State.B_READY or state.op is None:
            return
        ready = messages.Ready(header_of(state), state.op.op_id, state.op.new_term, state.head, nonces.give_challenge())
        try:
            with PeerClient.to_peer(timeout=2 * PROBE_TOTAL_SECONDS) as client:
                client.ask(ready, messages.Done)
            return
        except PeerRefused as error:
            if error.peer_code in SURELY_NOT_YIELDED:
                deliver_or_refuse(e.OperationLost(state.op.op_id, error.message, is_peer_out=True))
                return
            log.warning("ready refused", extra={"attempt": attempt + 1, "code": error.peer_code, "why": str(error)})
        except PeerError as error:  # it may have yielded all the same
            log.warning("ready not answered", extra={"attempt": attempt + 1, "why": str(error)})
        time.sleep(READY_PAUSE_SECONDS)


def _refuse_unless_done(outcome: act.Outcome) -> None:
    if outcome.is_refused:
        raise ChangeRefused(outcome.refusal)


def _stop_if_cancelled(change: RoleChange, *, lock: bool = False) -> None:
    if lock:
        RoleChange.objects.select_for_update().filter(pk=change.pk).first()
    change.refresh_from_db()
    if change.status != ChangeStatus.RUNNING:
        raise ChangeRefused(change.reason or "The role change was cancelled.")


def give_up(change: RoleChange, reason: str) -> None:
    """Undo what was begun: both appliances keep their roles."""
    state = journal.read()
    if state.state == State.B_SYNCING and state.op is not None:
        deliver_or_refuse(e.OperationLost(state.op.op_id, reason))
    elif state.state != State.B_IDLE:
        return  # promised, or done: the primary's word ends it
    change.refresh_from_db()
    if change.status == ChangeStatus.RUNNING:
        finish(change, ChangeStatus.CANCELLED, reason)
        tell_cancelled(change, reason)
