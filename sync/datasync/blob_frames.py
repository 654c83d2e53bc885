"""How blobs are carried: one after another in the order agreed on, small ones many to a frame.

    {"pack": n}          n lengths of 4 bytes, then n whole blobs; length 0xFFFFFFFF: the sender does not have it
    {"blob": id, "size": n, "from": start}                          a piece of a larger blob
    {"blob": id, "size": n, "from": start, "copy": [at, length]}    such a piece, out of the earlier version of the file
    {"blob": id, "size": n, "from": start, "ends": true}            the sender cannot read on: nothing more of it comes

A larger blob begins at `start` where the receiver has what precedes it from an earlier attempt. Nothing here is
believed: whoever stores a blob compares its hash with its id.
"""

from __future__ import annotations

import json
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from appliances import blob_delta, blobs
from appliances.blob_delta import Part
from appliances.choices import FileProblem
from sync.datasync.frames import BODY_BYTES, FrameReader
from sync.errors import PeerMisbehaved

SMALL_BYTES = 128 * 1024  # a larger blob has frames of its own
LACKING = 0xFFFFFFFF
LENGTH_BYTES = 4
# A sender that looks through a whole file says so once a step: at its head, at its tail, and in between.
MOST_SIGNS = 3 * blobs.MAX_BLOB_BYTES // blob_delta.STEP_BYTES


Lacks = Callable[[str, FileProblem, str], None]  # is told of each blob that cannot be sent, and why


class CutShort(blobs.BlobError):
    """The sender could not read the blob to its end."""


@dataclass(frozen=True)
class Helps:
    """What the receiver has of larger blobs: how many bytes, by blob; and the earlier version of the file, by blob."""

    starts: Mapping[str, int] = field(default_factory=dict)
    bases: Mapping[str, str] = field(default_factory=dict)


NO_HELPS = Helps()


def of_blobs(
    wanted: Iterable[str], helps: Helps = NO_HELPS, *, lacks: Lacks | None = None
) -> Iterator[bytes | bytearray]:
    """The frames that carry these blobs, in this order. With `lacks`, the receiver is told of those that cannot be had.

    Raises:
        appliances.blobs.BlobMissing, OSError: without `lacks`, one is not here, or cannot be read.
    """
    pack: list[bytes | None] = []
    taken = 0
    for blob_id in wanted:
        try:
            content = blobs.read_small(blob_id, SMALL_BYTES)
        except (blobs.BlobMissing, OSError) as error:
            if lacks is None:
                raise
            _tell(lacks, blob_id, error)
            pack.append(None)
            taken += LENGTH_BYTES
            continue
        room = LENGTH_BYTES + (SMALL_BYTES if content is None else len(content))
        if pack and (content is None or taken + room > BODY_BYTES - LENGTH_BYTES):
            yield _packed(pack)
            pack, taken = [], 0
        if content is None:
            yield from _larger(blob_id, helps, lacks)
        else:
            pack.append(content)
            taken += room
    if pack:
        yield _packed(pack)


@dataclass(frozen=True)
class Incoming:
    """A larger blob that comes: its size, where it begins, and its pieces from there. Read them all.

    A piece without bytes is a sign of life of a sender that is still looking what to send.
    """

    size: int
    start: int
    pieces: Iterator[memoryview]


