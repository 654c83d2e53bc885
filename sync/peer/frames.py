"""A stream between the appliances: frames of length, payload and hash, closed by a MAC over all of them.

    frame         length (4 bytes) | payload | hash
    packed frame  length with its highest bit set | length of the payload (4 bytes) | zstd bytes | hash
    last frame    0xFFFFFFFF | count of frames (8 bytes) | MAC over direction, request nonce, count and all frame hashes

The hash is BLAKE3 of all that precedes it in the frame, and is compared before anything is unpacked. A payload is
handed on when its hash is right. That proves nothing yet about who made it: what comes from a stream may become
visible only when the stream has ended well, or when a signed value names its hash.

The packed frames of a stream are one stream of zstd, so that what is like something that went before costs little.
A frame is packed where a piece out of its middle shows that it pays.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import zstandard
from blake3 import blake3

from sync.errors import PeerMisbehaved

MAX_FRAME_BYTES = 1024 * 1024
MAX_PACKED_BYTES = MAX_FRAME_BYTES + 8192  # what does not become smaller becomes a little larger
PACKED = 0x80000000
END = 0xFFFFFFFF
LENGTH = struct.Struct(">I")
COUNT = struct.Struct(">Q")
HASH_BYTES = 32

LEVEL = 2  # of zstd: on logs faster than 3 and as small
WINDOW_LOG = 23  # 8 MiB of memory on the side that unpacks
SAMPLE_BYTES = 16 * 1024
LEAST_BYTES = 512
PAYS = 0.9

ReadExactly = Callable[[int], bytes | bytearray]
Payload = bytes | bytearray | memoryview


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


def write(payloads: Iterable[Payload], seal: Seal) -> Iterator[bytes]:
    """The bytes of a stream, one piece a frame."""
    hashes, count, packer = hashlib.sha256(), 0, _Packer()
    for payload in payloads:
        if len(payload) > MAX_FRAME_BYTES:
            raise ValueError(f"a frame of {len(payload)} bytes is larger than {MAX_FRAME_BYTES}")
        head, content = packer.pack(payload)
        digest = _digest(head, content)
        hashes.update(digest)
        count += 1
        yield b"".join((head, content, digest))
    yield LENGTH.pack(END) + COUNT.pack(count) + seal.mac(count, hashes.digest())


def read(read_exactly: ReadExactly, seal: Seal) -> Iterator[bytes | bytearray]:
    """The payloads of a stream; it ends only where the closing MAC is right and nothing follows it.

    `read_exactly(n)` gives n bytes, fewer only at the end of the body.

    Raises:
        PeerMisbehaved: a frame is damaged, missing, added or moved, or the stream was cut off.
    """
    hashes, count, unpacker = hashlib.sha256(), 0, _Unpacker()
    while (head := bytes(_full(read_exactly, LENGTH.size))) != _END:
        [length] = LENGTH.unpack(head)
        is_packed, length = bool(length & PACKED), length & ~PACKED
        if length > (MAX_PACKED_BYTES if is_packed else MAX_FRAME_BYTES):
            raise PeerMisbehaved(f"A frame of {length} bytes is larger than {MAX_FRAME_BYTES}.")
        if is_packed:
            head += _full(read_exactly, LENGTH.size)
        content = _full(read_exactly, length)
        digest = _digest(head, content)
        if not hmac.compare_digest(digest, bytes(_full(read_exactly, HASH_BYTES))):
            raise PeerMisbehaved("A frame of the stream was damaged on the way.")
        hashes.update(digest)
        count += 1
        yield unpacker.unpack(content, LENGTH.unpack_from(head, LENGTH.size)[0]) if is_packed else content
    stated = COUNT.unpack(_full(read_exactly, COUNT.size))[0]
    mac = bytes(_full(read_exactly, HASH_BYTES))
    if stated != count or not hmac.compare_digest(mac, seal.mac(count, hashes.digest())):
        raise PeerMisbehaved("The signature at the end of the stream is wrong.")
    if read_exactly(1):
        raise PeerMisbehaved("Something follows the end of the stream.")


class _Packer:
    """Makes the frames of one stream smaller where that pays."""

    def __init__(self) -> None:
        self._trial = zstandard.ZstdCompressor(level=1)
        self._stream: zstandard.ZstdCompressionObj | None = None

    def pack(self, payload: Payload) -> tuple[bytes, Payload]:
        """What precedes the content of a frame, and the content."""
        if not self._pays(payload):
            return LENGTH.pack(len(payload)), payload
        if self._stream is None:
            parameters = zstandard.ZstdCompressionParameters.from_level(LEVEL, window_log=WINDOW_LOG)
            self._stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        content = self._stream.compress(payload) + self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        return LENGTH.pack(len(content) | PACKED) + LENGTH.pack(len(payload)), content

    def _pays(self, payload: Payload) -> bool:
        if len(payload) < LEAST_BYTES:
            return False
        start = max(0, len(payload) - SAMPLE_BYTES) // 2
        sample = payload[start : start + SAMPLE_BYTES]
        return len(self._trial.compress(sample)) < PAYS * len(sample)


class _Unpacker:
    """Gives back the payloads of the packed frames of one stream, none larger than a frame may be."""

    def __init__(self) -> None:
        self._content = b""
        self._stream: zstandard.ZstdDecompressionReader | None = None

    def unpack(self, content: bytes | bytearray, length: int) -> bytearray:
        """The payload of `length` bytes.

        Raises:
            PeerMisbehaved: the content is not that of such a payload.
        """
        if length > MAX_FRAME_BYTES:
            raise PeerMisbehaved(f"A frame of {length} bytes is larger than {MAX_FRAME_BYTES}.")
        if self._stream is None:
            unpacker = zstandard.ZstdDecompressor(max_window_size=1 << WINDOW_LOG)
            self._stream = unpacker.stream_reader(self, read_size=MAX_PACKED_BYTES)  # type: ignore[arg-type]  # it reads
        self._content, payload = bytes(content), bytearray(length)
        try:
            got = self._stream.readinto(payload)
        except zstandard.ZstdError as error:
            raise PeerMisbehaved("A frame of the stream cannot be unpacked.") from error
        if got != length or self._content:
            raise PeerMisbehaved("A frame of the stream cannot be unpacked.")
        return payload

    def read(self, _: int) -> bytes:
        """The content of the present frame, once; asked by the stream of zstd."""
        content, self._content = self._content, b""
        return content


_END = LENGTH.pack(END)


def _digest(head: bytes, content: Payload) -> bytes:
    return blake3(head).update(content).digest()


def _full(read_exactly: ReadExactly, count: int) -> bytes | bytearray:
    data = read_exactly(count)
    if len(data) != count:
        raise PeerMisbehaved("The stream was cut off.")
    return data
