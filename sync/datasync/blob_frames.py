"""How blobs are carried: one after another in the order agreed on, small ones many to a frame.

    {"pack": n}              n lengths of 4 bytes, then n whole blobs; length 0xFFFFFFFF: the sender does not have it
    {"blob": id, "size": n}  a piece of a larger blob

Nothing here is believed: whoever stores a blob compares its hash with its id.
"""

from __future__ import annotations

import json
import struct
from collections import deque
from collections.abc import Iterable, Iterator

from appliances import blobs
from sync.datasync.frames import BODY_BYTES, FrameReader
from sync.errors import PeerMisbehaved

SMALL_BYTES = 128 * 1024  # a larger blob has frames of its own
LACKING = 0xFFFFFFFF
LENGTH_BYTES = 4


def of_blobs(wanted: Iterable[str], *, may_lack: bool = False) -> Iterator[bytes | bytearray]:
    """The frames that carry these blobs, in this order.

    Raises:
        appliances.blobs.BlobMissing: one is not here, unless the receiver is to be told so (`may_lack`).
    """
    pack: list[bytes | None] = []
    taken = 0
    for blob_id in wanted:
        try:
            content = blobs.read_small(blob_id, SMALL_BYTES)
        except blobs.BlobMissing:
            if not may_lack:
                raise
            pack.append(None)
            taken += LENGTH_BYTES
            continue
        room = LENGTH_BYTES + (SMALL_BYTES if content is None else len(content))
        if pack and (content is None or taken + room > BODY_BYTES - LENGTH_BYTES):
            yield _packed(pack)
            pack, taken = [], 0
        if content is None:
            yield from _pieces(blob_id)
        else:
            pack.append(content)
            taken += room
    if pack:
        yield _packed(pack)


class BlobReader:
    """The blobs that come next in a stream. Read all pieces of one before the next."""

    def __init__(self, reader: FrameReader) -> None:
        self._reader = reader
        self._pack: deque[memoryview | None] = deque()

    def take(self, blob_id: str) -> memoryview | Iterator[memoryview] | None:
        """The content of a blob, whole or in pieces; None if the peer does not have it.

        Raises:
            PeerMisbehaved: something else comes next.
        """
        if not self._pack:
            header, body = self._reader.peek() or ({}, memoryview(b""))
            if set(header) != {"pack"}:
                return self._pieces(blob_id, _size_of(header, blob_id))
            self._reader.take()
            self._pack.extend(_unpacked(header["pack"], body))
        return self._pack.popleft()

    def finish(self) -> None:
        """Raises PeerMisbehaved unless all that came was taken."""
        if self._pack:
            raise PeerMisbehaved("the data-sync carries more files than asked for")

    def _pieces(self, blob_id: str, size: int) -> Iterator[memoryview]:
        left = size
        while left:
            header, piece = self._reader.take()
            if header != {"blob": blob_id, "size": size} or not 0 < len(piece) <= left:
                raise PeerMisbehaved("a file of the data-sync was cut off")
            left -= len(piece)
            yield piece


def _packed(contents: list[bytes | None]) -> bytes:
    lengths = struct.pack(f">{len(contents)}I", *(LACKING if one is None else len(one) for one in contents))
    return b"".join((_header({"pack": len(contents)}), lengths, *(one for one in contents if one)))


def _unpacked(count: object, body: memoryview) -> Iterator[memoryview | None]:
    if type(count) is not int or not 0 < count <= len(body) // LENGTH_BYTES:
        raise PeerMisbehaved("a frame of files does not say what it carries")
    at = count * LENGTH_BYTES
    lengths = struct.unpack(f">{count}I", body[:at])
    if at + sum(length for length in lengths if length != LACKING) != len(body):
        raise PeerMisbehaved("a frame of files does not carry what it says")
    for length in lengths:
        if length == LACKING:
            yield None
        else:
            yield body[at : at + length]
            at += length


def _size_of(header: dict[str, object], blob_id: str) -> int:
    size = header.get("size")
    if set(header) != {"blob", "size"} or header["blob"] != blob_id or type(size) is not int or size <= 0:
        raise PeerMisbehaved("the stream of the data-sync carries another file than asked for")
    return size


def _pieces(blob_id: str) -> Iterator[bytearray]:
    with blobs.open_blob(blob_id) as file:
        left = size = blobs.size(blob_id)
        head = _header({"blob": blob_id, "size": size})
        while left:
            count = min(left, BODY_BYTES)
            frame = bytearray(len(head) + count)
            frame[: len(head)] = head
            file.readinto(memoryview(frame)[len(head) :])  # type: ignore[attr-defined]
            left -= count
            yield frame


def _header(said: dict[str, object]) -> bytes:
    return json.dumps(said).encode() + b"\n"
