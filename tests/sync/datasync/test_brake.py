"""What would delete much stops, is shown, and goes on when exactly that was allowed."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.utils import timezone

from appliances.choices import BrakeSubject, ChangeKind, ChangeStatus, Role, State, SyncStatus
from appliances.models import Account, FileStoreFile, RetentionSettings, SupportSession
from sync import act, journal, role_changes
from sync.datasync import brake, pull, retention, send
from sync.errors import PeerSilent, SyncError, SyncRefused, code_of
from sync.models import BrakeStop, RoleChange, StatusEvent, SyncRun
from sync.peer.client import PeerClient
from sync.rules.brake import Removal, stopped
from sync.rules.events import BreakRelationship
from tests.fakes import FakePeer
from tests.sync.datasync import world
from tests.sync.datasync.test_pull import There, sync
from tests.sync.pairs import settings_open

WAITING = "from sync.models import *; from appliances.choices import *; from sync.datasync import brake"


def braked(peer: FakePeer) -> BrakeStop:
    before = world.contents()
    with pytest.raises(SyncError) as told:
        sync(peer)
    assert code_of(told.value) == "mass_deletion"
    assert world.contents() == before
    [found] = BrakeStop.waiting(Role.BACKUP)
    assert found.what in told.value.message
    return found


def test_a_data_sync_that_would_delete_most_accounts_and_files_waits_until_that_is_allowed(
    peer: FakePeer, there: There
) -> None:
    for number in range(8):
        there("account", f"user{number}")
        there("store_file", f"file {number}", bytes([number]))
    sync(peer)
    there("run", "from appliances.models import *; Account.objects.exclude(username='user0').delete()")
    there("run", "from appliances.models import *; FileStoreFile.objects.all().delete()")

    found = braked(peer)
    assert found.what == "7 of the 8 accounts and all 8 files"
    assert "user3" in found.names
    assert "file 3" in found.names
    again = braked(peer)
    assert again.fingerprint == found.fingerprint
    assert StatusEvent.objects.filter(event="brake.stopped").count() == 1

    brake.allow(found.fingerprint, "anna")
    assert sync(peer).status == SyncStatus.SUCCESS
    both_hold_the_same_settings(there)
    assert Account.objects.count() == 1
    assert not FileStoreFile.objects.exists()
    assert not BrakeStop.objects.exists()


def both_hold_the_same_settings(there: There) -> None:
    assert world.contents() == there("contents")


def test_a_planned_swap_that_meets_the_brake_is_given_up_and_says_why(
    peer: FakePeer, there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        there("account", f"user{number}")
    sync(peer)
    there("run", "from appliances.models import *; Account.objects.exclude(username='user0').delete()")
    monkeypatch.setattr(PeerClient, "to_peer", lambda *_, **__: peer)
    change = RoleChange.objects.create(
        kind=ChangeKind.SWITCHOVER, target_role=Role.PRIMARY, want_final_sync=True, requested_by="anna"
    )
    role_changes.drive(change.pk)
    change.refresh_from_db()
    assert change.status == ChangeStatus.CANCELLED
    assert "It would delete 7 of the 8 accounts." in change.reason
    assert "allow exactly that there" in change.reason
    assert journal.read().state == State.B_IDLE
    assert "handover" not in peer.asked


def test_what_was_allowed_is_exactly_that(peer: FakePeer, there: There) -> None:
    for number in range(9):
        there("account", f"user{number}")
    sync(peer)
    there("run", "from appliances.models import *; Account.objects.exclude(username__in=['user0', 'user1']).delete()")
    found = braked(peer)
    brake.allow(found.fingerprint, "anna")
    there("run", "from appliances.models import *; Account.objects.filter(username='user1').delete()")
    other = braked(peer)
    assert other.fingerprint != found.fingerprint
    with pytest.raises(SyncRefused, match="changed meanwhile"):
        brake.allow(found.fingerprint, "anna")
    brake.allow(other.fingerprint, "anna")
    sync(peer)
    assert list(Account.objects.values_list("username", flat=True)) == ["user0"]


def test_what_a_cut_left_of_an_allowed_deletion_needs_no_second_leave(peer: FakePeer, there: There) -> None:
    for number in range(12):
        there("account", f"user{number}")
    sync(peer)
    there("run", "from appliances.models import *; Account.objects.exclude(username='user0').delete()")
    brake.allow(braked(peer).fingerprint, "anna")
    with settings_open():
        Account.objects.filter(username__in=["user1", "user2"]).delete()
    assert sync(peer).status == SyncStatus.SUCCESS
    assert list(Account.objects.values_list("username", flat=True)) == ["user0"]


def test_an_allowed_deletion_is_taken_back_and_waits_again(peer: FakePeer, there: There) -> None:
    for number in range(8):
        there("account", f"user{number}")
    sync(peer)
    there("run", "from appliances.models import *; Account.objects.exclude(username='user0').delete()")
    found = braked(peer)
    brake.allow(found.fingerprint, "anna")
    assert not BrakeStop.waiting(Role.BACKUP)
    assert [stop.allowed_by for stop in BrakeStop.of_role(Role.BACKUP)] == ["anna"]
    brake.take_back(found.fingerprint, "bert")
    assert StatusEvent.objects.filter(event="brake.taken_back", sentence__startswith="bert took back").exists()
    assert braked(peer).fingerprint == found.fingerprint
    with pytest.raises(SyncRefused, match="taken back"):
        brake.take_back(found.fingerprint, "bert")


def test_a_founding_that_went_the_wrong_way_round_deletes_nothing(peer: FakePeer) -> None:
    with settings_open():
        for number in range(6):
            world.account(f"user{number}")
    found = braked(peer)
    assert found.what == "all 6 accounts"
    assert Account.objects.count() == 6


def test_other_accounts_and_groups_under_the_same_numbers_are_deletions_too(peer: FakePeer, there: There) -> None:
    with settings_open():
        for number in range(1, 7):
            world.account(f"ours{number}", {"id": number})
            Group.objects.create(id=number, name=f"group {number}")
    for number in range(1, 7):
        there("account", f"theirs{number}", {"id": number})
        there("run", f"from django.contrib.auth.models import *; Group.objects.create(id={number}, name='g{number}')")
    found = braked(peer)
    assert found.what == "all 6 groups and all 6 accounts"
    assert {"ours3", "group 3"} <= set(found.names)

    brake.allow(found.fingerprint, "anna")
    sync(peer)
    both_hold_the_same_settings(there)


def test_accounts_that_are_renamed_are_still_there(peer: FakePeer, there: There) -> None:
    for number in range(8):
        there("account", f"user{number}")
    sync(peer)
    there(
        "run",
        "from appliances.models import *\nfor account in Account.objects.all():\n"
        "    account.username += 'x'\n    account.save()",
    )
    sync(peer)
    both_hold_the_same_settings(there)


def test_few_of_many_and_few_at_all_need_no_leave(peer: FakePeer, there: There) -> None:
    with settings_open():
        world.account("admin")  # as each new appliance has one
    for number in range(20):
        there("account", f"user{number}")
    sync(peer)
    there("run", "from appliances.models import *; [a.delete() for a in Account.objects.all()[:6]]")
    sync(peer)
    assert Account.objects.count() == 14


def test_deletions_of_sessions_that_come_from_the_peer_wait_too(peer: FakePeer, there: There) -> None:
    keys = [there("whole_session", f"session {number}") for number in range(25)]
    sync(peer)
    for key in keys[:20]:
        there("delete_session", key)
    found = braked(peer)
    assert found.subject == BrakeSubject.RECORDS
    assert found.what == "20 of the 25 support sessions and 20 of the 25 recordings"
    brake.allow(found.fingerprint, "anna")
    sync(peer)
    assert SupportSession.objects.count() == 5
    both_hold_the_same_settings(there)


def test_deletions_of_sessions_that_the_backup_sends_up_wait_on_the_primary(peer: FakePeer, there: There) -> None:
    keys = [there("whole_session", f"session {number}") for number in range(25)]
    there("account", "anna")
    sync(peer)
    before = there("contents")
    for key in keys[:20]:
        world.delete_session(key)
    for _ in range(2):
        with pytest.raises(SyncError) as told:
            sync(peer)
        assert code_of(told.value) == "mass_deletion_there"
    assert "20 of the 25 support sessions" in told.value.message
    assert SyncRun.objects.latest("started_at").status == SyncStatus.REFUSED
    assert there("contents") == before

    names = f"{WAITING}\n"
    waiting = there("run", names + "result = [s.fingerprint for s in BrakeStop.waiting(Role.PRIMARY)]")
    assert len(waiting) == 1
    there("run", names + f"brake.allow('{waiting[0]}', 'anna')")
    assert sync(peer).status == SyncStatus.SUCCESS
    both_hold_the_same_settings(there)
    assert SupportSession.objects.count() == 5
    assert not there("run", names + "result = BrakeStop.objects.exists()")


def test_a_mass_deletion_does_not_pass_in_portions(
    peer: FakePeer, there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [there("support_session", f"session {number}") for number in range(25)]
    sync(peer)
    before = there("contents")
    for key in keys[:20]:
        world.delete_session(key)
    monkeypatch.setattr(send, "PUSH_ROWS", 5)
    with pytest.raises(SyncError) as told:
        sync(peer)
    assert code_of(told.value) == "mass_deletion_there"
    assert "20 of the 25 support sessions" in told.value.message
    assert there("contents") == before
    there("run", f"{WAITING}; brake.allow(BrakeStop.waiting(Role.PRIMARY)[0].fingerprint, 'anna')")
    peer.asked.clear()
    assert sync(peer).status == SyncStatus.SUCCESS
    assert peer.asked.count("push-append") == 4
    both_hold_the_same_settings(there)


def test_deletions_that_were_allowed_and_cut_go_on_without_a_second_leave(
    peer: FakePeer, there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a push deletes nothing, because the primary never had what its tombstones name."""
    keys = [there("support_session", f"session {number}") for number in range(60)]
    sync(peer)
    for number in range(5):
        world.delete_session(world.whole_session(f"never there {number}"))
    for key in keys[:50]:
        world.delete_session(key)
    monkeypatch.setattr(send, "PUSH_ROWS", 5)
    with pytest.raises(SyncError):
        sync(peer)
    there("run", f"{WAITING}; brake.allow(BrakeStop.waiting(Role.PRIMARY)[0].fingerprint, 'anna')")
    pushes: list[bytes] = []

    def cut(path: str, frame: bytes) -> bytes:
        if path == "push-append" and frame.startswith(b'{"push"'):
            pushes.append(frame)
            if len(pushes) == 3:
                raise PeerSilent("cut")
        return frame

    peer.change = cut
    with pytest.raises(PeerSilent):
        sync(peer)
    assert SupportSession.objects.count() == 10
    assert there("run", "from appliances.models import *; result = SupportSession.objects.count()") == 55
    peer.change = lambda path, frame: frame
    assert sync(peer).status == SyncStatus.SUCCESS
    both_hold_the_same_settings(there)


