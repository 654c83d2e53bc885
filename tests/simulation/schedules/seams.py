"""Where the product touches the world outside: each of these is replaced by the simulated world, and nothing else is.

Clocks, chance, the names of processes, the queue of tasks, pings and names, the disk, and the connection to the peer.
"""

from __future__ import annotations

import datetime as dt
import errno
import fcntl
import logging
import os
import random
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celery import Task
from django.conf import settings
from django.db import OperationalError
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.db.utils import ConnectionHandler
from django.utils import timezone

from appliances import blobs, certificates, durable
from appliances.host import interfaces, ping, process
from sync import crash
from sync.datasync import snapshots
from sync.peer import identity
from sync.peer.connection import PinnedConnection
from tests.simulation.schedules.appliances import Waits, here, put
from tests.simulation.schedules.network import Connection
from tests.simulation.schedules.world import Violation, World

PACKAGES = ("sync", "appliances")
FREE_BYTES = 2**40
WORKED = frozenset({"sync.pull_data", "sync.drive", "sync.count_differences"})
_WRITES = ("INSERT", "UPDATE", "DELETE", "BEGIN", "SAVEPOINT", "RELEASE")


class DiskFull(OperationalError):
    """The database could not write, as a test wanted it."""


class Outage:
    """What the disk refuses at this moment: so many writes from now on, of the database or of files."""

    database = 0
    files = 0


