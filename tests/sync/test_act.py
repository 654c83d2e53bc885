"""What becomes durable when an event is delivered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliances.choices import ChangeKind, ChangeStatus, ChangeStep, OperationKind, Role, State
from sync import act, journal
from sync.models import RoleChange, StatusEvent
from sync.rules import events as e
from sync.rules.facts import Head, Operation, RoleState, header_of
from sync.rules.role import UnknownEdge

pytestmark = pytest.mark.django_db(transaction=True)

PRIMARY = RoleState(state=State.P_ACTIVE, parity=0, term=0, own_term=0, head=Head(0, 5), initialised=True)
BACKUP = RoleState(state=State.B_IDLE, parity=1, term=0, own_term=-1, head=Head(0, 5), initialised=True)


def be(state: RoleState) -> None:
    with journal.locked() as held:
        held.state = state


def running_change(target: Role) -> RoleChange:
    return RoleChange.objects.create(kind=ChangeKind.SWITCHOVER, target_role=target, requested_by="admin")


def test_state_survives_as_written() -> None:
    state = replace(
        BACKUP,
        state=State.B_READY,
        op=Operation(OperationKind.READY, (4, 2), 5, want_final_sync=True),
        op_counter=3,
        last_op_id=(4, 2),
        base_head=Head(2, 1),
        superseded_by=9,
    )
    be(state)
    assert journal.read() == state


def test_a_row_writes_the_state_and_its_sentence_in_status_history() -> None:
    be(PRIMARY)
    outcome = act.deliver(e.BecomeBackup(None, without_peer=True), evidence={"requested_by": "admin"})
    assert journal.read().state == State.B_IDLE
    line = StatusEvent.objects.get()
    assert line.sentence == outcome.sentence
    assert line.role == Role.BACKUP
    assert line.evidence["requested_by"] == "admin"
    assert line.evidence["state"] == "Primary → Backup"
    assert line.evidence["event"] == "Become backup"


def test_a_refusal_changes_nothing_and_says_why() -> None:
    be(PRIMARY)
    outcome = act.deliver(e.BecomeBackup(None, without_peer=False))
    assert outcome.is_refused
    assert "cancelled" in outcome.refusal
    assert journal.read() == PRIMARY
    assert not StatusEvent.objects.exists()


def test_what_cannot_happen_raises_and_changes_nothing() -> None:
    be(PRIMARY)
    with pytest.raises(UnknownEdge):
        act.deliver(e.Prepared((0, 1)))
    assert journal.read() == PRIMARY


def test_an_answer_to_an_older_question_is_not_current() -> None:
    be(replace(PRIMARY, state=State.P_UNCONFIRMED))
    asked_in = replace(PRIMARY, state=State.P_DRAINING)
    act.deliver(e.PeerSeen(header_of(BACKUP), is_current=True), asked_in=asked_in)
    assert journal.read().state == State.P_UNCONFIRMED
    act.deliver(e.PeerSeen(header_of(BACKUP), is_current=True), asked_in=journal.read())
    assert journal.read().state == State.P_ACTIVE


def test_the_record_of_a_swap_follows_the_rows() -> None:
    be(PRIMARY)
    change = running_change(Role.BACKUP)
    act.deliver(e.HandoverAsked(header_of(BACKUP), want_final_sync=False))
    change.refresh_from_db()
    assert (change.step, change.op_number) == (ChangeStep.DRAINING, 1)
    op = journal.read().op
    assert op is not None
    act.deliver(e.OperationLost(op.op_id, "Cancelled by admin.", tell_peer=False))
    change.refresh_from_db()
    assert (change.status, change.reason) == (ChangeStatus.CANCELLED, "Cancelled by admin.")
    assert change.finished_at is not None


def test_a_start_counts_the_time_in_its_state_anew() -> None:
    be(replace(PRIMARY, state=State.P_UNCONFIRMED))
    act.deliver(e.Boot())
    assert journal.seconds_in_state() < 5


def test_what_goes_on_is_told_once_while_the_state_lasts() -> None:
    op = Operation(OperationKind.YIELDED, (0, 1), 1, want_final_sync=True)
    be(replace(PRIMARY, state=State.B_YIELDED, op=op))
    act.deliver(e.GrantUnanswered())
    act.deliver(e.GrantUnanswered())
    assert StatusEvent.objects.filter(event="role.12").count() == 1


def test_whoever_holds_the_shared_address_is_named() -> None:
    be(replace(PRIMARY, state=State.P_UNCONFIRMED))
    for _ in range(2):
        act.deliver(e.BootTimedOut(address_holder="02:00:5e:00:53:01"))
    assert journal.read().state == State.P_UNCONFIRMED
    assert "02:00:5e:00:53:01" in StatusEvent.objects.get().sentence
