"""What the peer says and cannot be meant is refused as such, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import json
import uuid
from typing import Any

import pytest

from appliances.choices import SyncStatus
from sync import journal
from sync.datasync import frames, served
from sync.datasync.registry import by_label
from sync.datasync.rows import RowCodec
from sync.datasync.wrapping import SecretWrap
from sync.errors import PeerMisbehaved, SyncError, SyncRefused
from sync.models import ServedSync, SyncRun
from sync.peer.sync_messages import Manifest, PullEnd, PullReport
from sync.rules.diff import Wanted
from sync.rules.facts import header_of
from tests.fakes import FakePeer
from tests.sync.datasync import world
from tests.sync.datasync.test_pull import There, both_hold_the_same, sync

EVENTS = "appliances.SessionEvent"
GUID = "a" * 32
MARKS = "from sync.models import SealedMark; result = list(SealedMark.objects.values_list('origin', 'seq'))"


def push(**said: Any) -> dict[str, Any]:
    return {"push": {"dataset": EVENTS, "origin": GUID, "incarnation": 1, "after": 0, "upto": 5, **said}}


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (push(origin="x"), b"{}"),
        (push(origin="../../etc"), b"{}"),
        (push(incarnation=0), b"{}"),
        (push(incarnation=2**31), b"{}"),
        (push(after=-1), b"{}"),
        (push(after=6), b"{}"),
        (push(upto=2**63), b"{}"),
        (push(upto=0), b"{}"),
        (push(), b"[" * 100_000),
    ],
)
def test_a_push_that_cannot_be_meant(header: dict[str, Any], body: bytes) -> None:
    with pytest.raises(PeerMisbehaved):
        frames.push_of(header, memoryview(body))
    assert frames.push_of(push(), memoryview(b"{}")) == (Wanted(EVENTS, GUID, 1, 0, 5), {})


@pytest.mark.parametrize(
    "frame",
    [b'{"deletions": true}\nno id', b'{"deletions": true}\na.B xx\n', b'{"dataset": "a"}\n', b"nothing"],
)
def test_what_is_to_be_deleted_is_said_in_no_other_way(peer: FakePeer, there: There, frame: bytes) -> None:
    key = there("support_session", "gone")
    sync(peer)
    world.delete_session(key)
    peer.change = lambda path, sent: frame if path == "push-deletions" else sent
    with pytest.raises(SyncError):
        sync(peer)
    assert len(there("contents")["appliances.SupportSession"]) == 1
    peer.change = lambda path, sent: sent
    sync(peer)
    both_hold_the_same(there)


def test_a_push_reaches_no_further_than_the_backup_does(peer: FakePeer, there: There) -> None:
    there("events", 3)
    sync(peer)
    world.events(2)

    def far(path: str, frame: bytes) -> bytes:
        header, rest = frame.split(b"\n", 1)
        said = json.loads(header)
        if path == "push-append" and "push" in said:
            said["push"].update(origin=world.GUIDS["primary"], upto=2**63 - 3)
        return json.dumps(said).encode() + b"\n" + rest

    peer.change = far
    with pytest.raises(SyncError, match="further"):
        sync(peer)
    assert there("run", MARKS) == [(world.GUIDS["primary"], 3)]
    peer.change = lambda path, frame: frame
    sync(peer)
    both_hold_the_same(there)


@pytest.mark.parametrize("clock", [1e300, float("nan"), -1.0])
def test_a_clock_that_no_calendar_has(peer: FakePeer, there: There, clock: float) -> None:
    there("account", "anna")
    peer.reply = lambda said: dataclasses.replace(said, clock=clock) if isinstance(said, Manifest) else said
    with pytest.raises(PeerMisbehaved):
        sync(peer)
    assert SyncRun.objects.get().code == "peer_misbehaved"


@pytest.mark.django_db
@pytest.mark.parametrize("secret", [7, ["a"], {"a": 1}, True])
def test_a_secret_that_is_no_text(secret: Any) -> None:
    dataset = next(dataset for dataset in map(by_label().get, by_label()) if dataset and dataset.secret_labels)
    codec = RowCodec(dataset, SecretWrap(b"k" * 32, ""))
    place = dataset.fields.index(dataset.secret_labels[0][0])
    with pytest.raises(ValueError, match="bytes"):
        codec._from_wire(place, secret)


@pytest.mark.django_db
def test_an_end_that_was_refused_is_refused_again_and_a_good_one_is_good_again() -> None:
    report = PullReport("success", "", "", 0, 0, 0, 0, 0)
    end = PullEnd(header_of(journal.read()), "b" * 32, True, "c" * 64, report)
    row = ServedSync(id=uuid.UUID(int=1), snapshot_id="b" * 32, trigger="interval")
    row.status, row.code = SyncStatus.REFUSED, "root_differs"
    row.save()
    for _ in range(2):
        with pytest.raises(SyncRefused) as caught:
            served.ended(end)
        assert caught.value.reason == "root_differs"
    row.status, row.code, row.root = SyncStatus.SUCCESS, "", "c" * 64
    row.save()
    served.ended(end)
    with pytest.raises(SyncRefused):
        served.ended(dataclasses.replace(end, root="d" * 64))
