"""Rows that differ below what both hold: told once, then united, though new rows come above them all the time."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from appliances.choices import SyncStatus
from appliances.models import SessionEvent, Tombstone
from appliances.selectors import this_appliance
from sync.datasync import marks, tombstones
from sync.errors import SyncError
from sync.models import SyncRun
from sync.rules import diff
from sync.rules.diff import Mark
from tests.fakes import FakePeer
from tests.sync.datasync import world
from tests.sync.datasync.test_pull import There, both_hold_the_same, sync

OWN = ("appliances.SessionEvent", "11" * 16, 1)
OTHER = ("appliances.SessionEvent", "22" * 16, 1)


def told_once(peer: FakePeer, write: Callable[[], object]) -> None:
    """A first data-sync that says so, and a second one that is good, each after more was written."""
    write()
    with pytest.raises(SyncError):
        sync(peer)
    assert SyncRun.objects.latest("started_at").code == "append_only_differs"
    write()
    assert sync(peer).status == SyncStatus.SUCCESS


def test_what_reaches_equally_far_and_differs_moves_both_ways_and_nothing_else() -> None:
    mine = [Mark(*OWN, 5, 4, "a" * 64), Mark(*OTHER, 7, 7, "b" * 64)]
    theirs = [Mark(*OWN, 5, 5, "c" * 64), Mark(*OTHER, 9, 9, "d" * 64)]
    plan = diff.below(mine, theirs)
    assert [wanted.key for wanted in plan.fetch] == [OWN] == [wanted.key for wanted in plan.send]
    assert diff.below(mine, mine) == diff.Plan()


def test_a_row_lost_below_the_mark_returns_though_the_primary_goes_on_writing(peer: FakePeer, there: There) -> None:
    there("events", 20)
    lost = there("event", "lost")
    sync(peer)
    world.lose(lost)

    told_once(peer, lambda: there("events", 3))

    assert SessionEvent.objects.count() == 27
    both_hold_the_same(there)
    there("events", 3)
    peer.asked.clear()
    sync(peer)
    assert "pull-days" not in peer.asked
    both_hold_the_same(there)


def test_a_row_that_the_primary_lost_of_the_backup_returns_though_the_backup_has_more(
    peer: FakePeer, there: There
) -> None:
    world.events(20)
    lost = world.event("lost")
    sync(peer)
    there("lose", lost)

    def write() -> None:
        world.events(3)
        there("events", 3)

    told_once(peer, write)
    both_hold_the_same(there)
    assert SessionEvent.objects.count() == 33


def test_tombstones_that_differ_below_others_meet_the_brake_like_any(peer: FakePeer, there: There) -> None:
    count = 25
    there("run", f"from tests.sync.datasync import world\nfor n in range({count}): world.whole_session(str(n))")
    there("run", "from sync.datasync import marks; marks.seal_all()")
    there("expire", 30)
    key = there("whole_session", "new", 1)
    sync(peer)
    assert Tombstone.objects.count() == count
    world.lose_tombstones()
    there("delete_session", key)
    with pytest.raises(SyncError, match=f"all {count} support sessions"):
        sync(peer)
    assert SyncRun.objects.latest("started_at").code == "mass_deletion"


def test_numbers_of_deleted_rows_at_the_end_are_reached_by_one_push(peer: FakePeer, there: There) -> None:
    sync(peer)
    key = uuid.UUID(world.whole_session("deleted before anybody pulled it"))
    marks.seal_all()
    tombstones.delete(tombstones.SESSION, [key])
    assert sync(peer).status == SyncStatus.SUCCESS
    mine = this_appliance().guid
    reached = "from sync.datasync import marks; result = [(m.key, m.seq) for m in marks.held()]"
    own = {mark.key: mark.seq for mark in marks.held() if mark.origin == mine}
    assert dict(there("run", reached)).items() >= own.items()
    peer.asked.clear()
    sync(peer)
    assert peer.asked == ["pull-begin"]
