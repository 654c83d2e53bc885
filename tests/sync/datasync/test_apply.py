"""The settings are replaced wholly or not at all, wherever it is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError, connection
from django.db.models import F
from psycopg.errors import DeadlockDetected
from pytest_django import Settings

from appliances.choices import SyncStage, SyncTrigger
from appliances.models import Account
from sync import journal
from sync.datasync import backups, pull, tables
from sync.datasync.registry import SETTINGS
from sync.errors import NotStored, SyncError, SyncRefused
from sync.models import BrakeStop, ConfigurationBackup, RoleJournal, SyncRun
from tests.fakes import FakePeer
from tests.sync.datasync import world
from tests.sync.pairs import settings_open

WRITES = ("INSERT", "UPDATE", "DELETE")
SETTINGS_TABLES = [f'"{table}"' for table in (*(dataset.table for dataset in SETTINGS), RoleJournal._meta.db_table)]


class FailingDatabase:
    """Lets the n-th write to a settings table (or to the role journal) fail, as a full disk would."""

    def __init__(self, fails_at: int) -> None:
        self.fails_at = fails_at
        self.writes = 0

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(WRITES) and any(table in sql[:80] for table in SETTINGS_TABLES):
            self.count()
        return execute(sql, params, many, context)

    def count(self) -> None:
        """One more write."""
        self.writes += 1
        if self.writes == self.fails_at:
            raise OperationalError("disk I/O error")


class Deadlocked:
    """Ends so many transactions that write to a settings table, as PostgreSQL ends one of two in a deadlock."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if self.times and sql.startswith(WRITES) and any(table in sql[:80] for table in SETTINGS_TABLES[:-1]):
            self.times -= 1
            raise OperationalError("deadlock detected") from DeadlockDetected("deadlock detected")
        return execute(sql, params, many, context)


def changes(there: Callable[..., Any]) -> None:
    there(
        "run",
        "from appliances.models import *; from django.contrib.auth.models import *\n"
        "a = Account.objects.get(username='anna'); a.email = 'x@example.com'; a.save()\n"
        "Account.objects.get(username='bob').delete()\n"
        "g = Group.objects.create(name='new'); g.permissions.add(Permission.objects.first()); a.groups.set([g])\n"
        "c = EmailConfiguration.load(); c.password = 'hunter2'; c.save(); Site.load()",
    )
    there("store_file", "a", b"a")


