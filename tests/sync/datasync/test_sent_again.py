"""What a client sends again to the new primary, under the same ids: kept once, and no corruption."""

from __future__ import annotations

from typing import Any

import pytest

from appliances.choices import SyncStatus
from appliances.models import Recording, SessionEvent, SupportSession
from sync.errors import PeerSilent
from sync.models import StatusEvent
from tests.fakes import FakePeer
from tests.sync.datasync import world
from tests.sync.datasync.test_pull import ALARM, There, both_hold_the_same, sync

COUNTS = (
    "from appliances.models import *; "
    "result = (SupportSession.objects.count(), SessionEvent.objects.count(), Recording.objects.count())"
)


def each_is_kept_once(there: There, sessions: int, events: int, recordings: int) -> None:
    both_hold_the_same(there)
    counts = SupportSession.objects.count(), SessionEvent.objects.count(), Recording.objects.count()
    assert counts == there("run", COUNTS) == (sessions, events, recordings)
    assert not StatusEvent.objects.filter(event="corruption").exists()
    assert there("run", ALARM) is None


def no_more_moves(peer: FakePeer) -> None:
    peer.asked.clear()
    sync(peer)
    assert peer.asked == ["pull-begin"]


def test_what_was_sent_again_after_a_failover_is_kept_once(peer: FakePeer, there: There) -> None:
    there("account", "anna")
    sync(peer)
    world.sent_session("taken in by the old primary")
    world.event("only the old primary knows this")
    there("sent_session", "taken in by the old primary")
    there("event", "only the new primary knows this")

    assert sync(peer).status == SyncStatus.SUCCESS

    each_is_kept_once(there, 1, 22, 1)
    no_more_moves(peer)


def test_a_start_that_each_appliance_filled_in_by_itself_is_no_corruption(peer: FakePeer, there: There) -> None:
    for name in ("one", "two", "three", "four"):  # so that either appliance's row is kept of some
        world.sent_session(name, "2026-01-02T03:04:05+00:00", 0)
        there("sent_session", name, "2026-01-03T04:05:06+00:00", 0)
    assert sync(peer).status == SyncStatus.SUCCESS
    each_is_kept_once(there, 4, 0, 4)
    no_more_moves(peer)


@pytest.mark.parametrize("is_answer_lost", [False, True])
@pytest.mark.parametrize("push", [1, 2, 3])
def test_a_data_sync_that_is_cut_does_not_leave_them_counting_differently(
    peer: FakePeer, there: There, push: int, is_answer_lost: bool
) -> None:
    world.sent_session("cut")
    there("sent_session", "cut")
    cut_push(peer, push, is_answer_lost)
    with pytest.raises(PeerSilent):
        sync(peer)
    there("events", 3)
    world.events(3)
    cut_push(peer, 0, False)

    assert not StatusEvent.objects.filter(event="corruption").exists()
    assert sync(peer).status == SyncStatus.SUCCESS

    each_is_kept_once(there, 1, 26, 1)
    no_more_moves(peer)


def cut_push(peer: FakePeer, number: int, is_answer_lost: bool) -> None:
    """The way is cut at this push: before it, or before its answer; 0: not at all."""
    peer.asked.clear()

    def cut(*_: Any) -> Any:
        if number and peer.asked.count("push-append") == number:
            raise PeerSilent("the way to the peer was cut")

    def pass_on(message: Any) -> Any:
        cut()
        return message

    peer.before = (lambda path: None) if is_answer_lost else cut
    peer.pushed = pass_on if is_answer_lost else (lambda message: message)


def test_a_row_that_was_synchronised_and_is_damaged_stays_a_corruption(peer: FakePeer, there: There) -> None:
    there("sent_session", "damaged", "2026-01-03T04:05:06+00:00", 0)
    sync(peer)
    world.damage_start()
    there("account", "anna")
    assert sync(peer).status == SyncStatus.SUCCESS
    assert Recording.objects.count() == 2
    both_hold_the_same(there)


def test_a_session_left_open_is_as_the_new_primary_ended_it(peer: FakePeer, there: There) -> None:
    world.open_session()
    there("open_session", 30)
    assert sync(peer).status == SyncStatus.SUCCESS
    assert world.ended_at() == [30]
    each_is_kept_once(there, 1, 1, 0)


@pytest.mark.parametrize("is_answer_lost", [False, True])
def test_a_session_that_goes_on_is_not_ended_by_who_only_assumes_its_end(
    peer: FakePeer, there: There, is_answer_lost: bool
) -> None:
    world.open_session()
    world.end_forgotten()
    there("open_session")
    if is_answer_lost:
        cut_push(peer, 2, True)
        with pytest.raises(PeerSilent):
            sync(peer)
        cut_push(peer, 0, False)

    assert sync(peer).status == SyncStatus.SUCCESS

    assert world.ended_at() == there("ended_at") == [None]
    no_more_moves(peer)
    there("end_session", 90)
    assert sync(peer).status == SyncStatus.SUCCESS
    assert world.ended_at() == there("ended_at") == [90]
    each_is_kept_once(there, 1, 1, 0)


def test_an_end_that_the_client_told_the_old_primary_ends_it_on_the_new_one(peer: FakePeer, there: There) -> None:
    there("open_session")
    world.open_session(30)
    assert sync(peer).status == SyncStatus.SUCCESS
    assert world.ended_at() == there("ended_at") == [30]
    each_is_kept_once(there, 1, 1, 0)
