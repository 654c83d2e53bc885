"""Each refusal that the protocol knows has a text, says what to do, and is provoked here or in test_refusals.py."""

from __future__ import annotations

import dataclasses
import errno
import sqlite3
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError

from appliances import disk
from appliances.choices import SyncStatus, SyncTrigger
from appliances.models import FailoverRelationship, SupportSession
from sync import peer_views
from sync.datasync import failures, lease
from sync.datasync.refusals import SENTENCES
from sync.errors import SyncError, code_of
from sync.models import StatusEvent, SyncRun
from sync.rules.snapshot import Refusal
from tests.fakes import FakePeer
from tests.sync.datasync import world
from tests.sync.datasync.test_pull import There, sync
from tests.sync.datasync.test_refusals import refused

WITHOUT_REMEDY = {Refusal.OPERATION_GONE}  # nothing is to be done


def test_each_has_a_text_and_says_what_to_do() -> None:
    assert set(SENTENCES) == set(Refusal)
    assert all(text.endswith(".") for text, _ in SENTENCES.values())
    assert {refusal for refusal, (_, remedy) in SENTENCES.items() if not remedy} == WITHOUT_REMEDY
    texts = [text for text, _ in SENTENCES.values()]
    assert len(set(texts)) == len(texts)


def code_of_last(peer: FakePeer) -> str:
    with pytest.raises(SyncError) as told:
        sync(peer)
    run = SyncRun.objects.order_by("-started_at").first()
    assert run is not None
    assert run.status == SyncStatus.REFUSED
    assert run.code == code_of(told.value)
    assert SENTENCES[Refusal(run.code)][0] in run.message
    return run.code


def test_without_a_relationship(peer: FakePeer) -> None:
    peer.before = lambda _: FailoverRelationship.objects.all().delete() and None  # left at this very moment
    assert code_of_last(peer) == "no_relationship"


def test_while_another_one_runs(peer: FakePeer) -> None:
    held = lease.claim(SyncTrigger.INTERVAL)
    with pytest.raises(SyncError) as told:
        sync(peer)
    assert code_of(told.value) == "already_running"
    lease.end(held, SyncStatus.SUCCESS)
    assert sync(peer).status == SyncStatus.SUCCESS


def test_a_manifest_that_is_too_long(peer: FakePeer, there: There) -> None:
    limit = "from sync.datasync import export; export.MAX_MESSAGE_BYTES = {}"
    there("run", limit.format(100))
    try:
        refused(peer, "manifest_too_large")
    finally:
        there("run", limit.format(1 << 20))
    assert not there("run", "from sync.datasync import snapshots; result = snapshots.are_there()")


@pytest.mark.parametrize("path", ["pull-rows", "pull-blobs", "push-append"])
def test_a_snapshot_that_is_gone(peer: FakePeer, there: There, path: str) -> None:
    there("store_file", "a", b"a")
    world.event("ours")
    gone = "from sync.datasync import snapshots; snapshots.remove_pulled()"
    peer.before = lambda asked: there("run", gone) if asked == path else None
    assert code_of_last(peer) == "snapshot_gone"
    peer.before = lambda _: None
    assert sync(peer).status == SyncStatus.SUCCESS


def test_a_row_that_is_too_large(peer: FakePeer, there: There) -> None:
    there("event", "x" * 17_000_000)
    refused(peer, "row_too_large")


def test_tables_that_are_not_as_the_manifest_lists_them(peer: FakePeer, there: There) -> None:
    there("account", "anna")

    def other(reply: Any) -> Any:
        if not hasattr(reply, "settings"):
            return reply
        tables = [dataclasses.replace(t, digest="0" * 64) if t.rows else t for t in reply.settings]
        return dataclasses.replace(reply, settings=tables)

    peer.reply = other
    refused(peer, "digest_mismatch")


def test_logs_that_do_not_agree_in_the_end(peer: FakePeer, there: There) -> None:
    there("event", "one")

    def other(reply: Any) -> Any:
        if not hasattr(reply, "settings"):
            return reply
        return dataclasses.replace(reply, marks=[dataclasses.replace(m, digest="0" * 64) for m in reply.marks])

    peer.reply = other
    assert code_of_last(peer) == "append_only_differs"
    peer.reply = lambda reply: reply
    assert sync(peer).status == SyncStatus.SUCCESS


