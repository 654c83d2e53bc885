"""May this appliance take over the settings of that snapshot? Asked before a data-sync, and again inside its commit.

Invariant I3: settings are applied only by a backup, only from a source whose term and head are not behind its own,
and during a planned swap only for that swap.
"""

from __future__ import annotations

from enum import StrEnum

from appliances.choices import OperationKind, Role, State
from sync.rules.facts import Head, Operation, RoleState


class Refusal(StrEnum):
    """Why a data-sync must not happen, or did not end well; `sync.datasync.refusals` has the sentences."""

    NO_RELATIONSHIP = "no_relationship"
    NOT_BACKUP = "not_backup"
    ALREADY_RUNNING = "already_running"
    OPERATION_GONE = "operation_gone"
    OPERATION_RUNNING = "operation_running"
    SOURCE_NOT_SERVING = "source_not_serving"
    SOURCE_OLDER = "source_older"
    OTHER_PAIR = "other_pair"
    OTHER_PRODUCT = "other_product"
    OTHER_BUILD = "other_build"
    OTHER_SCHEMA = "other_schema"
    MANIFEST_TOO_LARGE = "manifest_too_large"
    SNAPSHOT_GONE = "snapshot_gone"
    BLOB_TOO_LARGE = "blob_too_large"
    BLOB_MISSING = "blob_missing"
    BLOB_CORRUPT = "blob_corrupt"
    RECORDING_LOST = "recording_lost"
    RECORDING_LOST_HERE = "recording_lost_here"
    ROW_TOO_LARGE = "row_too_large"
    ROW_UNUSABLE = "row_unusable"
    NO_SPACE = "no_space"
    NO_SPACE_THERE = "no_space_there"
    MASS_DELETION = "mass_deletion"
    MASS_DELETION_THERE = "mass_deletion_there"
    DIGEST_MISMATCH = "digest_mismatch"
    APPEND_ONLY_DIFFERS = "append_only_differs"
    ROOT_DIFFERS = "root_differs"
    SECRET_UNREADABLE = "secret_unreadable"  # noqa: S105  (a code, not a secret)

    FOLDER_UNKNOWN = "folder_unknown"
    FOLDER_UNUSABLE = "folder_unusable"
    FOLDER_CHANGED = "folder_changed"
    FOLDER_NO_SPACE = "folder_no_space"


SOURCE_STATES = frozenset({State.P_ACTIVE, State.P_DRAINING})


def may_serve(state: RoleState, op_id: tuple[int, int] | None) -> Refusal | None:
    """Whether this appliance may be the source of a data-sync that belongs to the swap `op_id` (None: to none)."""
    if state.state not in SOURCE_STATES or state.own_term < state.term:
        return Refusal.SOURCE_NOT_SERVING
    if op_id is not None and (state.op is None or state.op.op_id != op_id):
        return Refusal.OPERATION_GONE
    if op_id is None and state.op is not None:
        return Refusal.OPERATION_RUNNING
    return None


def may_apply(state: RoleState, head: Head, own_term: int, op_id: tuple[int, int] | None) -> Refusal | None:
    """Whether this appliance may take over settings of `head` from a source that owns `own_term`."""
    if state.role is not Role.BACKUP:
        return Refusal.NOT_BACKUP
    refusal = _operation(state.op, own_term, op_id)
    if refusal is not None:
        return refusal
    if head < state.head or own_term < state.own_term:
        return Refusal.SOURCE_OLDER
    return None


def _operation(op: Operation | None, own_term: int, op_id: tuple[int, int] | None) -> Refusal | None:
    if op is None:
        return None if op_id is None else Refusal.OPERATION_GONE
    if op.kind is OperationKind.YIELDED and op_id is None:
        return None if own_term >= op.new_term else Refusal.OPERATION_RUNNING
    if op_id is None:
        return Refusal.OPERATION_RUNNING
    return None if op_id == op.op_id else Refusal.OPERATION_GONE
