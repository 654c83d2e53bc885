"""Planted bugs: each is the real code with one rule broken, and the schedules must find it.

`focus` names the acts and surprises that its schedules are made of, so that it shows in some dozens of them; `found_as`
is how the violation that shows it may begin. Each bug is planted in a process of its own.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from django.db import connection

from appliances import blobs
from appliances.choices import BackupReason, State
from appliances.models import BackupSettings
from sync import cycle, gate
from sync.datasync import apply, backups, triggers, union
from sync.rules import role, takeover
from sync.rules.facts import WRITABLE_STATES, RoleState
from sync.versions import merge
from tests.simulation import faults
from tests.simulation.node import Rules
from tests.simulation.schedules.appliances import put


@dataclass(frozen=True)
class Bug:
    """A planted bug."""

    name: str
    plant: Callable[[], None]
    focus: tuple[str, ...]
    found_as: tuple[str, ...]


def named(name: str) -> Bug:
    """The planted bug of this name."""
    return {bug.name: bug for bug in BUGS}[name]


def _replace(place: object, name: str, value: object) -> None:
    """As `put`; a bug that is planted where nothing is any more would be none."""
    if not hasattr(place, name):
        raise AttributeError(f"{place} has no {name}: plant the bug where that went")
    put(place, name, value)


def _table(name: str) -> Callable[[], None]:
    """A bug of the model search, planted into the table of the real product."""

    def plant() -> None:
        rules: Rules = {fault.name: fault.rules for fault in faults.FAULTS}[name]
        _replace(role, "handle", partial(role.handle, table=rules.table, learn=rules.learn))

    return plant


def _replaces_rows() -> None:
    real = union._absent

    def absent(codec: Any, held: Any, incoming: Any, conflicts: list[str]) -> Any:
        model = codec.dataset.model
        model._base_manager.exclude(pk__in=[key[0] for key in incoming]).delete()
        return real(codec, held, incoming, conflicts)

    _replace(union, "_add_new", lambda *given: False)  # the quick way, where nothing is looked at
    _replace(union, "_absent", absent)


def _names_before_bytes() -> None:
    def publish(targets: Mapping[str, str]) -> None:
        for staged, target in targets.items():
            blobs._rename(staged, target)

    _replace(blobs, "_publish", publish)


def _sweeps_at_once() -> None:
    _replace(sys.modules["sync.datasync.tidy"], "GRACE", dt.timedelta(seconds=-1))


def _skips_the_final_sync() -> None:
    drive = sys.modules["sync.role_changes.drive"]
    real = vars(drive)["_pull"]
    _replace(drive, "_pull", lambda change, op=None: None if op is not None else real(change))
    _table("the settings are not locked before the final data-sync, and heads are not compared")()
    _replace(RoleState, "is_writable", property(lambda state: state.state in {*WRITABLE_STATES, State.P_DRAINING}))
    _replace(triggers, "WRITABLE_STATES", {*WRITABLE_STATES, State.P_DRAINING})
    real_gate = gate.gate_of
    _replace(gate, "gate_of", lambda *given, **more: replace(real_gate(*given, **more), operation_running=False))


def _asks_for_the_role_once() -> None:
    _replace(triggers, "WRITABLE_STATES", set(State))


def _changes_what_is_local() -> None:
    real = apply.end_sessions

    def end_sessions() -> None:
        BackupSettings.objects.update(data_sync_interval=dt.timedelta(minutes=2))
        real()

    _replace(apply, "end_sessions", end_sessions)


def _keeps_no(*reasons: BackupReason) -> Callable[[], None]:
    real = backups.save

    def save(reason: BackupReason, detail: str = "") -> Any:
        return None if reason in reasons else real(reason, detail)

    return lambda: _replace(backups, "save", save)


def _judges_as_if(**facts: Any) -> Callable[[], None]:
    real = takeover.judge
    return lambda: _replace(takeover, "judge", lambda known: real(replace(known, **facts)))


def _takes_over_half() -> None:
    real = merge.plan
    _replace(merge, "plan", lambda mine, theirs, taken: real(mine, theirs, list(taken)[:1]))


def _sets_the_head_apart() -> None:
    real = apply.write

    def write(codecs: Any, differences: Any) -> None:
        real(codecs, differences)
        connection._commit()  # type: ignore[attr-defined]
        connection.connection.execute("BEGIN IMMEDIATE")

    _replace(apply, "write", write)


BUGS: tuple[Bug, ...] = (
    Bug("a data-sync replaces append-only rows", _replaces_rows, ("session", "sync", "planned"), ("I4", "I9")),
    Bug(
        "a file has its name before its bytes are durable",
        _names_before_bytes,
        ("session", "change", "power", "surprise power"),
        ("I4",),
    ),
    Bug(
        "files are swept before their rows come",
        _sweeps_at_once,
        ("session", "change", "sync", "surprise tidy"),
        ("I4",),
    ),
    Bug(
        "the final data-sync is left out and settings stay open",
        _skips_the_final_sync,
        ("planned", "change", "surprise change"),
        ("I5", "I3", "G2"),
    ),
    Bug(
        "nobody asks for the role again when a setting is written",
        _asks_for_the_role_once,
        ("planned", "press", "change", "surprise swap"),
        ("G4",),
    ),
    Bug("a data-sync changes what is local", _changes_what_is_local, ("sync", "change"), ("I10",)),
    Bug(
        "settings and head are set in two transactions",
        _sets_the_head_apart,
        ("sync", "change", "surprise kill"),
        ("I3",),
    ),
    Bug(
        "a data-sync keeps nothing of what it replaces",
        _keeps_no(BackupReason.ROLE_CHANGE, BackupReason.DATA_SYNC, BackupReason.FOUNDING),
        ("return", "change", "sync"),
        ("I13",),
    ),
    Bug(
        "the primary keeps nothing of what a choice replaces",
        _keeps_no(BackupReason.TAKE_OVER),
        ("return", "change", "restore"),
        ("I13",),
    ),
    Bug(
        "the first data-sync of a relationship keeps nothing of the backup's own settings",
        _keeps_no(BackupReason.FOUNDING),
        ("anew", "establish", "change", "sync"),
        ("I13",),
    ),
    Bug(
        "a relationship that was established by half is never left",
        lambda: _replace(cycle, "settle", lambda: None),
        ("anew", "break", "establish", "surprise kill"),
        ("I9",),
    ),
    Bug(
        "a take-over does not wait for the witness",
        _judges_as_if(has_witness=None),
        ("death", "trouble", "witness", "start"),
        ("I15",),
    ),
    Bug(
        "a take-over does not wait for the fence",
        _judges_as_if(is_fenced=None),
        ("death", "trouble", "fence", "start"),
        ("I16",),
    ),
    Bug("half of a choice is taken over", _takes_over_half, ("return", "change", "restore"), ("I14",)),
    Bug(
        "the grant goes out before the yield",
        _table("the grant goes out before the yield is durable"),
        ("planned", "press", "surprise kill"),
        ("I8", "I9"),
    ),
    Bug(
        "the backup promotes itself when it is ready",
        _table("the backup promotes itself when it is ready"),
        ("planned", "press", "surprise kill"),
        ("I8", "I9"),
    ),
    Bug(
        "a superseded primary confirms itself",
        _table("a superseded primary confirms itself"),
        ("press", "split", "cut", "mend", "power"),
        ("I6", "I1b"),
    ),
)
