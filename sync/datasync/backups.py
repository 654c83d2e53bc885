"""Configuration backups: whole versions of the synchronised settings, kept on this appliance before one is replaced.

One file each in DATA_DIR/configuration-backups (readable by this user only, gzip): a line about the version, then per
table a line with its name and its rows as they travel, secrets sealed with the data key of this appliance. The newest
of each kind are kept, so that the frequent ones never push out those of a role change.
"""

from __future__ import annotations

import gzip
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from blake3 import blake3
from django.conf import settings
from django.db import transaction

from appliances import durable
from appliances.choices import BackupReason
from sync import journal
from sync.datasync import snapshots
from sync.datasync.bulk import Bulk, is_plain
from sync.datasync.registry import SETTINGS, by_label
from sync.datasync.rows import Row, RowCodec, RowSum
from sync.datasync.wrapping import AtRest
from sync.errors import SyncRefused
from sync.models import ConfigurationBackup, SyncRun
from sync.peer import identity

FORMAT = 1
KEEP = 5  # of each kind
UNREADABLE = "backup_unreadable"
ORPHAN_SECONDS = 3600.0  # a file without a row that is older than this was left behind by a crash

log = logging.getLogger(__name__)
Tables = dict[str, list[Row]]


def save(reason: BackupReason, detail: str = "") -> ConfigurationBackup:
    """The settings as they are now are kept; if the newest backup of this kind holds the same, that one.

    Raises:
        OSError: the file could not be written; nothing is kept.
        SyncRefused: a stored secret cannot be decrypted.
    """
    row = ConfigurationBackup(reason=reason, detail=detail[:300], schema=identity.schema_digest())
    temporary = path_of(row).with_suffix(".tmp")
    temporary.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with snapshots.read_transaction():
            state = journal.read()
            row.role, row.term = state.role, state.term
            row.head_term, row.head_seq = state.head.term, state.head.seq
            _write(temporary, row)
        newest = ConfigurationBackup.objects.filter(reason=reason).first()
        if newest is not None and (newest.content, newest.schema) == (row.content, row.schema) and _is_there(newest):
            return newest
        temporary.rename(path_of(row))
        durable.fsync(temporary.parent)
    finally:
        temporary.unlink(missing_ok=True)
    with transaction.atomic():
        row.save(force_insert=True)
        _prune(reason)
    log.info("configuration backup saved", extra={"backup": str(row.pk), "reason": reason.value})
    return row


def reason_before_data_sync() -> BackupReason:
    """The kind of a backup of settings that a data-sync is about to replace.

    Settings that are the unchanged copy of an earlier data-sync are routine; those of a former primary are not.
    """
    state = journal.read()
    if not state.initialised:
        return BackupReason.FOUNDING
    copied = SyncRun.objects.filter(head_term=state.head.term, head_seq=state.head.seq, status="success").exists()
    return BackupReason.DATA_SYNC if copied else BackupReason.ROLE_CHANGE


def read(backup: ConfigurationBackup) -> Tables:
    """The rows of the version, table by table.

    Raises:
        SyncRefused: the file is gone, damaged, of another version of the database, or its secrets cannot be opened.
    """
    if backup.schema != identity.schema_digest():
        raise _unusable("It was saved by another version of the product, whose database is laid out differently.")
    try:
        content = path_of(backup).read_bytes()
    except FileNotFoundError as error:
        raise _unusable("Its file is missing.") from error
    except OSError as error:  # perhaps only at this moment
        why = f"This configuration backup cannot be read: {error.strerror}."
        raise SyncRefused(UNREADABLE, why, remedy="Look at the disk of this appliance.") from error
    if blake3(content).hexdigest() != backup.digest:
        raise _unusable("Its file is damaged.")
    tables: Tables = {dataset.label: [] for dataset in SETTINGS}
    codec: RowCodec | None = None
    for line in gzip.decompress(content).splitlines()[1:]:
        if line.startswith(b"{"):
            codec = RowCodec(by_label()[json.loads(line)["dataset"]], AtRest())
        elif codec is not None:
            tables[codec.dataset.label].append(codec.parse(line))
    return tables


def referenced_blobs() -> set[str]:
    """The ids of all blobs that a kept version refers to: they stay in the store as long as it is kept.

    Raises:
        SyncRefused: a version cannot be read just now.
    """
    found: set[str] = set()
    for backup in ConfigurationBackup.objects.all():
        try:
            tables = read(backup)
        except SyncRefused as error:  # nobody can restore it, so nothing needs its files
            if error.reason == UNREADABLE:
                raise
            log.warning("configuration backup unusable", extra={"backup": str(backup.pk), "why": str(error)})
            continue
        for dataset in SETTINGS:
            if dataset.blob_field:
                place = dataset.fields.index(dataset.blob_field)
                found.update(row[place] for row in tables[dataset.label])
    return found


def path_of(backup: ConfigurationBackup) -> Path:
    """Where the file of a backup lies."""
    return Path(settings.DATA_DIR) / "configuration-backups" / backup.pk.hex


def _write(path: Path, row: ConfigurationBackup) -> None:
    """Write the file, and note in `row` what it holds."""
    content, row.rows = blake3(), 0
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=3, filename="", mtime=0) as packed:
            packed.write(json.dumps({"format": FORMAT, "schema": row.schema}).encode() + b"\n")
            for codec in (RowCodec(dataset, AtRest()) for dataset in SETTINGS):
                total = RowSum()
                packed.write(json.dumps({"dataset": codec.dataset.label}).encode() + b"\n")
                for lines in _lines(codec, total):
                    packed.write(b"\n".join(lines) + b"\n")
                content.update(f"{codec.dataset.label} {total.rows} {total.digest}\n".encode())
                row.rows += total.rows
        file.flush()
        os.fsync(file.fileno())
    written = path.read_bytes()
    row.content, row.digest, row.size_bytes = content.hexdigest(), blake3(written).hexdigest(), len(written)


def _lines(codec: RowCodec, total: RowSum) -> Iterator[list[bytes]]:
    """The lines of a table, many at a time; `total` counts them."""
    if is_plain(codec.dataset):
        for lines in Bulk(codec.dataset).lines():
            total.add_all(lines)
            yield lines
        return
    for row in codec.read():
        line = codec.wire_line(row)
        # Sealed anew each time, a secret would make each version another one.
        total.add(codec.digest_line(row) if codec.dataset.secret_labels else line)
        yield [line]


def _prune(reason: BackupReason) -> None:
    for old in list(ConfigurationBackup.objects.filter(reason=reason)[KEEP:]):
        transaction.on_commit(partial(path_of(old).unlink, missing_ok=True))
        old.delete()
    kept = {key.hex for key in ConfigurationBackup.objects.values_list("pk", flat=True)}
    for file in (Path(settings.DATA_DIR) / "configuration-backups").iterdir():
        with suppress(FileNotFoundError):
            if file.stem not in kept and time.time() - file.stat().st_mtime > ORPHAN_SECONDS:
                file.unlink()


def _is_there(backup: ConfigurationBackup) -> bool:
    return path_of(backup).is_file()


def _unusable(why: str) -> SyncRefused:
    return SyncRefused(
        "backup_unusable", f"This configuration backup cannot be used. {why}", remedy="Choose another one."
    )