def test_tombstones_that_nobody_asked_about_first_meet_the_brake_by_themselves(
    peer: FakePeer, there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [there("support_session", f"session {number}") for number in range(25)]
    sync(peer)
    monkeypatch.setattr(pull, "ask_deletions", lambda *_: None)
    for key in keys[:20]:
        world.delete_session(key)
    with pytest.raises(SyncError) as told:
        sync(peer)
    assert code_of(told.value) == "mass_deletion_there"


@pytest.mark.django_db
def test_what_waits_is_forgotten_when_the_role_changes() -> None:
    world.set_up("backup")
    for subject in BrakeSubject:
        brake.stop(subject, "ab" * 32, "all 9 accounts")
    assert {stop.subject for stop in BrakeStop.waiting(Role.BACKUP)} == {BrakeSubject.SETTINGS, BrakeSubject.RECORDS}
    assert {stop.subject for stop in BrakeStop.waiting(Role.PRIMARY)} == {BrakeSubject.RETENTION, BrakeSubject.RECORDS}
    act.deliver(BreakRelationship(reason="over"))
    assert not BrakeStop.objects.exists()


@pytest.mark.django_db
def test_what_stops_between_look_and_leave_is_not_allowed_and_a_leave_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brake.stop(BrakeSubject.SETTINGS, "ab" * 32, "all 9 accounts")
    first = QuerySet.first

    def and_another_stops(found: QuerySet[BrakeStop]) -> BrakeStop | None:
        row = first(found)
        monkeypatch.undo()
        brake.stop(BrakeSubject.SETTINGS, "cd" * 32, "all 99 accounts")
        return row

    monkeypatch.setattr(QuerySet, "first", and_another_stops)
    with pytest.raises(SyncRefused, match="changed meanwhile"):
        brake.allow("ab" * 32, "anna")
    assert BrakeStop.waiting(Role.BACKUP).count() == 1

    brake.stop(BrakeSubject.SETTINGS, "cd" * 32, "all 99 accounts")
    brake.allow("cd" * 32, "anna")
    brake.stop(BrakeSubject.SETTINGS, "cd" * 32, "all 99 accounts")  # a run that looked before that
    assert BrakeStop.objects.get().allowed_by == "anna"


@pytest.mark.django_db
class TestRetention:
    @pytest.fixture(autouse=True)
    def primary(self) -> None:
        world.set_state({"state": "p_active", "initialised": True})
        for number in range(30):
            world.whole_session(f"session {number}", age_days=number)

    def rule(self, days: int, agreed_at: dt.datetime | None) -> None:
        RetentionSettings.objects.update_or_create(pk=1, defaults={"keep_sessions_days": days, "agreed_at": agreed_at})

    def test_what_would_delete_much_at_once_stops_and_is_told_once(self) -> None:
        self.rule(5, None)
        for _ in range(2):
            assert not retention.expire()
        assert SupportSession.objects.count() == 30
        [found] = BrakeStop.waiting(Role.PRIMARY)
        assert found.subject == BrakeSubject.RETENTION
        assert "25 of the 30 support sessions" in found.what
        world.whole_session("one more", age_days=29)
        assert not retention.expire()
        assert "26 of the 31 support sessions" in BrakeStop.objects.get().what
        assert StatusEvent.objects.filter(event="brake.stopped").count() == 1

    def test_what_was_agreed_to_is_deleted(self) -> None:
        self.rule(5, timezone.now())
        assert retention.expire().sessions == 25
        assert not BrakeStop.waiting(Role.PRIMARY)

    def test_a_clock_that_jumps_deletes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rule(60, timezone.now())
        later = timezone.now() + dt.timedelta(days=3650)
        monkeypatch.setattr(timezone, "now", lambda: later)
        assert not retention.expire()
        assert SupportSession.objects.count() == 30
        assert BrakeStop.waiting(Role.PRIMARY)

    def test_a_few_go_without_asking(self) -> None:
        self.rule(25, None)
        assert retention.expire().sessions == 5


def test_what_is_much() -> None:
    assert stopped([]) == ""
    assert stopped([Removal("files", 4, 4), Removal("accounts", 30, 100)]) == ""
    assert stopped([Removal("files", 5, 5)]) == "all 5 files"
    assert stopped([Removal("files", 5, 5), Removal("groups", 9, 9), Removal("accounts", 31, 100)]) == (
        "all 5 files, all 9 groups and 31 of the 100 accounts"
    )