def replace_everywhere(real: Callable[..., Any], other: Callable[..., Any]) -> None:
    """Put another function in its place, under whatever name the product has it."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in PACKAGES:
            for attribute, value in list(vars(module).items()):
                if value is real:
                    setattr(module, attribute, other)


def replace_all(world: World) -> None:
    """From now on this process lives in the simulated world."""
    _clocks(world)
    _chance(world)
    _processes(world)
    _disk(world)
    _database(world)
    _log(world)
    replace_everywhere(PinnedConnection, Connection)
    Connection.world = world
    put(ping, "ask_all", _ask_all)
    put(socket, "getaddrinfo", _no_such_name)
    put(crash, "point", lambda name: world.event(is_edge=True))
    network_cards = (interfaces.Interface("eth0", "02:00:00:00:00:01"),)
    replace_everywhere(interfaces.interfaces, lambda: network_cards)
    settings.REDIS_URL = "filesystem://"


def _clocks(world: World) -> None:
    put(time, "time", world.wall)
    put(time, "monotonic", world.monotonic)
    put(time, "clock_gettime", lambda _: world.boottime())
    put(time, "sleep", lambda seconds: _sleep(world, seconds))
    put(timezone, "now", lambda: dt.datetime.fromtimestamp(world.wall(), dt.UTC))


def _sleep(world: World, seconds: float) -> None:
    world.event()
    world.pass_time(seconds)


def _chance(world: World) -> None:
    def urandom(count: int) -> bytes:
        return world.chance.randbytes(count)

    put(os, "urandom", urandom)
    put(random, "_urandom", urandom)


def _processes(world: World) -> None:
    def this_process() -> str:
        return f"{here().name}:{here().boot}"

    def is_alive(name: str) -> bool:
        return name == this_process()

    replace_everywhere(process.this_process, this_process)
    replace_everywhere(process.is_alive, is_alive)

    def apply_async(task: Task[..., Any], args: Iterable[Any] = (), kwargs: Any = None, **_: Any) -> None:
        world.event()
        if task.name in WORKED:
            here().queue.append((str(task.name), tuple(args)))

    put(Task, "apply_async", apply_async)
    build = identity.product_build()
    put(identity, "product_build", lambda: build)
    digest: list[str] = []

    def schema_digest() -> str:
        if not digest:
            digest.append(real_digest())
        return digest[0]

    real_digest = identity.schema_digest
    put(identity, "schema_digest", schema_digest)
    pins: dict[bytes, str] = {}
    real_pin = certificates.spki_pin

    def spki_pin(pem: bytes) -> str:
        if pem not in pins:
            pins[pem] = real_pin(pem)
        return pins[pem]

    put(certificates, "spki_pin", spki_pin)


def _disk(world: World) -> None:
    """Files are durable only when they are told to be: what is not is lost when the power is cut."""
    usage = shutil.disk_usage(".")
    free = type(usage)(2 * FREE_BYTES, FREE_BYTES, FREE_BYTES)
    put(shutil, "disk_usage", lambda _: free)
    real_rename, real_write, real_absent = blobs._rename, durable.write_all, blobs.absent
    real_write_new, real_create, real_remove_tree = durable.write_new, snapshots.create, shutil.rmtree

    def fsync(place: Path) -> None:
        world.event()
        here().unsynced -= {one for one in here().unsynced if place in (one, one.parent)}

    def sync_file_system(place: Path) -> None:
        world.event()
        here().unsynced.clear()

    @contextmanager
    def folder_lock(folder: Path, how: int) -> Iterator[None]:
        held = here().locks
        if any(folder == other and fcntl.LOCK_EX in (how, kind) for other, kind in held):
            raise Waits
        held.append((folder, how))
        try:
            yield
        finally:
            if (folder, how) in held:
                held.remove((folder, how))

    def full() -> None:
        world.event()
        if Outage.files:
            Outage.files -= 1
            raise OSError(errno.ENOSPC, "No space left on device")

    def write_all(file: Any, content: bytes) -> None:
        full()
        here().unsynced.add(Path(os.readlink(f"/proc/self/fd/{file.fileno()}")))
        real_write(file, content)

    def write_new(place: str, content: bytes) -> None:
        full()
        here().unsynced.add(Path(place))
        real_write_new(place, content)

    def rename(source: str, name: str) -> bool:
        staged, target = Path(source), Path(name)
        world.event()
        made = real_rename(source, name)
        _stamp(target)
        if staged in here().unsynced:  # its name may come to the disk before its bytes
            here().unsynced.discard(staged)
        here().unsynced.add(target)
        return made

    def absent(blob_ids: Iterable[str]) -> set[str]:
        asked = list(blob_ids)
        gone = real_absent(asked)
        for blob_id in asked:
            if blob_id not in gone:
                _stamp(blobs.path(blob_id))
        return gone

    def create(snapshot_id: str, marks: Any) -> None:
        real_create(snapshot_id, marks)
        _stamp(snapshots._root() / snapshot_id)

    def remove_tree(path: Any, ignore_errors: bool = False, **more: Any) -> None:
        if not here().is_dying:  # the dead remove nothing
            real_remove_tree(path, ignore_errors=ignore_errors, **more)

    put(durable, "fsync", fsync)
    put(durable, "sync_file_system", sync_file_system)
    put(durable, "folder_lock", folder_lock)
    put(durable, "write_all", write_all)
    put(durable, "write_new", write_new)
    put(blobs, "_rename", rename)
    put(blobs, "absent", absent)
    put(snapshots, "create", create)
    put(shutil, "rmtree", remove_tree)
    put(os, "fsync", lambda _: None)


def _stamp(path: Path) -> None:
    os.utime(path, (time.time(), time.time()))


def _database(world: World) -> None:
    put(ConnectionHandler, "__getitem__", lambda self, alias: here().database)

    def statement(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        world.event()
        if Outage.database and sql.startswith(_WRITES):
            Outage.database -= 1
            raise DiskFull("database or disk is full")
        return execute(sql, params, many, context)

    for appliance in world.appliances:
        appliance.database.execute_wrappers.append(statement)
        _commits(world, appliance.database)


def _commits(world: World, database: DatabaseWrapper) -> None:
    """Whoever is killed right after a commit has not done yet what was to follow it."""
    real = database._commit  # type: ignore[attr-defined]

    def commit() -> None:
        real()
        world.event(is_edge=True)

    put(database, "_commit", commit)


def _log(world: World) -> None:
    class Errors(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if _is_wanted(record.exc_info[1] if record.exc_info else None):
                return
            text = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                text += f": {record.exc_info[1]!r}"
            world.errors.append(f"{here().name}: {text}")
            if isinstance(record.exc_info and record.exc_info[1], Violation):
                raise record.exc_info[1]  # type: ignore[index, misc]

    logging.disable(logging.WARNING)
    root = logging.getLogger()
    for name in list(logging.root.manager.loggerDict):
        found = logging.getLogger(name)
        found.handlers.clear()
        found.propagate = True
    root.handlers[:] = [Errors(logging.ERROR)]


def _is_wanted(error: BaseException | None) -> bool:
    """Whether an error comes of a disk that a test filled."""
    while error is not None:
        if isinstance(error, DiskFull) or getattr(error, "errno", None) == errno.ENOSPC:
            return True
        error = error.__cause__ or error.__context__
    return False


def _ask_all(addresses: Iterable[str], *, seconds: float) -> list[ping.Answer]:
    answers = here().test_ips_answer
    return [ping.Answer(address, answers, "ICMP" if answers else "") for address in addresses]


def _no_such_name(*_: Any, **__: Any) -> Any:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
