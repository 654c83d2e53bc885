"""A stream between the appliances: whatever is done to its bytes on the way is noticed."""

from __future__ import annotations

import io
import random

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from sync.errors import PeerMisbehaved
from sync.peer import frames
from sync.peer.frames import Seal

SEAL = Seal(key=b"k" * 32, kind="response", nonce="00" * 16)
PAYLOADS = [b"one", b"", b"three" * 1000, b"four"]


def stream(payloads: list[bytes] = PAYLOADS, seal: Seal = SEAL) -> list[bytes]:
    return list(frames.write(payloads, seal))


def received(data: bytes, seal: Seal = SEAL) -> list[bytes]:
    return [bytes(payload) for payload in frames.read(io.BytesIO(data).read, seal)]


def test_what_was_sent_arrives():
    assert received(b"".join(stream())) == PAYLOADS


def test_an_empty_stream_arrives():
    assert received(b"".join(stream([]))) == []


@given(st.lists(st.binary(max_size=200), max_size=6), st.data())
def test_a_flipped_bit_is_noticed(payloads: list[bytes], data: st.DataObject):
    whole = bytearray(b"".join(stream(payloads)))
    position = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[position // 8] ^= 1 << position % 8
    with pytest.raises(PeerMisbehaved):
        received(bytes(whole))


@given(st.lists(st.binary(max_size=50), max_size=5), st.data())
def test_a_cut_is_noticed(payloads: list[bytes], data: st.DataObject):
    whole = b"".join(stream(payloads))
    with pytest.raises(PeerMisbehaved):
        received(whole[: data.draw(st.integers(0, len(whole) - 1))])


def test_a_missing_frame_is_noticed():
    pieces = stream()
    for index in range(len(PAYLOADS)):
        with pytest.raises(PeerMisbehaved, match="end of the stream"):
            received(b"".join(pieces[:index] + pieces[index + 1 :]))


def test_a_doubled_frame_is_noticed():
    pieces = stream()
    with pytest.raises(PeerMisbehaved, match="end of the stream"):
        received(b"".join([pieces[0], *pieces]))


def test_moved_frames_are_noticed():
    pieces = stream()
    with pytest.raises(PeerMisbehaved, match="end of the stream"):
        received(b"".join([pieces[1], pieces[0], *pieces[2:]]))


def test_an_added_frame_is_noticed():
    pieces = stream()
    with pytest.raises(PeerMisbehaved, match="end of the stream"):
        received(b"".join([*pieces[:-1], stream([b"more"])[0], pieces[-1]]))


def test_something_behind_the_end_is_noticed():
    with pytest.raises(PeerMisbehaved, match="follows the end"):
        received(b"".join(stream()) + b"x")


@pytest.mark.parametrize(
    "other",
    [
        Seal(key=b"x" * 32, kind="response", nonce="00" * 16),
        Seal(key=b"k" * 32, kind="request", nonce="00" * 16),
        Seal(key=b"k" * 32, kind="response", nonce="01" * 16),
    ],
    ids=["key", "kind", "nonce"],
)
def test_a_stream_of_another_key_or_answer_is_noticed(other: Seal):
    with pytest.raises(PeerMisbehaved, match="signature"):
        received(b"".join(stream()), other)


def test_a_frame_larger_than_the_limit_is_refused_before_it_is_read():
    length = frames.LENGTH.pack(frames.MAX_FRAME_BYTES + 1)
    with pytest.raises(PeerMisbehaved, match="larger"):
        received(length + b"x" * 100)


def test_a_frame_larger_than_the_limit_is_not_sent():
    with pytest.raises(ValueError, match="larger"):
        stream([b"x" * (frames.MAX_FRAME_BYTES + 1)])


LINES = [b"the same line again and again, with a number: %d\n" % number * 500 for number in range(30)]


def test_what_repeats_is_packed_and_what_does_not_is_left_as_it_is():
    noise = random.Random(1).randbytes(frames.MAX_FRAME_BYTES)
    mixed = [*LINES[:15], noise, b"", b"short", *LINES[15:], noise[:1000] + bytes(frames.MAX_FRAME_BYTES - 1000)]
    whole = b"".join(stream(mixed))
    assert received(whole) == mixed
    assert len(whole) < len(noise) + sum(map(len, LINES)) // 50


def test_a_packed_frame_that_does_not_hold_what_it_says_is_refused():
    pieces = stream(LINES)
    for length in (len(LINES[0]) - 1, len(LINES[0]) + 1, frames.MAX_FRAME_BYTES + 1):
        body = pieces[0][:4] + frames.LENGTH.pack(length) + pieces[0][8 : -frames.HASH_BYTES]
        with pytest.raises(PeerMisbehaved, match=r"unpacked|larger|end of the stream"):
            received(body + blake3(body).digest() + b"".join(pieces[1:]))


def test_bytes_that_are_not_packed_are_refused_as_such():
    body = frames.LENGTH.pack(100 | frames.PACKED) + frames.LENGTH.pack(1000) + b"x" * 100
    with pytest.raises(PeerMisbehaved, match="unpacked"):
        received(body + blake3(body).digest())


@given(st.lists(st.sampled_from(LINES), min_size=1, max_size=4), st.data())
def test_a_flipped_bit_of_a_packed_frame_is_noticed(payloads: list[bytes], data: st.DataObject):
    whole = bytearray(b"".join(stream(payloads)))
    position = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[position // 8] ^= 1 << position % 8
    with pytest.raises(PeerMisbehaved):
        received(bytes(whole))
