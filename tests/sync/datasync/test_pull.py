"""A data-sync between two real databases and stores."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone

from appliances import blobs
from appliances.choices import SyncStatus, SyncTrigger
from appliances.models import (
    Account,
    Appliance,
    BackupSettings,
    EmailConfiguration,
    FileStoreFile,
    SessionEvent,
    SupportSession,
)
from sync import journal
from sync.datasync import pull, send
from sync.datasync.registry import NODE_LOCAL
from sync.errors import PeerSilent, SyncError
from sync.models import StatusEvent, SyncRun
from sync.rules.facts import Head
from tests.fakes import FakePeer
from tests.sync.datasync import world
from tests.sync.pairs import settings_open

There = Callable[..., Any]
COUNTED = "from appliances.models import {0}; result = {0}.objects.count()"


def sync(peer: FakePeer, trigger: SyncTrigger = SyncTrigger.SYNC_NOW) -> SyncRun:
    return pull.pull_data(trigger, client=peer)  # type: ignore[arg-type]


def both_hold_the_same(there: There) -> None:
    assert world.contents() == there("contents")
    assert world.blob_ids() == there("blob_ids")


def test_everything_of_the_primary_arrives_exactly(peer: FakePeer, there: There) -> None:
    there("account", "anna")
    there("account", "bob")
    there("store_file", "a.txt", b"content")
    there("store_file", "empty", b"")
    there("recording", "r", b"x" * 3_000_000)
    there("support_session", "Carol")
    there("event", "y" * 3_000_000)
    there("events", 2500)

    run = sync(peer)

    assert run.status == SyncStatus.SUCCESS
    both_hold_the_same(there)
    assert journal.read().initialised
    assert journal.read().head == Head(*there("head"))
    assert (run.rows_done, run.blobs_done) == (2 + 2 + 1 + 1 + 1 + 2500, 3)
    assert there(
        "run",
        "from sync.models import *; from appliances.models import *; "
        "result = FailoverRelationship.objects.get().last_pulled_at is not None",
    )


def test_when_nothing_changed_one_exchange_is_enough(peer: FakePeer, there: There) -> None:
    there("account", "anna")
    there("event", "text")
    sync(peer)
    peer.asked.clear()
    run = sync(peer, SyncTrigger.INTERVAL)
    assert peer.asked == ["pull-begin"]
    assert (run.status, run.rows_done, run.bytes_done) == (SyncStatus.SUCCESS, 0, 0)
    assert run.reflects_at is not None


def test_logs_and_recordings_are_united_in_both_directions(peer: FakePeer, there: There) -> None:
    there("events", 30)
    there("recording", "there", b"recorded there")
    world.events(2100)
    world.recording("here", b"recorded here")
    world.support_session("here")
    world.support_session("here, still open", False)

    run = sync(peer)

    assert (run.rows_sent, run.blobs_sent) == (2102, 1)
    assert SupportSession.objects.filter(seq=None).count() == 1
    SupportSession.objects.filter(seq=None).delete()
    both_hold_the_same(there)
    assert SessionEvent.objects.count() == 2130

    there("events", 5)
    world.events(7)
    run = sync(peer)
    assert (run.rows_done, run.rows_sent) == (5, 7)
    both_hold_the_same(there)


def test_rows_with_large_texts_go_up_in_pushes_that_memory_holds(peer: FakePeer, there: There) -> None:
    for _ in range(5):
        world.event("z" * 3_000_000)
    sizes: list[int] = []

    def count(path: str, frame: bytes) -> bytes:
        if path == "push-append" and frame.startswith(b'{"push"'):
            sizes.append(0)
        elif path == "push-append":
            sizes[-1] += len(frame)
        return frame

    peer.change = count
    sync(peer)
    assert len(sizes) == 2
    assert max(sizes) < send.PUSH_ROW_BYTES + 3_100_000
    both_hold_the_same(there)


def test_what_the_primary_removed_or_changed_is_removed_or_changed_here(peer: FakePeer, there: There) -> None:
    for name in ("anna", "bob", "carol"):
        there("account", name)
    there("store_file", "old.txt", b"old")
    sync(peer)
    there(
        "run",
        "from appliances.models import *; Account.objects.get(username='bob').delete(); "
        "Account.objects.filter(username='carol').update(username='x'); "
        "Account.objects.filter(username='anna').update(username='carol'); "
        "Account.objects.filter(username='x').update(username='anna'); "
        "FileStoreFile.objects.all().delete()",
    )
    sync(peer)
    both_hold_the_same_settings(there)
    assert sorted(Account.objects.values_list("username", flat=True)) == ["anna", "carol"]
    assert not FileStoreFile.objects.exists()


def both_hold_the_same_settings(there: There) -> None:
    assert world.contents() == there("contents")


def test_a_row_added_here_is_replaced_and_new_rows_are_numbered_above_those_copied(
    peer: FakePeer, there: There
) -> None:
    numbers = [there("account", f"user{n}") for n in range(5)]
    with settings_open():
        world.account("intruder")
    sync(peer)
    both_hold_the_same_settings(there)
    with settings_open():
        assert world.account("later") > max(numbers)


def test_deleting_an_account_keeps_the_history_and_ends_its_web_sessions(peer: FakePeer, there: There) -> None:
    number = there("account", "anna")
    there("account", "bob")
    there("events", 3)
    sync(peer)
    anna = Account.objects.get(pk=number)
    LogEntry.objects.create(user=anna, object_repr="x", action_flag=1)
    for account in Account.objects.all():
        store = SessionStore()
        store["_auth_user_id"] = str(account.pk)
        store.create()
    there("run", "from appliances.models import *; Account.objects.get(username='anna').delete()")
    sync(peer)
    assert not Account.objects.filter(username="anna").exists()
    assert not LogEntry.objects.exists()
    assert SessionEvent.objects.count() == 3
    assert [store.get_decoded()["_auth_user_id"] for store in Session.objects.all()] == [str(Account.objects.get().pk)]


def test_what_is_local_stays_byte_for_byte(peer: FakePeer, there: There) -> None:
    from django.apps import apps

    there("account", "anna")
    there("events", 3)
    sync(peer)
    anna = Account.objects.get()
    logged_in = timezone.now()
    Account.objects.update(last_login=logged_in)
    LogEntry.objects.create(user=anna, object_repr="x", action_flag=1)
    BackupSettings.objects.create(data_sync_interval=dt.timedelta(minutes=7))
    moving = {
        "sync.RoleJournal",
        "sync.SyncRun",
        "sync.StatusEvent",
        "sync.SealedMark",
        "sync.SealedDay",
        "sync.SettingsDigest",
        "sync.Nonce",
    }
    moving.add("sync.ConfigurationBackup")  # one is saved before each replacement

    def local() -> dict[str, list[Any]]:
        labels = sorted(set(NODE_LOCAL) - moving)
        return {label: list(apps.get_model(label)._base_manager.order_by("pk").values_list()) for label in labels}

    before = local()
    there("run", "from appliances.models import *; Account.objects.update(email='new@example.com')")
    there("account", "bob")
    there("events", 3)
    sync(peer)
    assert local() == before
    anna.refresh_from_db()
    assert (anna.email, anna.last_login) == ("new@example.com", logged_in)


def test_a_password_is_sealed_with_the_key_of_each_appliance(peer: FakePeer, there: There) -> None:
    there("run", "from appliances.models import *; c = EmailConfiguration.load(); c.password = 'hunter2'; c.save()")
    seen: list[bytes] = []

    def look(path: str, frame: bytes) -> bytes:
        seen.append(frame)
        return frame

    peer.change = look
    sync(peer)
    assert EmailConfiguration.objects.get().password == "hunter2"
    assert not [frame for frame in seen if b"hunter2" in frame]
    sealed = "from appliances.models import *; result = bytes(EmailConfiguration.objects.get().sealed_password)"
    assert bytes(EmailConfiguration.objects.get().sealed_password) != there("run", sealed)
    peer.asked.clear()
    sync(peer)
    assert peer.asked == ["pull-begin"]


def test_permissions_arrive_though_their_numbers_differ(peer: FakePeer, there: There) -> None:
    there(
        "run",
        "from django.contrib.auth.models import *; p = Permission.objects.get(codename='switch_roles'); "
        "old = p.pk; p.pk = 990; p.codename = 'other'; p.save(); Permission.objects.filter(pk=old).delete(); "
        "Permission.objects.filter(pk=990).update(codename='switch_roles'); "
        "g = Group.objects.create(name='staff'); g.permissions.add(990)",
    )
    there(
        "run",
        "from appliances.models import *; a = Account.objects.create(username='a'); a.groups.add(1); "
        "a.user_permissions.add(990)",
    ) if there(
        "run", "from django.contrib.auth.models import *; result = Group.objects.filter(pk=1).exists()"
    ) else None
    sync(peer)
    [permission] = Group.objects.get().permissions.all()
    assert permission.codename == "switch_roles"
    assert permission.pk != 990
    assert Permission.objects.filter(pk=permission.pk).exists()


def test_blobs_that_are_here_are_not_fetched_again(peer: FakePeer, there: There) -> None:
    there("store_file", "a", b"a" * 1000)
    there("recording", "b", b"b" * 1000)
    blobs.store([b"a" * 1000])
    assert sync(peer).blobs_done == 1
    there("store_file", "c", b"b" * 1000)
    assert sync(peer).blobs_done == 0


def test_a_new_session_store_row_is_not_read_below_the_mark_twice(peer: FakePeer, there: There) -> None:
    there("events", 1500)
    sync(peer)
    there("events", 1)
    assert sync(peer).rows_done == 1


# --- the way is cut ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut_after", [0, 1, 2, 3, 4, 5, 6])
def test_a_cut_at_any_frame_leaves_the_old_settings_and_the_next_run_completes(
    peer: FakePeer, there: There, cut_after: int
) -> None:
    there("account", "anna")
    sync(peer)
    before = world.contents()["appliances.Account"]
    there("account", "bob")
    there("store_file", "a", b"a" * 1_500_000)
    there("recording", "b", b"b" * 1_500_000)
    world.recording("c", b"c" * 1000)
    peer.frames, peer.cut_after = 0, cut_after

    with pytest.raises(SyncError):
        sync(peer)

    assert world.contents()["appliances.Account"] == before
    assert not FileStoreFile.objects.exists()
    run = SyncRun.objects.first()
    assert run is not None
    assert (run.status, run.code) == (SyncStatus.FAILED, "peer_silent")
    peer.cut_after = None
    sync(peer)
    both_hold_the_same(there)


def test_what_arrived_before_a_cut_is_not_sent_again(peer: FakePeer, there: There) -> None:
    for n in range(20):
        there("store_file", f"file{n}", bytes([n]) * 200_000)
    peer.cut_after = 15
    with pytest.raises(SyncError):
        sync(peer)
    peer.cut_after = None
    arrived = len(world.blob_ids())
    assert arrived > 0
    assert sync(peer).blobs_done == 20 - arrived


def test_a_damaged_blob_is_fetched_again_and_refused_the_second_time(peer: FakePeer, there: There) -> None:
    there("store_file", "a", b"a" * 1000)
    harm = {"left": 1}

    def change(path: str, frame: bytes) -> bytes:
        if path == "pull-blobs" and harm["left"]:
            harm["left"] -= 1
            return frame[:-1] + b"b"
        return frame

    peer.change = change
    sync(peer)
    both_hold_the_same(there)
    there("store_file", "c", b"c" * 1000)
    harm["left"] = 2
    with pytest.raises(SyncError):
        sync(peer)
    assert FileStoreFile.objects.count() == 1
    assert SyncRun.objects.first().code == "blob_corrupt"  # type: ignore[union-attr]


def test_a_blob_missing_on_the_primary_is_named(peer: FakePeer, there: There) -> None:
    blob_id = there("store_file", "a", b"a" * 1000)
    there("run", f"from appliances import blobs; blobs.path('{blob_id}').unlink()")
    with pytest.raises(SyncError, match=blob_id):
        sync(peer)
    assert not FileStoreFile.objects.exists()


@pytest.mark.parametrize("position", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
def test_changed_rows_never_half_apply(peer: FakePeer, there: There, position: float) -> None:
    """The wire proves each frame; whatever came through it all the same is stopped by types and digests."""
    there("account", "anna")
    there("store_file", "a", b"a")
    before = world.contents()

    def change(path: str, frame: bytes) -> bytes:
        if path != "pull-rows":
            return frame
        place = int(position * (len(frame) - 1))
        return frame[:place] + bytes([frame[place] ^ 1]) + frame[place + 1 :]

    peer.change = change
    with pytest.raises(SyncError):
        sync(peer)
    assert world.contents() == before
    assert not journal.read().initialised


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("is_one_origin", [False, True])
def test_one_id_with_two_contents_raises_the_alarm_and_both_keep_both(
    peer: FakePeer, there: There, swapped: bool, is_one_origin: bool
) -> None:
    ours, theirs = ("b", "a") if swapped else ("a", "b")
    row_id = there("event", theirs)
    if is_one_origin:  # what was synchronised is damaged here, in its row and so in its mark
        sync(peer)
        world.damage(row_id, ours)
    else:
        world.event(ours, row_id)
    there("account", "anna")

    assert sync(peer).status == SyncStatus.SUCCESS

    assert sorted(SessionEvent.objects.values_list("text", flat=True)) == ["a", "b"]
    both_hold_the_same(there)
    both = StatusEvent.objects.filter(event="corruption").first(), there("run", ALARM)
    told = [alarm for alarm in (both[0] and both[0].evidence, both[1]) if alarm]
    assert told
    assert all(row_id in alarm["ids"][0].replace("-", "") for alarm in told)
    assert Account.objects.filter(username="anna").exists()
    assert sync(peer).rows_done == 0


ALARM = (
    "from sync.models import *; e = StatusEvent.objects.filter(event='corruption').first(); result = e and e.evidence"
)


def test_a_recording_with_two_contents_is_kept_twice_with_its_bytes(peer: FakePeer, there: There) -> None:
    row_id = there("recording_of", b"theirs")
    world.recording_of(b"ours", row_id)
    assert sync(peer).status == SyncStatus.SUCCESS
    both_hold_the_same(there)
    assert len(world.blob_ids()) == 2


def test_rows_numbered_twice_after_a_restore_are_united(peer: FakePeer, there: There) -> None:
    world.events(3)
    sync(peer)
    SessionEvent.objects.all().delete()
    from sync.models import SealedDay, SealedMark

    SealedMark.objects.all().delete()
    SealedDay.objects.all().delete()
    world.events(3)
    sync(peer)
    assert SessionEvent.objects.count() == 6
    both_hold_the_same(there)
    there("event", "and on")
    world.event("and on")
    sync(peer)
    both_hold_the_same(there)
    assert Appliance.objects.get().guid == world.GUIDS["backup"]


def test_an_error_nobody_foresaw_ends_the_run_too(peer: FakePeer) -> None:
    def fail(path: str) -> None:
        raise KeyError(path)

    peer.before = fail
    with pytest.raises(KeyError):
        sync(peer)
    assert not pull.is_running()
    assert SyncRun.objects.get().code == "internal_error"


MIB = 1 << 20


def test_a_large_file_goes_on_where_a_cut_ended_the_last_attempt(peer: FakePeer, there: There) -> None:
    content = random.Random(3).randbytes(12 * MIB)
    there("store_file", "a", content)
    came: list[int] = []

    def count(path: str, frame: bytes) -> bytes:
        if path == "pull-blobs":
            came.append(len(frame))
        return frame

    peer.change, peer.cut_after = count, 9
    with pytest.raises(SyncError):
        sync(peer)
    assert world.blob_ids() == []
    first, peer.cut_after = sum(came), None
    assert first > 6 * MIB
    sync(peer)
    assert sum(came) < 12 * MIB + 64 * 1024
    both_hold_the_same(there)


def test_a_large_recording_goes_up_where_a_cut_ended_the_last_attempt(peer: FakePeer, there: There) -> None:
    content = random.Random(6).randbytes(12 * MIB)
    sync(peer)
    world.recording("long", content)
    world.recording("short", b"short")
    sent: list[int] = []

    def count(path: str, frame: bytes) -> bytes:
        if path == "push-append":
            sent.append(len(frame))
        return frame

    peer.change, peer.cut_after = count, peer.frames + 9
    with pytest.raises(SyncError):
        sync(peer)
    first, peer.cut_after = sum(sent), None
    assert first > 6 * MIB
    sync(peer)
    assert sum(sent) < 12 * MIB + 64 * 1024
    both_hold_the_same(there)


def test_a_recording_that_the_primary_has_already_does_not_go_up(peer: FakePeer, there: There) -> None:
    content = random.Random(7).randbytes(9 * MIB)
    there("store_file", "the same", content)
    sync(peer)
    world.recording("long", content)
    peer.change = lambda path, frame: frame if path != "push-append" or len(frame) < 1000 else pytest.fail("it goes up")
    sync(peer)
    both_hold_the_same(there)


def test_a_damaged_beginning_is_noticed_and_the_whole_file_comes_anew(peer: FakePeer, there: There) -> None:
    blob_id = there("store_file", "a", random.Random(4).randbytes(9 * MIB))
    peer.cut_after = 6
    with pytest.raises(SyncError):
        sync(peer)
    partial = Path(settings.STAGING_DIR) / f"partial-{blob_id}"
    with partial.open("r+b") as file:
        file.write(b"damaged")
    peer.cut_after = None
    sync(peer)
    both_hold_the_same(there)
    assert not partial.exists()


@pytest.mark.parametrize("again", [False, True], ids=["replaced", "deleted and added again"])
def test_of_a_changed_file_about_what_changed_is_sent(peer: FakePeer, there: There, again: bool) -> None:
    content = random.Random(5).randbytes(4 * MIB)
    there("store_file", "a", content)
    sync(peer)
    came: list[int] = []

    def count(path: str, frame: bytes) -> bytes:
        came.append(len(frame))
        return frame

    there("replace_file", "a", content[: 2 * MIB] + b"inserted" * 512 + content[2 * MIB :], again)
    peer.change = count
    sync(peer)
    assert sum(came) < 16 * 1024
    both_hold_the_same(there)


def test_a_changed_file_comes_whole_where_its_earlier_version_is_damaged_here(peer: FakePeer, there: There) -> None:
    content = random.Random(6).randbytes(3 * MIB)
    blob_id = there("store_file", "a", content)
    sync(peer)
    with blobs.path(blob_id).open("r+b") as file:
        file.write(b"damaged")
    there("replace_file", "a", content + b"more", False)
    sync(peer)
    assert FileStoreFile.objects.get().size_bytes == 3 * MIB + 4
    blobs.verify(FileStoreFile.objects.get().blob_id)


def test_after_a_primary_fell_silent_over_a_changed_file_it_is_asked_for_without_its_earlier_version(
    peer: FakePeer, there: There
) -> None:
    content = random.Random(5).randbytes(2 * MIB)
    there("store_file", "a", content)
    sync(peer)
    there("replace_file", "a", content + b"more", False)
    came: list[int] = []

    def silent(path: str, frame: bytes) -> bytes:
        if path == "pull-blobs":
            raise PeerSilent("nothing came")
        return frame

    peer.change = silent
    with pytest.raises(PeerSilent):
        sync(peer)
    peer.change = lambda path, frame: came.append(len(frame)) or frame  # type: ignore[func-returns-value]
    sync(peer)
    assert sum(came) > 2 * MIB
    both_hold_the_same(there)