def test_a_password_that_the_primary_cannot_open(peer: FakePeer, there: There) -> None:
    there("run", "from appliances.models import *; EmailConfiguration.load()")
    there("run", "from appliances.models import *; EmailConfiguration.objects.update(sealed_password=b'x' * 40)")
    refused(peer, "secret_unreadable")


def test_a_primary_without_room_for_what_only_the_backup_holds(peer: FakePeer, there: There) -> None:
    world.recording("ours", b"recorded")
    there("run", "from appliances import disk; disk.Room.real = disk.Room.lacks; disk.Room.lacks = lambda *a, **b: 'x'")
    try:
        assert code_of_last(peer) == "no_space_there"
    finally:
        there("run", "from appliances import disk; disk.Room.lacks = disk.Room.real")
    assert sync(peer).status == SyncStatus.SUCCESS


def test_a_disk_that_fills_while_rows_come_ends_it_before_it_is_full(
    peer: FakePeer, there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    there("event", "x" * 5_000_000)
    there("recording", "r", b"recorded")
    monkeypatch.setattr(disk, "lacks", lambda size_bytes=0: "5 MiB are free.")
    refused(peer, "no_space")
    monkeypatch.undo()
    assert sync(peer).status == SyncStatus.SUCCESS


def test_a_nearly_full_disk_takes_what_frees_it_and_what_is_small(
    peer: FakePeer, there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = there("whole_session", "old")
    sync(peer)
    there("delete_session", key)
    there("account", "anna")
    there("event", "text")
    monkeypatch.setattr(disk, "lacks", lambda size_bytes=0: "5 MiB are free.")
    assert sync(peer).status == SyncStatus.SUCCESS
    assert not SupportSession.objects.exists()
    assert world.contents() == there("contents")


def test_a_data_sync_that_moves_nothing_needs_no_room(
    peer: FakePeer, there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(peer)
    monkeypatch.setattr(disk, "lacks", lambda size_bytes=0: "5 MiB are free.")
    assert sync(peer).status == SyncStatus.SUCCESS


def test_clocks_a_day_apart_are_told_of_and_refuse_nothing(peer: FakePeer) -> None:
    day_and_more = 25 * 3600
    peer.reply = lambda reply: (
        dataclasses.replace(reply, clock=reply.clock + day_and_more) if hasattr(reply, "clock") else reply
    )
    for _ in range(2):
        assert sync(peer, SyncTrigger.INTERVAL).status == SyncStatus.SUCCESS
    assert StatusEvent.objects.filter(event="clocks_differ").count() == 1


class SqlState(Exception):
    def __init__(self, state: str) -> None:
        self.sqlstate = state


def sqlite(name: str) -> Exception:
    error = sqlite3.OperationalError(name)
    error.sqlite_errorname = name
    return error


def caused(kind: type[Exception], cause: Exception) -> Any:
    error = kind("text of the driver")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "x"), "disk_full"),
        (OSError(errno.EDQUOT, "x"), "disk_full"),
        (OSError(errno.EIO, "x"), "disk_error"),
        (OSError(errno.EROFS, "x"), "disk_error"),
        (OSError(errno.EACCES, "x"), "not_stored"),
        (caused(OperationalError, sqlite("SQLITE_FULL")), "disk_full"),
        (caused(OperationalError, sqlite("SQLITE_IOERR_WRITE")), "disk_error"),
        (caused(DatabaseError, sqlite("SQLITE_CORRUPT")), "disk_error"),
        (caused(OperationalError, SqlState("53100")), "disk_full"),
        (caused(OperationalError, SqlState("58030")), "disk_error"),
        (caused(OperationalError, SqlState("57P01")), "database_gone"),
        (InterfaceError("connection already closed"), "database_gone"),
        (IntegrityError("x"), "not_stored"),
    ],
)
def test_what_failed_is_said_with_what_to_do(error: Any, code: str) -> None:
    failure = failures.not_stored(error)
    assert code_of(failure) == code
    assert failure.message.startswith(("The disk of", "The database of", "This appliance could"))
    assert failure.remedy.endswith(".")


def test_a_primary_whose_disk_is_full_says_so_to_the_backup() -> None:
    refusal, status = peer_views._refusal_of(OSError(errno.ENOSPC, "No space left on device"))
    assert (refusal.code, status) == ("peer_disk_full", 507)
    assert "disk of the peer is full" in refusal.message
    refusal, status = peer_views._refusal_of(OperationalError("gone"))
    assert (refusal.code, status) == ("no_database", 503)
