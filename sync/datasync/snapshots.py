"""Snapshots on the primary: the settings as one read transaction saw them, kept in files for one data-sync."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction

from appliances import durable
from sync.datasync.bulk import Bulk, is_plain
from sync.datasync.refusals import refused
from sync.datasync.registry import Dataset
from sync.datasync.rows import RowCodec
from sync.datasync.wrapping import SecretWrap
from sync.rules.diff import Mark
from sync.rules.snapshot import Refusal

KEEP_SECONDS = 3600  # since it was asked for; no backup lets so much time pass between two requests
RENEW_SECONDS = 30.0
_ID = re.compile(r"[0-9a-f]{32}")
_MARKS = "marks.json"


def new_id() -> str:
    """An id that no other snapshot has."""
    return secrets.token_hex(16)


def create(snapshot_id: str, marks: list[Mark] | None) -> None:
    """The snapshot is there, without tables yet, and abandoned ones are not; readable by this user only.

    `marks` are those of a data-sync; a snapshot that settings are only compared with has none.
    """
    _root().mkdir(mode=0o700, parents=True, exist_ok=True)
    prune()
    folder = _root() / snapshot_id
    folder.mkdir(mode=0o700)
    if marks is None:
        return
    limits = [[mark.dataset, mark.origin, mark.incarnation, mark.seq] for mark in marks]
    _write(folder / _MARKS, [json.dumps(limits).encode()])


def prune() -> None:
    """Snapshots that nobody has asked for within an hour are gone."""
    for folder in _folders():
        with suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > KEEP_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def remove_pulled() -> None:
    """Those of data-syncs are gone: the backup begins a new one, so whatever it began before has ended."""
    for folder in _folders():
        if (folder / _MARKS).exists():
            shutil.rmtree(folder, ignore_errors=True)


def are_there() -> bool:
    """Whether there is any snapshot."""
    return bool(_folders())


def names() -> list[str]:
    """The ids of all snapshots."""
    return [folder.name for folder in _folders()]


def add_table(snapshot_id: str, dataset: Dataset, wrap: SecretWrap) -> None:
    """The snapshot holds the table as the current transaction sees it."""
    codec = RowCodec(dataset, wrap)
    lines = map(b"\n".join, Bulk(dataset).lines()) if is_plain(dataset) else map(codec.wire_line, codec.read())
    _write(_root() / snapshot_id / dataset.label, lines)


def lines(snapshot_id: str, label: str) -> Iterator[bytes]:
    """The rows of a settings table of the snapshot.

    Raises:
        SyncRefused: the snapshot, or the table in it, is not there.
    """
    path = folder(snapshot_id) / label
    if not path.is_file():
        raise refused(Refusal.SNAPSHOT_GONE)
    return _lines(path)


def limits(snapshot_id: str) -> dict[tuple[str, str, int], int]:
    """Up to which number the append-only rows of each mark belong to the snapshot."""
    try:
        listed = json.loads((folder(snapshot_id) / _MARKS).read_bytes())
    except (OSError, ValueError) as error:
        raise refused(Refusal.SNAPSHOT_GONE) from error
    return {(dataset, origin, incarnation): seq for dataset, origin, incarnation, seq in listed}


def folder(snapshot_id: str) -> Path:
    """The folder of a snapshot that is there; its age begins anew.

    Raises:
        SyncRefused: there is none.
    """
    found = _root() / snapshot_id
    if not _ID.fullmatch(snapshot_id) or not found.is_dir():
        raise refused(Refusal.SNAPSHOT_GONE)
    with suppress(FileNotFoundError):
        os.utime(found)
    return found


def kept_while(snapshot_id: str, frames: Iterable[bytes | bytearray]) -> Iterator[bytes | bytearray]:
    """The frames; as long as they are taken, the snapshot counts as asked for."""
    renewed = time.monotonic()
    for frame in frames:
        yield frame
        if time.monotonic() - renewed >= RENEW_SECONDS:
            renewed = time.monotonic()
            with suppress(FileNotFoundError):
                os.utime(_root() / snapshot_id)


def remove(snapshot_id: str) -> None:
    """The snapshot is given back; no error if it is gone."""
    if _ID.fullmatch(snapshot_id):
        shutil.rmtree(_root() / snapshot_id, ignore_errors=True)


@contextmanager
def read_transaction() -> Iterator[None]:
    """Everything read inside is of one moment, and no writer waits for it but the retention."""
    if connection.in_atomic_block:
        yield
        return
    with durable.folder_lock(_root(), fcntl.LOCK_SH), _read_only():
        yield


@contextmanager
def none_is_made() -> Iterator[bool]:
    """Whether there is no snapshot; as long as this lasts, none is made. Waits for those who are just reading."""
    with durable.folder_lock(_root(), fcntl.LOCK_EX):
        prune()
        yield not are_there()


@contextmanager
def _read_only() -> Iterator[None]:
    if connection.vendor == "sqlite":
        mode = connection.transaction_mode  # type: ignore[attr-defined]
        connection.transaction_mode = "DEFERRED"  # type: ignore[attr-defined]
        try:
            with transaction.atomic():
                yield
        finally:
            connection.transaction_mode = mode  # type: ignore[attr-defined]
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _root() -> Path:
    return Path(settings.DATA_DIR) / "snapshots"


def _folders() -> list[Path]:
    return list(_root().iterdir()) if _root().is_dir() else []


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            yield line.rstrip(b"\n")


def _write(path: Path, rows: Iterator[bytes] | list[bytes]) -> None:
    path.touch(mode=0o600)
    with path.open("wb") as file:
        for row in rows:
            file.write(row + b"\n")
