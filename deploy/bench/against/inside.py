"""What a benchmark does inside the processes of an appliance: fill it, empty it, pull. Needs Django set up."""

from __future__ import annotations

import cProfile
import datetime as dt
import os
import shutil
import socket
import struct
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from appliances import blobs, selectors
from appliances.choices import RateUnit, SessionEventKind, SyncStatus, SyncTrigger
from appliances.models import Account, BackupSettings, FileStoreFile, Folder, FolderPlace, Recording, SessionEvent
from sync import journal
from sync.datasync import marks, pull
from sync.datasync.registry import APPEND_ONLY, DATASETS, by_label
from sync.datasync.rows import RowCodec, sum_of
from sync.datasync.wrapping import NO_SECRETS, for_snapshot
from sync.models import SealedDay, SealedMark
from sync.peer.client import PeerClient
from sync.peer.connection import PinnedConnection

BATCH = 5000
LOOK_SECONDS = 0.02
COUNTERS = struct.Struct("=QQ")  # bytes acknowledged and received, in `struct tcp_info` from byte 120 on
COUNTERS_AT = 120
_TEXT = "Chat message number {} of a session like any other: please restart the computer and try again, thank you."


class CountingConnection(PinnedConnection):
    """The product's own connection; knows the bytes of its TCP streams when they are closed."""

    wire = 0

    def close(self) -> None:
        """Count, then close."""
        self.wire += sum(self._counters())
        super().close()

    def received(self) -> int:
        """The bytes that have come on the present connection, read or not."""
        return self._counters()[1]

    def _counters(self) -> tuple[int, int]:
        if self.sock is None:
            return 0, 0
        info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, COUNTERS_AT + COUNTERS.size)
        sent, received = COUNTERS.unpack_from(info, COUNTERS_AT)
        return sent, received


class _Watch:
    """Looks how many bytes have come, every few milliseconds."""

    def __init__(self, connection: CountingConnection) -> None:
        self._connection, self._seen = connection, [(time.monotonic(), 0)]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self, limit: int) -> tuple[float, float]:
        """The pace while data came, as multiples of the limit: on the average, and in the worst second."""
        self._ended.set()
        self._thread.join()
        most = self._seen[-1][1]
        data = [(at, count) for at, count in self._seen if most * 0.01 < count < most * 0.99]
        (begun, before), (ended, after) = data[0], data[-1]
        worst = max(
            after - before for at, before in self._seen for until, after in self._seen if at < until <= at + 1.0
        )
        return (after - before) / (ended - begun) / limit, worst / limit

    def _look(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            with suppress(OSError, ValueError):
                self._seen.append((time.monotonic(), max(self._connection.received(), self._seen[-1][1])))


def pull_data(port: int = 0, profile: str = "", limit: int = 0) -> dict[str, Any]:
    """Pull a data-sync as the worker does, in this process that stays up; seconds, bytes on the wire, its figures.

    `port` is another one than the primary's, of a relay to it (127.0.0.1); a profile is written to `profile`; `limit`
    is the bandwidth limit in bytes a second.
    """
    _limit(limit)
    client = PeerClient.to_peer(timeout=pull.ANSWER_SECONDS)
    before = client.connection
    client.connection = CountingConnection(before.host, port or before.port, pins=before.pins, limits=before.limits)
    profiler = cProfile.Profile() if profile else None
    watch = _Watch(client.connection) if limit else None
    with profiler or nullcontext():
        began = time.perf_counter()
        run = pull.pull_data(SyncTrigger.SYNC_NOW, client=client)
        wall = time.perf_counter() - began
    if profiler is not None:
        profiler.dump_stats(profile)
    assert run.status == SyncStatus.SUCCESS, run.message
    return {
        "wall": wall,
        "wire": client.connection.wire,
        "pace": watch.end(limit) if watch is not None else None,
    }


def store_files(tree: str) -> int:
    """Every file below the tree is in the file store under its path."""
    files = [path for path in sorted(Path(tree).rglob("*")) if path.is_file()]
    rows = [
        FileStoreFile(name=str(path.relative_to(tree)), blob_id=blob.blob_id, size_bytes=blob.size_bytes)
        for path, blob in _stored(files)
    ]
    FileStoreFile.objects.bulk_create(rows, batch_size=BATCH)
    return len(rows)


def store_again(tree: str, names: list[str]) -> None:
    """These files have new content."""
    with transaction.atomic():
        for path, blob in _stored([Path(tree, name) for name in names]):
            changed = FileStoreFile.objects.filter(name=str(path.relative_to(tree)))
            changed.update(blob_id=blob.blob_id, size_bytes=blob.size_bytes)


def store_recordings(paths: list[str]) -> None:
    """These files are sealed recordings."""
    for path, blob in _stored(list(map(Path, paths))):
        Recording.objects.create(
            session_id=uuid.uuid4(),
            name=path.name,
            started_at=timezone.now(),
            duration=dt.timedelta(minutes=30),
            blob_id=blob.blob_id,
            size_bytes=blob.size_bytes,
        )
    marks.seal_all()


def add_accounts(first: int, count: int) -> None:
    """So many more accounts."""
    Account.objects.bulk_create(
        [
            Account(username=f"user{n:06}", email=f"user{n}@example.com", display_name=f"User {n}")
            for n in range(first, first + count)
        ],
        batch_size=BATCH,
    )


def change_rows(accounts: int, log_rows: int, number: int) -> float:
    """So many accounts have another display name and so many log lines are new, in one transaction.

    `time.monotonic()` at its commit, which is one clock for all processes.
    """
    names = [f"user{n:06}" for n in range(accounts)]
    with transaction.atomic():
        add_log(log_rows)
        Account.objects.filter(username__in=names).update(display_name=f"Changed {number}")
    return time.monotonic()


def add_log(count: int) -> None:
    """So many more lines in the event logs of sessions, not sealed yet."""
    now, session = timezone.now(), uuid.uuid4()
    for start in range(0, count, BATCH):
        SessionEvent.objects.bulk_create(
            SessionEvent(
                session_id=session,
                at=now + dt.timedelta(microseconds=n),
                kind=SessionEventKind.CHAT,
                who="Anna",
                text=_TEXT.format(n),
            )
            for n in range(start, min(start + BATCH, count))
        )


def add_numbered_log(count: int) -> None:
    """So many log lines that were numbered and counted before, as a site of some years has them."""
    dataset, me = by_label()[SessionEvent._meta.label], selectors.this_appliance()
    codec = RowCodec(dataset, NO_SECRETS)
    before = 0
    while before < count:
        add_log(min(BATCH, count - before))
        with marks.book(dataset) as book, connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {dataset.table} SET origin = %s, incarnation = %s, seq = rowid WHERE origin = ''",  # noqa: S608
                [me.guid, me.incarnation],
            )
            for row in codec.read(SessionEvent.objects.filter(seq__gt=before)):
                book.add(me.guid, me.incarnation, codec.digest_line(row))
            before = min(before + BATCH, count)
            book.reach(me.guid, me.incarnation, before)


