"""One simulated appliance: a database in memory, folders of its own, clocks, and the tasks that wait for a worker.

Both live in this process. All code of the product runs on the appliance that is `here`; `on` changes which one that is.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.backends.sqlite3.base import DatabaseWrapper

from sync import failover

EPOCH = 1_800_000_000.0  # the wall clock of the simulated world when it begins
NAMES = ("A", "B")


def put(place: object, name: str, value: object) -> None:
    """Let `place` have `value` under `name`: how the simulated world and planted bugs replace parts of the product."""
    setattr(place, name, value)


class Stopped(BaseException):
    """The appliance was switched off or killed at this point: nothing of what ran on it goes on."""


class Waits(BaseException):
    """What runs here would have to wait for something that was interrupted for its sake: it is not run now."""


class Appliance:
    """One of the two. `side` is 0 for the founding primary."""

    def __init__(self, side: int, root: Path) -> None:
        self.side, self.name = side, NAMES[side]
        self.folder = root / self.name
        self.settings: dict[str, Any] = {
            "DATA_DIR": self.folder,
            "BLOB_DIR": self.folder / "blobs",
            "STAGING_DIR": self.folder / "staging",
            "HEALTH_FILE": self.folder / "health.json",
            "SECRETS_DIR": root / f"secrets-{self.name}",
            "DATA_KEY_FILE": root / f"secrets-{self.name}" / "data.key",
            "HOST_NAME": f"{self.name.lower()}.example.com",
            "WITNESS_COMMAND": "",
            "FENCING_COMMAND": "",
            "LISTEN": [f"192.0.2.{side + 1}:443"],
        }
        self.database = self._open()
        self.start()

    def _open(self) -> DatabaseWrapper:
        made = connections.create_connection("default")
        assert isinstance(made, DatabaseWrapper)
        made.settings_dict = {**made.settings_dict, "NAME": ":memory:", "CONN_MAX_AGE": None}
        made.inc_thread_sharing()
        made.connect()
        return made

    @property
    def raw(self) -> sqlite3.Connection:
        """The connection of the database itself: what is read here, no simulated fault can touch."""
        found: sqlite3.Connection = self.database.connection
        return found

    def start(self) -> None:
        """A world begins: no boot yet, right clocks, nothing waits."""
        self.boot = 0
        self.is_up, self.is_dying, self.is_process_only = True, False, False
        self.stopped_until = 0.0
        self.wall_skew, self.boot_offset, self.slept = 0.0, 1000.0 * (self.side + 1), 0.0
        self.pulse = failover.Pulse()
        self.queue: list[tuple[str, tuple[Any, ...]]] = []
        self.test_ips_answer = True
        self.activities = 0
        self.unsynced: set[Path] = set()
        self.locks: list[tuple[Path, int]] = []

    def fill(self, template: sqlite3.Connection) -> None:
        """The database is a copy of the template; the folders are empty."""
        template.backup(self.raw)
        with on(self):
            shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("blobs", "staging"):
            (self.folder / name).mkdir(parents=True)

    def forget_activity(self) -> None:
        """What ran is gone: the open transaction is rolled back, the memory of the processes is empty."""
        self.raw.rollback()
        database = self.database
        database.in_atomic_block = database.needs_rollback = database.closed_in_transaction = False
        database.commit_on_exit = True
        database.savepoint_ids, database.atomic_blocks, database.run_on_commit = [], [], []
        database.autocommit = True
        put(database, "transaction_mode", "IMMEDIATE")
        self.pulse = failover.Pulse()
        self.locks = []
        self.boot += 1


class _Here:
    """Which appliance all code runs on at this moment."""

    appliance: Appliance


HERE = _Here()


def here() -> Appliance:
    """The appliance that the running code belongs to."""
    return HERE.appliance


@contextmanager
def on(appliance: Appliance) -> Iterator[Appliance]:
    """Inside, all code runs on this appliance."""
    before = getattr(HERE, "appliance", None)
    _be(appliance)
    try:
        yield appliance
    finally:
        if before is not None and before is not appliance:
            _be(before)


def _be(appliance: Appliance) -> None:
    HERE.appliance = appliance
    settings.__dict__.update(appliance.settings)
