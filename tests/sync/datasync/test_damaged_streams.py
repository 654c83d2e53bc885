"""Streams that were damaged on the way, below the frames: none is read to its end, nothing of one is applied."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from appliances.choices import SyncTrigger
from sync import journal
from sync.datasync import pull
from sync.datasync.registry import SETTINGS
from sync.errors import PeerMisbehaved, SyncError
from sync.peer import frames
from sync.peer.frames import Seal
from tests.fakes import FakePeer
from tests.sync.datasync import world

There = Callable[..., Any]
SEAL = Seal(key=b"k" * 32, kind="response", nonce="00" * 16)
STREAMS = 10_000
PULLS = 60


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """The stream with one thing done to it that makes it another one."""
    harmed = whole
    while harmed == whole:
        harmed = _damaged(whole, chance)
    return harmed


def _damaged(whole: bytes, chance: random.Random) -> bytes:
    """A bit flipped, a part cut out, doubled, moved or the end cut off."""
    start, stop = sorted(chance.randrange(len(whole) + 1) for _ in range(2))
    part = whole[start:stop]
    what = chance.choice(["flip", "truncate", "remove", "double", "move"])
    if what == "flip":
        place = chance.randrange(len(whole))
        return whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :]
    if what == "truncate":
        return whole[: chance.randrange(len(whole))]
    if what == "double":
        return whole[:stop] + part + whole[stop:]
    rest = whole[:start] + whole[stop:]
    if what == "remove":
        return rest
    place = chance.randrange(len(rest) + 1)
    return rest[:place] + part + rest[place:]


class WornWay(FakePeer):
    """Carries each stream as its bytes, which are damaged where it is asked for."""

    chance: random.Random | None = None
    harmed_path = ""

    @contextmanager
    def open_stream(self, message: Any) -> Iterator[Iterator[bytes]]:
        with super().open_stream(message) as payloads:
            yield self._carried(message.path, list(payloads))

    def send_stream(self, message: Any, payloads: Iterable[bytes], reply_type: Any) -> Any:
        sent = [bytes(payload) for payload in payloads]
        return super().send_stream(message, self._carried(message.path, sent), reply_type)

    def _carried(self, path: str, payloads: list[bytes]) -> Iterator[bytes]:
        whole = b"".join(frames.write(payloads, SEAL))
        if self.chance is not None and path == self.harmed_path:
            whole = damaged(whole, self.chance)
        return (bytes(payload) for payload in frames.read(io.BytesIO(whole).read, SEAL))


def something_of_each_kind(there: There) -> None:
    for name in ("anna", "bob", "carol"):
        there("account", name)
    there("store_file", "a.txt", b"content" * 100)
    there("store_file", "b.txt", b"\x00" * 1000)
    there("recording", "r", bytes(range(256)) * 10)
    there("events", 20)
    world.events(5)
    world.recording("here", b"recorded here")


def test_no_damaged_stream_is_read_to_its_end(peer: FakePeer, there: There) -> None:
    carried: dict[str, list[bytes]] = {}

    def record(path: str, frame: bytes) -> bytes:
        carried.setdefault(path, []).append(frame)
        return frame

    something_of_each_kind(there)
    peer.change = record
    pull.pull_data(SyncTrigger.SYNC_NOW, client=peer)  # type: ignore[arg-type]
    assert carried.keys() >= {"pull-rows", "pull-blobs", "push-append"}
    streams = [b"".join(frames.write(payloads, SEAL)) for payloads in carried.values()]
    chance = random.Random(20261122)
    for number in range(STREAMS):
        whole = streams[number % len(streams)]
        with pytest.raises(PeerMisbehaved):
            list(frames.read(io.BytesIO(damaged(whole, chance)).read, SEAL))


def settings_rows() -> dict[str, list[bytes]]:
    """The synchronised settings that are here."""
    return {name: rows for name, rows in world.contents().items() if name in {dataset.label for dataset in SETTINGS}}


def test_nothing_of_a_damaged_stream_is_applied(peer: FakePeer, there: There) -> None:
    """Whichever stream it is; what was whole before it may stay, and the next data-sync brings the rest."""
    way = WornWay(peer.process)
    something_of_each_kind(there)
    before = settings_rows()
    for seed in range(PULLS):
        there("store_file", f"{seed}.txt", f"file {seed}".encode())
        there("event", f"there {seed}")
        world.event(f"here {seed}")
        way.chance = random.Random(seed)
        way.harmed_path = ("pull-rows", "pull-blobs", "push-append")[seed % 3]
        with pytest.raises(SyncError):
            pull.pull_data(SyncTrigger.SYNC_NOW, client=way)  # type: ignore[arg-type]
        assert settings_rows() == before
        assert not journal.read().initialised
    world.blob_ids()  # each that is here is whole
    way.chance = None
    pull.pull_data(SyncTrigger.SYNC_NOW, client=way)  # type: ignore[arg-type]
    assert world.contents() == there("contents")
    assert world.blob_ids() == there("blob_ids")
