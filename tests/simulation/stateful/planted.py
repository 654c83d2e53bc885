"""Planted bugs: each is the real code with one rule broken, and the machine must find it. One to a process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from appliances import blobs
from appliances.blobs import Batch
from sync.datasync import apply, tombstones
from sync.datasync.registry import TOMBSTONE
from sync.rules import diff
from tests.simulation.schedules import planted
from tests.simulation.schedules.appliances import put


def _tombstones_stay() -> None:
    real = diff.plan

    def plan(mine: Any, theirs: Any, my_marks: Any, their_marks: Any) -> diff.Plan:
        def others(marks: Any) -> Any:
            return [mark for mark in marks if mark.dataset != TOMBSTONE]

        return real(mine, theirs, others(my_marks), others(their_marks))

    put(diff, "plan", plan)


def _tombstones_remove_nothing() -> None:
    put(tombstones, "heed", lambda codec, rows: None)


def _nothing_is_verified() -> None:
    def store(batch: Batch, expected_id: str, source: Any, **_: Any) -> blobs.StoredBlob:
        staged, blob = batch._write([source] if isinstance(source, memoryview) else source, blobs.MAX_BLOB_BYTES)
        batch._waiting[expected_id] = staged
        return dataclasses.replace(blob, blob_id=expected_id)

    put(Batch, "store_content", store)
    put(Batch, "store_verified", store)


def _rows_do_not_go(*, is_verified: bool) -> None:
    real = apply.write

    def write(codecs: Mapping[str, Any], differences: Mapping[str, Any]) -> None:
        real(codecs, {label: dataclasses.replace(one, remove=[]) for label, one in differences.items()})

    put(apply, "write", write)
    if not is_verified:
        put(apply, "_verify", lambda manifest, plan: None)


def _of_schedules(name: str) -> tuple[str, Callable[[], None]]:
    return name, planted.named(name).plant


# Each of these shows in some dozens of examples.
SOON_FOUND: dict[str, Callable[[], None]] = {
    "a tombstone that comes removes nothing": _tombstones_remove_nothing,
    "settings are written without the rows that went away": lambda: _rows_do_not_go(is_verified=True),
    "settings are written so, and not read back": lambda: _rows_do_not_go(is_verified=False),
    **dict([_of_schedules("a data-sync replaces append-only rows")]),
}
# These in some hundreds.
BUGS = {
    **SOON_FOUND,
    **dict([_of_schedules("settings and head are set in two transactions")]),
    "tombstones are not sent": _tombstones_stay,
    "a file is kept without being verified": _nothing_is_verified,
}
