"""Blobs as they are carried: many small ones to a frame, large ones in pieces, and nothing believed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable

import pytest

from appliances import blobs
from sync.datasync import blob_frames
from sync.datasync.blob_frames import SMALL_BYTES, BlobReader, Helps, Incoming
from sync.datasync.blobs_in import store_blobs
from sync.datasync.frames import FRAME_BYTES, FrameReader
from sync.errors import PeerMisbehaved
from sync.rules.snapshot import Refusal

NOISE = random.Random(1)
SIZES = [0, 1, 100, SMALL_BYTES, SMALL_BYTES + 1, 5, 2 * FRAME_BYTES + 17, *[SMALL_BYTES - 3] * 12, 0]


def stored(sizes: Iterable[int]) -> dict[str, bytes]:
    contents = [NOISE.randbytes(size) for size in sizes]
    return {blobs.store([content]).blob_id: content for content in contents}


def arrived(frames: Iterable[bytes | bytearray], wanted: Iterable[str]) -> list[bytes | None]:
    reader = FrameReader(frames)
    stream, found = BlobReader(reader), []
    for blob_id in wanted:
        content = stream.take(blob_id)
        if content is None or isinstance(content, memoryview):
            found.append(content and bytes(content))
        else:
            found.append(b"".join(map(bytes, content.pieces)))
    stream.finish()
    assert reader.peek() is None
    return [b"" if content is not None and not content else content for content in found]


def test_blobs_of_all_sizes_arrive_in_order_and_small_ones_share_frames():
    held = stored(SIZES)
    frames = list(blob_frames.of_blobs(held))
    assert arrived(frames, held) == list(held.values())
    assert max(map(len, frames)) <= FRAME_BYTES
    assert len(frames) < len(held)


def test_what_the_sender_lacks_is_said_where_it_may_be_and_named_where_not():
    held = stored([10, SMALL_BYTES + 1, 10])
    first, second, third = held
    asked = [first, "0" * 64, second, "1" * 64, third, "2" * 64]
    contents = arrived(list(blob_frames.of_blobs(asked, lacks=lambda *_: None)), asked)
    assert contents == [held[first], None, held[second], None, held[third], None]
    with pytest.raises(blobs.BlobMissing, match="0" * 64):
        list(blob_frames.of_blobs(asked))


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ({"pack": 0}, b""),
        ({"pack": 1}, b""),
        ({"pack": -1}, b"x" * 100),
        ({"pack": "1"}, b"\0\0\0\1x"),
        ({"pack": True}, b"\0\0\0\1x"),
        ({"pack": 1}, b"\0\0\0\2x"),
        ({"pack": 1}, b"\0\0\0\1xx"),
        ({"pack": 1, "more": 1}, b"\0\0\0\1x"),
        ({"blob": "0" * 64, "size": 0, "from": 0}, b""),
        ({"blob": "0" * 64, "size": -1, "from": 0}, b""),
        ({"blob": "0" * 64, "size": 2, "from": 0}, b"xxx"),
        ({"blob": "0" * 64, "size": 2, "from": 0}, b""),
        ({"blob": "0" * 64, "size": 2}, b"xx"),
        ({"blob": "0" * 64, "size": 2, "from": 1}, b"x"),
        ({"blob": "0" * 64, "size": 2, "from": -1}, b"xxx"),
        ({"blob": "0" * 64, "size": 3, "from": 0}, b"xx"),
        ({"blob": "0" * 64, "size": 3, "from": 0, "copy": [0, 3]}, b""),
        ({"blob": "0" * 64, "size": 3, "from": 0, "copy": [0, 4]}, b""),
        ({"blob": "0" * 64, "size": 3, "from": 0, "copy": [-1, 3]}, b""),
        ({"blob": "0" * 64, "size": 3, "from": 0, "copy": "all"}, b""),
        ({"blob": "0" * 64, "size": 3, "from": 0, "copy": [2**63, 3]}, b""),
        ({"blob": "1" * 64, "size": 1, "from": 0}, b"x"),
        ({"dataset": "appliances.Account"}, b"x"),
    ],
)
def test_frames_that_are_not_of_the_blob_are_refused(header: dict[str, object], body: bytes):
    with pytest.raises(PeerMisbehaved):
        arrived([json.dumps(header).encode() + b"\n" + body], ["0" * 64])


def test_more_files_than_asked_for_are_refused():
    held = stored([10, 11])
    with pytest.raises(PeerMisbehaved, match="more files"):
        store_blobs(FrameReader(blob_frames.of_blobs(held)), list(held)[:1])


def test_one_that_changed_on_the_way_is_told_and_the_others_are_kept():
    held = stored([1000, 1001, 1002])
    frames = [bytes(frame) for frame in blob_frames.of_blobs(held)]
    for blob_id in held:
        blobs.path(blob_id).unlink()
    first, second, third = held
    place = frames[0].index(held[second])
    frames[0] = frames[0][:place] + b"X" + frames[0][place + 1 :]
    assert store_blobs(FrameReader(frames), list(held)) == {second: Refusal.BLOB_CORRUPT}
    assert [blobs.has(blob_id) for blob_id in (first, second, third)] == [True, False, True]


def test_signs_of_life_are_told_on_and_do_not_go_on_for_ever(monkeypatch: pytest.MonkeyPatch):
    [earlier] = stored([SMALL_BYTES])
    said = {"blob": "0" * 64, "size": 3, "from": 0}
    sign = json.dumps({**said, "copy": [0, 0]}).encode() + b"\n"
    end = json.dumps({**said, "copy": [5, 3]}).encode() + b"\n"

    def pieces(frames: list[bytes]) -> list[int]:
        content = BlobReader(FrameReader(frames), Helps(bases={"0" * 64: earlier})).take("0" * 64)
        assert isinstance(content, Incoming)
        return [len(piece) for piece in content.pieces]

    assert pieces([sign, sign, end]) == [0, 0, 3]
    monkeypatch.setattr(blob_frames, "MOST_SIGNS", 3)
    assert pieces([sign, sign, sign, end]) == [0, 0, 0, 3]
    with pytest.raises(PeerMisbehaved, match="for ever"):
        pieces([sign, sign, sign, sign, end])