class BlobReader:
    """The blobs that come next in a stream. Read all pieces of one before the next, and none after the next."""

    def __init__(self, reader: FrameReader, helps: Helps = NO_HELPS) -> None:
        self._reader = reader
        self._helps = helps
        self._pack: deque[memoryview | None] = deque()

    def take(self, blob_id: str) -> memoryview | Incoming | None:
        """The content of a blob; None if the peer does not have it.

        Raises:
            PeerMisbehaved: something else comes next.
        """
        if not self._pack:
            header, body = self._reader.peek() or ({}, memoryview(b""))
            if set(header) != {"pack"}:
                return self._larger(header, blob_id)
            self._reader.take()
            self._pack.extend(_unpacked(header["pack"], body))
        return self._pack.popleft()

    def finish(self) -> None:
        """Raises PeerMisbehaved unless all that came was taken."""
        if self._pack:
            raise PeerMisbehaved("the data-sync carries more files than asked for")

    def _larger(self, header: dict[str, object], blob_id: str) -> Incoming:
        size, start = header.get("size"), header.get("from")
        if header.get("blob") != blob_id or type(size) is not int or type(start) is not int:
            raise PeerMisbehaved("the stream of the data-sync carries another file than asked for")
        if start not in (0, self._helps.starts.get(blob_id, 0)) or not start < size:
            raise PeerMisbehaved("a file of the data-sync does not begin where it was asked for")
        said = {"blob": blob_id, "size": size, "from": start}
        return Incoming(size, start, self._pieces(said, size - start))

    def _pieces(self, said: dict[str, object], left: int) -> Iterator[memoryview]:
        signs = 0  # one after the other
        while left:
            header, piece = self._reader.take()
            if header == {**said, "ends": True} and not piece:
                raise CutShort(f"the peer cannot read {said['blob']}")
            if "copy" in header:
                at, length = _copy_of(header.pop("copy"), left)
                if header != said or piece:
                    raise PeerMisbehaved("a file of the data-sync was cut off")
                left -= length
                signs = 0 if length else signs + 1
                if signs > MOST_SIGNS:
                    raise PeerMisbehaved("the peer says for ever that a file of the data-sync is still to come")
                yield from self._copied(str(said["blob"]), at, length) if length else (memoryview(b""),)
                continue
            if header != said or not 0 < len(piece) <= left:
                raise PeerMisbehaved("a file of the data-sync was cut off")
            left -= len(piece)
            signs = 0
            yield piece

    def _copied(self, blob_id: str, at: int, length: int) -> Iterator[memoryview]:
        base = self._helps.bases.get(blob_id, "")
        if not base:
            raise PeerMisbehaved("a file of the data-sync refers to another one that was not named")
        buffer = memoryview(bytearray(min(length, BODY_BYTES)))
        with blobs.open_blob(base) as file:
            file.seek(at)
            while length:
                got = file.readinto(buffer[: min(length, len(buffer))])  # type: ignore[attr-defined]
                if not got:
                    raise PeerMisbehaved("a file of the data-sync refers to what its earlier version does not have")
                length -= got
                yield buffer[:got]


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


def _copy_of(said: object, left: int) -> tuple[int, int]:
    if not isinstance(said, list) or [type(number) for number in said] != [int, int]:
        raise PeerMisbehaved("a file of the data-sync does not say what it is made of")
    at, length = said
    if not 0 <= at <= blobs.MAX_BLOB_BYTES or not 0 <= length <= left:
        raise PeerMisbehaved("a file of the data-sync does not say what it is made of")
    return at, length


def _larger(blob_id: str, helps: Helps, lacks: Lacks | None) -> Iterator[bytes | bytearray]:
    said = {"blob": blob_id, "size": 1, "from": 0}
    base = helps.bases.get(blob_id, "")
    try:
        size = blobs.size(blob_id)
        start = helps.starts.get(blob_id, 0)
        start = start if 0 < start < size else 0
        said = {"blob": blob_id, "size": size, "from": start}
        with blobs.open_blob(blob_id) as file:
            for part in _parts(file, base, start, size):
                if part.is_copy:
                    yield _header({**said, "copy": [part.at, part.length]})
                else:
                    yield from _pieces(file, _header(said), part)
    except (blobs.BlobMissing, OSError) as error:
        if lacks is None:
            raise
        if not base:  # else it may be the earlier version that cannot be read: it is asked for again without that
            _tell(lacks, blob_id, error)
        yield _header({**said, "ends": True})


def _tell(lacks: Lacks, blob_id: str, error: blobs.BlobMissing | OSError) -> None:
    if isinstance(error, blobs.BlobMissing):
        lacks(blob_id, FileProblem.MISSING, "")
    else:
        lacks(blob_id, FileProblem.CORRUPT, f"It cannot be read: {error}")


def _parts(file: BinaryIO, base: str, start: int, size: int) -> Iterator[Part]:
    """What the blob consists of from `start` on."""
    if not base or not blobs.has(base):
        yield Part(is_copy=False, at=start, length=size - start)
        return
    with blobs.open_blob(base) as earlier:
        for part in blob_delta.parts(earlier.fileno(), file.fileno()):
            skipped = min(start, part.length)
            start -= skipped
            if skipped >= blob_delta.STEP_BYTES:  # looked at for nothing, and the receiver waits
                yield Part(is_copy=True, at=0, length=0)
            if not part.length or skipped < part.length:
                yield Part(part.is_copy, part.at + skipped, part.length - skipped)


def _pieces(file: BinaryIO, head: bytes, part: Part) -> Iterator[bytearray]:
    file.seek(part.at)
    left = part.length
    while left:
        count = min(left, BODY_BYTES)
        frame = bytearray(len(head) + count)
        frame[: len(head)] = head
        file.readinto(memoryview(frame)[len(head) :])  # type: ignore[attr-defined]
        left -= count
        yield frame


def _header(said: dict[str, object]) -> bytes:
    return json.dumps(said).encode() + b"\n"