def test_whichever_write_fails_the_old_settings_stay_and_the_next_data_sync_completes(
    peer: FakePeer, there: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    there("account", "anna")
    there("account", "bob")
    pull.pull_data(SyncTrigger.FIRST, client=peer)  # type: ignore[arg-type]
    before, head = world.contents(), journal.read().head
    changes(there)
    failing = FailingDatabase(0)
    insert_many = tables.insert_many

    def copy(*arguments: Any) -> None:
        if connection.vendor == "postgresql":  # COPY passes by the wrapper of statements
            failing.count()
        insert_many(*arguments)

    monkeypatch.setattr(tables, "insert_many", copy)
    for number in range(1, 100):
        failing = FailingDatabase(number)
        with connection.execute_wrapper(failing):
            try:
                pull.pull_data(SyncTrigger.INTERVAL, client=peer)  # type: ignore[arg-type]
            except SyncError:
                assert world.contents() == before, f"write {number}"
                assert journal.read().head == head
                assert not pull.is_running()
            else:
                break
    assert failing.writes == 11  # each statement that a changed table needs, the head, and letting the settings go
    assert world.contents() == there("contents")
    assert journal.read().head > head
    assert [group.name for group in Account.objects.get(username="anna").groups.all()] == ["new"]
    assert Group.objects.get().permissions.count() == 1


def test_a_deadlock_with_a_change_of_somebody_else_is_tried_again_once(
    peer: FakePeer, there: Callable[..., Any]
) -> None:
    there("account", "anna")
    pull.pull_data(SyncTrigger.FIRST, client=peer)  # type: ignore[arg-type]
    changes_of_anna = "from appliances.models import *; Account.objects.filter(username='anna').update(email='x')"
    there("run", changes_of_anna)
    with connection.execute_wrapper(Deadlocked(2)), pytest.raises(NotStored, match="deadlock detected") as caught:
        pull.pull_data(SyncTrigger.INTERVAL, client=peer)  # type: ignore[arg-type]
    assert caught.value.reason == "not_stored"
    with connection.execute_wrapper(Deadlocked(1)):
        pull.pull_data(SyncTrigger.INTERVAL, client=peer)  # type: ignore[arg-type]
    assert world.contents() == there("contents")


def test_every_change_of_a_setting_moves_the_number_that_tells_of_it(peer: FakePeer, there: Callable[..., Any]) -> None:
    there("account", "anna")
    before = journal.settings_writes()
    pull.pull_data(SyncTrigger.FIRST, client=peer)  # type: ignore[arg-type]
    assert journal.settings_writes() > before


def test_rows_that_break_a_constraint_of_the_database_are_refused(peer: FakePeer, there: Callable[..., Any]) -> None:
    there("account", "anna")
    there("account", "bob")

    def change(path: str, frame: bytes) -> bytes:
        return frame.replace(b'"bob"', b'"anna"') if path == "pull-rows" else frame

    peer.change = change
    with pytest.raises(SyncError) as caught:
        pull.pull_data(SyncTrigger.FIRST, client=peer)  # type: ignore[arg-type]
    assert getattr(caught.value, "reason", "") == "row_unusable"
    assert not Account.objects.exists()


def test_a_reference_to_an_account_that_is_not_there_is_refused(peer: FakePeer, there: Callable[..., Any]) -> None:
    number = there("account", "anna")
    there(
        "run",
        "from appliances.models import *; from django.contrib.auth.models import *\n"
        "Account.objects.get().groups.add(Group.objects.create(name='g'))",
    )

    def change(path: str, frame: bytes) -> bytes:
        return frame.replace(b"\n[%d," % number, b"\n[%d," % (number + 7)) if b"Account_groups" in frame else frame

    peer.change = change
    with pytest.raises(SyncError) as caught:
        pull.pull_data(SyncTrigger.FIRST, client=peer)  # type: ignore[arg-type]
    assert getattr(caught.value, "reason", "") == "row_unusable"
    assert not Account.objects.exists()


def reads_whole(table: str, sql: str) -> bool:
    return sql.startswith("SELECT") and f'FROM "{table}"' in sql and "WHERE" not in sql and "COUNT(" not in sql


def test_while_others_cannot_write_only_what_differs_is_read(peer: FakePeer, there: Callable[..., Any]) -> None:
    for number in range(20):
        there("account", f"account{number}")
    pull.pull_data(SyncTrigger.FIRST, client=peer)  # type: ignore[arg-type]
    there("run", "from appliances.models import *; Account.objects.filter(username='account7').update(email='x')")
    locked_reads: list[str] = []
    free_reads: list[str] = []

    def watch(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if any(reads_whole(dataset.table, sql) for dataset in SETTINGS):
            is_locked = connection.in_atomic_block and getattr(connection, "transaction_mode", "") != "DEFERRED"
            (locked_reads if is_locked else free_reads).append(sql)
        return execute(sql, params, many, context)

    if connection.vendor != "sqlite":
        pytest.skip("on other databases a read keeps nobody from writing")
    with connection.execute_wrapper(watch):
        pull.pull_data(SyncTrigger.INTERVAL, client=peer)  # type: ignore[arg-type]
    assert locked_reads == []
    assert free_reads
    assert world.contents() == there("contents")


def test_settings_that_change_before_the_lock_is_taken_become_those_of_the_snapshot_all_the_same(
    peer: FakePeer, there: Callable[..., Any]
) -> None:
    there("account", "anna")
    there("account", "bob")
    pull.pull_data(SyncTrigger.FIRST, client=peer)  # type: ignore[arg-type]
    there("account", "carl")
    changed: list[str] = []

    def intrude(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        is_begin = sql.startswith("BEGIN IMMEDIATE")
        run = SyncRun.objects.filter(status="running").first() if is_begin and not changed else None
        if run is not None and run.stage == SyncStage.APPLYING:
            changed.append(sql)
            with settings_open():
                Account.objects.filter(username="anna").update(email="intruder@example.com")
        return execute(sql, params, many, context)

    if connection.vendor != "sqlite":
        pytest.skip("shows the moment before the lock by the statement of SQLite")
    with connection.execute_wrapper(intrude):
        pull.pull_data(SyncTrigger.INTERVAL, client=peer)  # type: ignore[arg-type]
    assert changed
    assert world.contents() == there("contents")
    assert sorted(Account.objects.values_list("username", "email")) == [("anna", ""), ("bob", ""), ("carl", "")]


def test_what_stops_before_it_deletes_what_was_added_meanwhile_is_shown(
    peer: FakePeer, there: Callable[..., Any]
) -> None:
    there("account", "anna")
    pull.pull_data(SyncTrigger.FIRST, client=peer)  # type: ignore[arg-type]
    there("account", "bob")
    added: list[str] = []

    def intrude(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        is_begin = sql.startswith("BEGIN IMMEDIATE")
        run = SyncRun.objects.filter(status="running").first() if is_begin and not added else None
        if run is not None and run.stage == SyncStage.APPLYING:
            added.append(sql)
            with settings_open():
                for number in range(30):
                    Account.objects.create(username=f"added {number}")
        return execute(sql, params, many, context)

    if connection.vendor != "sqlite":
        pytest.skip("shows the moment before the lock by the statement of SQLite")
    with connection.execute_wrapper(intrude), pytest.raises(SyncRefused, match="30 of the 31 accounts"):
        pull.pull_data(SyncTrigger.INTERVAL, client=peer)  # type: ignore[arg-type]
    assert added
    assert BrakeStop.objects.get().what.startswith("30 of the 31 accounts")
    assert Account.objects.filter(username__startswith="added").count() == 30


def test_what_is_replaced_is_kept_first_and_the_version_of_a_role_change_apart(
    peer: FakePeer, there: Callable[..., Any]
) -> None:
    def reasons() -> list[str]:
        return list(ConfigurationBackup.objects.order_by("made_at").values_list("reason", flat=True))

    ConfigurationBackup.objects.all().delete()
    with settings_open():
        Account.objects.create(username="own")
    there("account", "anna")
    pull.pull_data(SyncTrigger.FIRST, client=peer)  # type: ignore[arg-type]
    assert reasons() == ["founding"]
    pull.pull_data(SyncTrigger.INTERVAL, client=peer)  # type: ignore[arg-type]
    assert reasons() == ["founding"]  # nothing was replaced
    there("account", "bob")
    pull.pull_data(SyncTrigger.INTERVAL, client=peer)  # type: ignore[arg-type]
    assert reasons() == ["founding", "data_sync"]
    # It was primary meanwhile: what it holds is no copy of anything.
    with settings_open():
        Account.objects.filter(username="bob").update(email="bob@example.com")
    RoleJournal.objects.update(head_seq=F("head_seq") + 1)
    there("account", "carl")
    there("account", "dora")
    pull.pull_data(SyncTrigger.INTERVAL, client=peer)  # type: ignore[arg-type]
    assert reasons() == ["founding", "data_sync", "role_change"]
    first = ConfigurationBackup.objects.earliest("made_at")
    assert [row[1] for row in backups.read(first)["appliances.Account"]] == ["own"]


def test_a_version_that_cannot_be_kept_is_not_replaced(
    peer: FakePeer, there: Callable[..., Any], settings: Settings, tmp_path: Path
) -> None:
    there("account", "anna")
    with settings_open():
        Account.objects.create(username="own")
    (tmp_path / "configuration-backups").write_text("in the way")
    settings.DATA_DIR = tmp_path
    with pytest.raises(NotStored):
        pull.pull_data(SyncTrigger.FIRST, client=peer)  # type: ignore[arg-type]
    assert [account.username for account in Account.objects.all()] == ["own"]
