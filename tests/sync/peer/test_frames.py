"""A stream between the appliances: whatever is done to its bytes on the way is noticed."""

from __future__ import annotations

import io

import pytest
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
