"""Who may be the source of a data-sync, and which snapshot a backup may take over."""

from __future__ import annotations

import pytest

from appliances.choices import OperationKind, State
from sync.rules.facts import BACKUP_STATES, Head, Operation, RoleState
from sync.rules.snapshot import Refusal, may_apply, may_serve

OP = Operation(OperationKind.OFFERED, (3, 1), 4, True)


def backup(**fields: object) -> RoleState:
    known = {"state": State.B_IDLE, "parity": 1, "term": 3, "own_term": 1, "head": Head(2, 5), **fields}
    return RoleState(**known)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", [state for state in State if state not in BACKUP_STATES])
def test_only_a_backup_takes_settings_over(state: State) -> None:
    assert may_apply(backup(state=state), Head(9, 9), 9, None) is Refusal.NOT_BACKUP


def test_neither_an_older_head_nor_an_older_term_is_taken_over() -> None:
    assert may_apply(backup(), Head(2, 4), 3, None) is Refusal.SOURCE_OLDER
    assert may_apply(backup(), Head(1, 99), 3, None) is Refusal.SOURCE_OLDER
    assert may_apply(backup(), Head(2, 5), 0, None) is Refusal.SOURCE_OLDER
    assert may_apply(backup(), Head(2, 5), 1, None) is None
    assert may_apply(backup(), Head(3, 0), 3, None) is None


def test_during_a_swap_only_its_own_data_sync_is_taken_over() -> None:
    for kind in (OperationKind.OFFERED, OperationKind.READY):
        state = backup(op=Operation(kind, (3, 1), 4, True))
        assert may_apply(state, Head(3, 0), 3, (3, 1)) is None
        assert may_apply(state, Head(3, 0), 3, (3, 2)) is Refusal.OPERATION_GONE
        assert may_apply(state, Head(3, 0), 3, None) is Refusal.OPERATION_RUNNING
    assert may_apply(backup(), Head(3, 0), 3, (3, 1)) is Refusal.OPERATION_GONE


def test_after_yielding_only_settings_of_the_new_term_are_taken_over() -> None:
    state = backup(state=State.B_YIELDED, op=Operation(OperationKind.YIELDED, (3, 1), 4, True))
    assert may_apply(state, Head(3, 0), 3, None) is Refusal.OPERATION_RUNNING
    assert may_apply(state, Head(4, 0), 4, None) is None


@pytest.mark.parametrize("state", [state for state in State if state not in {State.P_ACTIVE, State.P_DRAINING}])
def test_only_a_serving_primary_is_a_source(state: State) -> None:
    assert may_serve(RoleState(state=state, term=2, own_term=2), None) is Refusal.SOURCE_NOT_SERVING


def test_a_primary_that_has_seen_a_higher_term_is_no_source() -> None:
    assert may_serve(RoleState(state=State.P_ACTIVE, term=3, own_term=2), None) is Refusal.SOURCE_NOT_SERVING
    assert may_serve(RoleState(state=State.P_ACTIVE, term=2, own_term=2), None) is None


def test_a_draining_primary_serves_its_swap_only() -> None:
    state = RoleState(state=State.P_DRAINING, term=2, own_term=2, op=OP)
    assert may_serve(state, (3, 1)) is None
    assert may_serve(state, (3, 2)) is Refusal.OPERATION_GONE
    assert may_serve(state, None) is Refusal.OPERATION_RUNNING
