"""The durable role state in the database: read, and change under its lock. Nothing else touches `RoleJournal`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from appliances.choices import OperationKind, State
from sync.models import RoleJournal
from sync.rules.facts import Head, Operation, RoleState


class Locked:
    """The role state under its lock: what is put on `state` is written at once, and durable when the block ends."""

    def __init__(self, row: RoleJournal) -> None:
        self._row = row
        self._state = _to_state(row)

    @property
    def state(self) -> RoleState:
        """The role state as it stands in this transaction."""
        return self._state

    @state.setter
    def state(self, new: RoleState) -> None:
        if new != self._state:
            if (new.state, new.op) != (self._state.state, self._state.op):
                self._row.since_boottime = boottime()
            _write(self._row, new)
            self._state = new

    @contextmanager
    def settings_open(self) -> Iterator[None]:
        """Inside, and in this transaction alone, settings may be written whatever the role."""
        RoleJournal.objects.filter(pk=1).update(settings_open=True)
        yield
        RoleJournal.objects.filter(pk=1).update(settings_open=False)

    def restart_clock(self) -> None:
        """Count the time in this state from now: the appliance has just started."""
        self._row.since_boottime = boottime()
        self._row.save(update_fields=["since_boottime", "changed_at"])


def boottime() -> float:
    """Seconds of CLOCK_BOOTTIME: they go on while the machine sleeps, and nobody can set them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def seconds_in_state() -> float:
    """How long this appliance has been in its present state and operation; 0 after a restart of the machine."""
    return max(0.0, boottime() - RoleJournal.load().since_boottime)


def read() -> RoleState:
    """The role state as last committed."""
    return _to_state(RoleJournal.load())


def settings_writes() -> int:
    """A number that is another one after each change of a synchronised setting, whatever the role."""
    return RoleJournal.load().settings_writes


@contextmanager
def locked() -> Iterator[Locked]:
    """Hold the role state: one transaction; what is set on the result is durable when the block has ended.

    On SQLite every transaction is IMMEDIATE (see settings), elsewhere the row is locked.
    """
    with transaction.atomic():
        RoleJournal.load()
        yield Locked(RoleJournal.objects.select_for_update().get(pk=1))


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
    """All but what the triggers count: the row may have been read before settings were written."""
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
    kept = {"id", "settings_writes", "settings_open"}
    row.save(update_fields=[field.name for field in RoleJournal._meta.fields if field.name not in kept])
