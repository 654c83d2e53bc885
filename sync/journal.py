"""The durable role state in the database: read, and change under its lock. Nothing else touches `RoleJournal`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import transaction

from appliances.choices import OperationKind, State
from sync.models import RoleJournal
from sync.rules.facts import Head, Operation, RoleState


@dataclass
class Locked:
    """The role state under the row lock; set `state` and it is written when the block ends well."""

    state: RoleState


def read() -> RoleState:
    """The role state as last committed."""
    return _to_state(RoleJournal.load())


@contextmanager
def locked() -> Iterator[Locked]:
    """Hold the role state: one transaction; what is set on the result is durable when the block has ended.

    On SQLite every transaction is IMMEDIATE (see settings), elsewhere the row is locked.
    """
    with transaction.atomic():
        RoleJournal.load()
        row = RoleJournal.objects.select_for_update().get(pk=1)
        held = Locked(_to_state(row))
        before = held.state
        yield held
        if held.state != before:
            _write(row, held.state)


def _to_state(row: RoleJournal) -> RoleState:
    op = None
    if row.op_kind:
        op = Operation(
            kind=OperationKind(row.op_kind),
            op_id=(row.op_term, row.op_number),
            new_term=row.op_new_term,
            want_final_sync=row.op_final_sync,
        )
    return RoleState(
        state=State(row.state),
        parity=row.parity,
        term=row.term,
        own_term=row.own_term,
        head=Head(row.head_term, row.head_seq),
        base_head=Head(row.base_head_term, row.base_head_seq),
        op=op,
        op_counter=row.op_counter,
        last_op_id=(row.last_op_term, row.last_op_number),
        initialised=row.initialised,
        superseded_by=row.superseded_by,
    )


def _write(row: RoleJournal, state: RoleState) -> None:
    row.state, row.parity = state.state, state.parity
    row.term, row.own_term = state.term, state.own_term
    row.head_term, row.head_seq = state.head.term, state.head.seq
    row.base_head_term, row.base_head_seq = state.base_head.term, state.base_head.seq
    row.op_kind = state.op.kind if state.op else ""
    if state.op:
        row.op_term, row.op_number = state.op.op_id
        row.op_new_term, row.op_final_sync = state.op.new_term, state.op.want_final_sync
    row.op_counter = state.op_counter
    row.last_op_term, row.last_op_number = state.last_op_id
    row.initialised, row.superseded_by = state.initialised, state.superseded_by
    row.save()
