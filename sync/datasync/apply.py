"""The backup's settings become those of a snapshot, in one transaction: wholly, or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from django.apps import apps
from django.contrib.sessions.models import Session
from django.db import DataError, IntegrityError, connection

from appliances.choices import BrakeSubject
from appliances.models import Account
from sync import crash, journal
from sync.datasync import backups, brake, failures, snapshots, tables
from sync.datasync.buckets import StagedTable
from sync.datasync.differences import WRITE_ROWS, Difference, Writes, difference_of, is_stored
from sync.datasync.refusals import refused
from sync.datasync.registry import DEPENDENTS, SETTINGS, Dataset, by_label
from sync.datasync.remembered import digests
from sync.datasync.rows import Row, RowCodec
from sync.datasync.wrapping import SecretWrap
from sync.peer.sync_messages import Manifest
from sync.rules.brake import Removal
from sync.rules.diff import TableDigest
from sync.rules.snapshot import Refusal, may_apply


@dataclass(frozen=True)
class _Plan:
    """What is to be written, as worked out at `settings_writes`; `unmoved` are the tables that stay as they are."""

    settings_writes: int
    codecs: dict[str, RowCodec]
    differences: dict[str, Difference]
    unmoved: list[TableDigest]


def apply_settings(
    manifest: Manifest,
    staged: Mapping[str, StagedTable],
    wrap: SecretWrap,
    op_id: tuple[int, int] | None,
    still_ours: Callable[[], None],
) -> None:
    """The settings of this appliance are those of the snapshot, its head is the snapshot's, and it is initialised.

    1. Work out what differs in the `staged` tables, without a lock: while it is held nobody else can write. If
       anything does, the present settings are kept as a configuration backup.
    2. Lock the role and ask again whether this snapshot may be applied (I3); `still_ours` raises if the run is not.
    3. Replace what differs: removals first, then insertions in the order of dependence.
    4. Re-read what was written, and compare every settings table with the manifest.
    5. Set the head. After the commit, end the web sessions of accounts that are gone or disabled.

    Raises:
        SyncRefused: nothing was changed.
    """
    try:
        while not _has_replaced(manifest, _prepare(staged, wrap), op_id, still_ours):
            pass  # compared once more
        crash.point("apply durable")
    except (IntegrityError, DataError, OverflowError) as error:
        raise refused(Refusal.ROW_UNUSABLE, str(error)[:300]) from error
    end_sessions()


def _has_replaced(
    manifest: Manifest, plan: _Plan, op_id: tuple[int, int] | None, still_ours: Callable[[], None]
) -> bool:
    """False if the settings have changed since the plan was made: only by who was no backup for that while."""
    crash.point("apply begun")
    is_current = False

    def replace() -> None:
        nonlocal is_current
        with journal.locked() as held:
            still_ours()
            refusal = may_apply(held.state, manifest.head, manifest.own_term, op_id)
            if refusal is not None:
                raise refused(refusal)
            is_current = journal.settings_writes() == plan.settings_writes
            if is_current:
                _replace(manifest, plan, held)
                crash.point("apply uncommitted")

    failures.despite_deadlock(replace)
    return is_current


def _replace(manifest: Manifest, plan: _Plan, held: journal.Locked) -> None:
    with held.settings_open():
        write(plan.codecs, plan.differences)
    _verify(manifest, plan)
    held.state = dataclasses.replace(
        held.state, head=manifest.head, term=max(held.state.term, manifest.own_term), initialised=True
    )


def staged_lines(path: Path) -> Iterator[bytes]:
    """The rows of a staged file."""
    with path.open("rb") as file:
        for line in file:
            yield line.rstrip(b"\n")


def _prepare(staged: Mapping[str, StagedTable], wrap: SecretWrap) -> _Plan:
    plan = _compare(staged, wrap)
    _brake(plan)
    if any(plan.differences.values()):
        backups.save(backups.reason_before_data_sync())
    return plan


def _brake(plan: _Plan) -> None:
    """Raises SyncRefused if much of what people know by name would be deleted and nobody has allowed exactly that."""
    removals, doomed, names = [], [], []
    for label, difference in plan.differences.items():
        dataset = by_label()[label]
        if dataset.is_named:
            removals.append(Removal(dataset.plural, len(difference.gone), dataset.model._base_manager.count()))
            doomed += [f"{label}|{key}|{name}" for key, name in difference.gone.items()]
            names += sorted(list(difference.gone.values())[: brake.NAMED])
    brake.check(BrakeSubject.SETTINGS, removals, doomed, names)


def _compare(staged: Mapping[str, StagedTable], wrap: SecretWrap) -> _Plan:
    with snapshots.read_transaction():
        writes, moved = journal.settings_writes(), [dataset for dataset in SETTINGS if dataset.label in staged]
        codecs = {dataset.label: RowCodec(dataset, wrap) for dataset in moved}
        return _Plan(
            settings_writes=writes,
            codecs=codecs,
            differences={label: difference_of(codec, staged[label]) for label, codec in codecs.items()},
            unmoved=[table for table in digests(wrap) if table.dataset not in staged],
        )


def write(codecs: Mapping[str, RowCodec], differences: Mapping[str, Writes]) -> None:
    """Write what is to be written to these settings tables: removals first, then in the order of dependence.

    Raises:
        IntegrityError: the rows do not fit together; the caller's transaction must end.
    """
    moved = [codec.dataset for codec in codecs.values()]
    kept = {
        label: tables.local_values(codecs[label], [codecs[label].key(row) for row in difference.replace])
        for label, difference in differences.items()
    }
    for dataset in reversed(moved):
        codec, difference = codecs[dataset.label], differences[dataset.label]
        _remove_dependents(dataset, difference.remove)
        tables.delete(codec, difference.remove + [codec.key(row) for row in difference.replace])
    for dataset in moved:
        codec, difference = codecs[dataset.label], differences[dataset.label]
        local = kept[dataset.label]
        for start in range(0, len(difference.replace), WRITE_ROWS):
            rows = difference.replace[start : start + WRITE_ROWS]
            tables.insert(codec, rows, [local[codec.key(row)] for row in rows])
        for start in range(0, len(difference.add), WRITE_ROWS):
            tables.insert(codec, difference.add[start : start + WRITE_ROWS])
        tables.insert_lines(dataset, difference.lines)
    tables.number_on([dataset.model for dataset in moved])
    connection.check_constraints([dataset.table for dataset in SETTINGS] + _dependent_tables())


def _remove_dependents(dataset: Dataset, keys: list[Row]) -> None:
    """Rows kept local that refer to removed ones go first."""
    for label, name in DEPENDENTS:
        model = apps.get_model(label)
        if model._meta.get_field(name).related_model is dataset.model:
            for start in range(0, len(keys), WRITE_ROWS):
                chosen = [key[0] for key in keys[start : start + WRITE_ROWS]]
                model._base_manager.filter(**{f"{name}__in": chosen}).delete()


def _dependent_tables() -> list[str]:
    return [apps.get_model(label)._meta.db_table for label, _ in DEPENDENTS]


def _verify(manifest: Manifest, plan: _Plan) -> None:
    """Raises SyncRefused unless the tables hold what the manifest lists; what was written is read from the database."""
    totals = {total.dataset: total for total in plan.unmoved}
    totals |= {label: difference.total for label, difference in plan.differences.items()}
    stored = [totals[dataset.label] for dataset in SETTINGS]
    differing = [ours.dataset for ours, listed in zip(stored, manifest.settings, strict=False) if ours != listed]
    for label, difference in plan.differences.items():
        if label not in differing and not is_stored(plan.codecs[label], difference):
            differing.append(label)
    if differing or stored != manifest.settings:
        raise refused(Refusal.DIGEST_MISMATCH, f"Tables: {', '.join(differing) or 'another list of tables'}.")


def end_sessions() -> None:
    """The web sessions of accounts that are gone or disabled have ended."""
    active = {str(number) for number in Account.objects.filter(is_active=True).values_list("pk", flat=True)}
    for session in Session.objects.iterator():
        account = session.get_decoded().get("_auth_user_id")
        if account is not None and account not in active:
            session.delete()
