"""Of a large settings table only the rows that differ move, and the table is the primary's nevertheless."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from blake3 import blake3

from appliances.choices import SyncTrigger
from appliances.models import Account
from sync.datasync import buckets, differences, pull
from sync.datasync.buckets import Buckets
from sync.errors import PeerMisbehaved, SyncError
from sync.models import SyncRun
from tests.fakes import FakePeer
from tests.sync.datasync import world

ROWS = 60
MAKE = f"from appliances.models import *; [Account.objects.create(username=f'u{{n}}') for n in range({ROWS})]"
CHANGE = (
    "from appliances.models import *\n"
    "Account.objects.filter(username='u3').update(email='x@example.com')\n"
    "Account.objects.get(username='u4').delete(); Account.objects.create(username='new')"
)


@pytest.fixture(autouse=True)
def _small_tables_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "LEAST_ROWS", 10)


def sync(peer: FakePeer) -> SyncRun:
    return pull.pull_data(SyncTrigger.INTERVAL, client=peer)  # type: ignore[arg-type]


def test_changed_new_and_removed_rows_arrive_and_few_others_move(peer: FakePeer, there: Callable[..., Any]) -> None:
    there("run", MAKE)
    assert sync(peer).rows_done >= ROWS
    there("run", CHANGE)
    run = sync(peer)
    assert world.contents() == there("contents")
    assert Account.objects.filter(username="new").exists()
    assert not Account.objects.filter(username="u4").exists()
    assert 2 <= run.rows_done == run.rows_total < ROWS // 2


def test_many_rows_are_read_back_as_a_whole_table(
    peer: FakePeer, there: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(differences, "WRITE_ROWS", 5)
    there("run", MAKE)
    sync(peer)
    there("run", CHANGE + "\nAccount.objects.filter(username__startswith='u1').update(email='y@example.com')")
    sync(peer)
    assert world.contents() == there("contents")


def test_where_the_table_is_not_the_primarys_then_nothing_is_changed_and_all_of_it_moves_next(
    peer: FakePeer, there: Callable[..., Any]
) -> None:
    there("run", MAKE)
    sync(peer)
    before = world.contents()
    there("run", CHANGE)
    peer.change = lambda path, frame: (
        frame.replace(b"x@example.com", b"z@example.com") if path == "pull-rows" else frame
    )
    with pytest.raises(SyncError) as caught:
        sync(peer)
    assert getattr(caught.value, "reason", "") == "digest_mismatch"
    assert world.contents() == before
    peer.change = lambda path, frame: frame
    assert sync(peer).rows_done >= ROWS
    assert world.contents() == there("contents")


@pytest.mark.parametrize("said", [b'{"buckets":7}', b'{"buckets":"//////////////////8="}', b"[1]", b"{"])
def test_a_table_that_does_not_say_which_rows_follow_is_not_used(
    peer: FakePeer, there: Callable[..., Any], said: bytes
) -> None:
    there("run", MAKE)
    sync(peer)
    there("run", CHANGE)

    def change(path: str, frame: bytes) -> bytes:
        if path != "pull-rows" or b'"buckets"' not in frame:
            return frame
        header, _, rows = frame.split(b"\n", 2)
        return b"\n".join((header, said, rows))

    peer.change = change
    before = world.contents()
    with pytest.raises(PeerMisbehaved):
        sync(peer)
    assert world.contents() == before


@pytest.mark.parametrize("told", ["", "AAAA", "x", "ä", "A" * 8 * (buckets.MOST_BUCKETS + 1)])
def test_sums_that_cannot_be_meant_are_refused(told: str) -> None:
    with pytest.raises(PeerMisbehaved):
        Buckets.heard(told)


def test_a_table_whose_secrets_travel_wrapped_is_not_compared_so() -> None:
    with pytest.raises(PeerMisbehaved, match="whole"):
        buckets.differing_lines("appliances.EmailConfiguration", Buckets(2).told(), lambda: [])


def test_only_the_buckets_of_rows_that_differ_differ() -> None:
    mine, theirs = Buckets.for_rows(4000), Buckets.for_rows(4000)
    assert len(mine) == 2048
    for number in range(4000):
        mine.add(blake3(b"%d" % number).digest())
        theirs.add(blake3(b"%d" % max(number, 1)).digest())
    places = {mine.place(blake3(line).digest()) for line in (b"0", b"1")}
    assert mine.differing(Buckets.heard(theirs.told())) == places
    assert not mine.differing(Buckets.heard(mine.told()))
    assert json.loads(json.dumps(mine.told())) == mine.told()
