"""A stream between the appliances: frames of length, payload and payload hash, closed by a MAC over all of them.

    frame       length (4 bytes) | payload | SHA-256 of the payload
    last frame  0xFFFFFFFF | count of frames (8 bytes) | MAC over direction, request nonce, count and all frame hashes

A payload is handed on when its own hash is right. That proves nothing yet about who made it: what comes from a stream
may become visible only when the stream has ended well, or when a signed value names its hash.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from sync.errors import PeerMisbehaved

MAX_FRAME_BYTES = 1024 * 1024
END = 0xFFFFFFFF
LENGTH = struct.Struct(">I")
COUNT = struct.Struct(">Q")
HASH_BYTES = 32

ReadExactly = Callable[[int], bytes | bytearray]


@dataclass(frozen=True)
class Seal:
    """What the MAC of a stream is computed with: the key of its direction, what it is, and the request's nonce."""

    key: bytes
    kind: str
    nonce: str

    def mac(self, count: int, hashes: bytes) -> bytes:
        """The MAC that closes a stream of `count` frames with the digest `hashes` over their hashes."""
        text = f"peer-v1\nstream\n{self.kind}\n{self.nonce}\n{count}\n{hashes.hex()}\n"
        return hmac.digest(self.key, text.encode(), "sha256")


def write(payloads: Iterable[bytes | bytearray | memoryview], seal: Seal) -> Iterator[bytes]:
    """The bytes of a stream, one piece a frame."""
    hashes, count = hashlib.sha256(), 0
    for payload in payloads:
        if len(payload) > MAX_FRAME_BYTES:
            raise ValueError(f"a frame of {len(payload)} bytes is larger than {MAX_FRAME_BYTES}")
        digest = hashlib.sha256(payload).digest()
        hashes.update(digest)
        count += 1
        yield b"".join((LENGTH.pack(len(payload)), payload, digest))
    yield LENGTH.pack(END) + COUNT.pack(count) + seal.mac(count, hashes.digest())


def read(read_exactly: ReadExactly, seal: Seal) -> Iterator[bytes | bytearray]:
    """The payloads of a stream; it ends only where the closing MAC is right and nothing follows it.

    `read_exactly(n)` gives n bytes, fewer only at the end of the body.

    Raises:
        PeerMisbehaved: a frame is damaged, missing, added or moved, or the stream was cut off.
    """
    hashes, count = hashlib.sha256(), 0
    while (length := LENGTH.unpack(_full(read_exactly, LENGTH.size))[0]) != END:
        if length > MAX_FRAME_BYTES:
            raise PeerMisbehaved(f"A frame of {length} bytes is larger than {MAX_FRAME_BYTES}.")
        payload = _full(read_exactly, length)
        digest = hashlib.sha256(payload).digest()
        if not hmac.compare_digest(digest, bytes(_full(read_exactly, HASH_BYTES))):
            raise PeerMisbehaved("A frame of the stream was damaged on the way.")
        hashes.update(digest)
        count += 1
        yield payload
    stated = COUNT.unpack(_full(read_exactly, COUNT.size))[0]
    mac = bytes(_full(read_exactly, HASH_BYTES))
    if stated != count or not hmac.compare_digest(mac, seal.mac(count, hashes.digest())):
        raise PeerMisbehaved("The signature at the end of the stream is wrong.")
    if read_exactly(1):
        raise PeerMisbehaved("Something follows the end of the stream.")


def _full(read_exactly: ReadExactly, count: int) -> bytes | bytearray:
    data = read_exactly(count)
    if len(data) != count:
        raise PeerMisbehaved("The stream was cut off.")
    return data