def take_log(database: str) -> None:
    """The log lines of another appliance's SQLite database are here, as if a data-sync had brought them."""
    with connection.cursor() as cursor:
        cursor.execute("ATTACH DATABASE %s AS other", [database])
        for model in (SessionEvent, SealedMark, SealedDay):
            table = model._meta.db_table
            cursor.execute(f"INSERT INTO main.{table} SELECT * FROM other.{table}")  # noqa: S608
        cursor.execute("DETACH DATABASE other")


def seal() -> float:
    """Number what is new; the seconds it took."""
    began = time.perf_counter()
    marks.seal_all()
    return time.perf_counter() - began


def wipe(number: int) -> None:
    """Nothing that is synchronised is here but the first administrator; the files lie aside until the very end.

    Removing them now would slow down whoever creates files next (ext4 passes over inodes freed a short while ago).
    """
    if Path(settings.BLOB_DIR).exists():
        os.rename(settings.BLOB_DIR, f"{settings.BLOB_DIR}.parked-{number}")
    tables = [model._meta.db_table for model in (SealedMark, SealedDay, FileStoreFile)]
    tables += [dataset.table for dataset in APPEND_ONLY]
    with journal.locked() as held, held.settings_open(), connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")  # noqa: S608  (names of our models)
        cursor.execute(
            f"DELETE FROM {connection.ops.quote_name(Account._meta.db_table)} WHERE username LIKE %s",  # noqa: S608
            ["user%"],
        )
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def folder() -> None:
    """A folder of the administrator's own is to be copied."""
    Folder.objects.get_or_create(name="tree")


def folder_lies(path: str) -> None:
    """It lies here on this appliance, which knows nothing of it yet."""
    Path(path).mkdir(parents=True, exist_ok=True)
    shutil.rmtree(settings.FOLDER_MANIFESTS, ignore_errors=True)
    FolderPlace.objects.update_or_create(name="tree", defaults={"path": path, "outcome": {}})


def contents() -> dict[str, list[Any]]:
    """Count and sum of the hashes of the rows of every synchronised table, read anew from the database."""
    wrap = for_snapshot("")
    found = {}
    for dataset in DATASETS:
        total = sum_of(RowCodec(dataset, wrap))
        found[dataset.label] = [total.rows, total.digest]
    return found


def _limit(limit: int) -> None:
    BackupSettings.objects.update_or_create(
        pk=1,
        defaults={
            "bandwidth_limit": Decimal(limit) / 1_000_000 if limit else None,
            "bandwidth_unit": RateUnit.MEGABYTES,
        },
    )


def _stored(paths: list[Path]) -> Iterator[tuple[Path, blobs.StoredBlob]]:
    for start in range(0, len(paths), BATCH):
        with blobs.Batch() as batch:
            found = []
            for path in paths[start : start + BATCH]:
                with path.open("rb") as file:
                    found.append((path, batch.store(file)))
        yield from found
