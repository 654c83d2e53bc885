"""What the frames of a data-sync carry: a line of JSON that says what follows, then the bytes.

    {"dataset": label}                               rows of a settings table
    {"dataset": label, "origin": .., "incarnation": ..}   append-only rows
    {"deletions": true}                              what tombstones name, a line each: dataset and id
    {"push": {..}}                                   which rows follow; the body lists the blobs that come first

Rows are lines of one byte stream a section that frames cut anywhere, so a row may be larger than a frame. How blobs
are carried is told in `blob_frames`.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from appliances import blobs
from sync.datasync.marks import is_place
from sync.datasync.rows import MAX_ROW_BYTES
from sync.errors import PeerMisbehaved
from sync.rules.diff import Wanted

FRAME_BYTES = 1024 * 1024
MAX_HEADER_BYTES = 512
BODY_BYTES = FRAME_BYTES - MAX_HEADER_BYTES
_DELETIONS = {"deletions": True}
_DELETION = re.compile(rb"([A-Za-z.]{1,60}) ([0-9a-f]{32})")


@dataclass(frozen=True)
class Section:
    """The rows that a frame belongs to; `origin` is empty for a settings table."""

    dataset: str
    origin: str = ""
    incarnation: int = 0

    @property
    def header(self) -> dict[str, Any]:
        """What is written before the rows."""
        if not self.origin:
            return {"dataset": self.dataset}
        return {"dataset": self.dataset, "origin": self.origin, "incarnation": self.incarnation}


def split(frame: bytes | bytearray) -> tuple[dict[str, Any], memoryview]:
    """The header and the body of a frame, which is not copied.

    Raises:
        PeerMisbehaved: not a frame of a data-sync.
    """
    end = frame.find(b"\n", 0, MAX_HEADER_BYTES)
    try:
        header = json.loads(frame[:end]) if end > 0 else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise PeerMisbehaved("a frame of the data-sync has no header")
    return header, memoryview(frame)[end + 1 :]


def section_of(header: dict[str, Any]) -> Section:
    """The section that a header of rows names."""
    try:
        section = Section(**header)
    except TypeError as error:
        raise PeerMisbehaved("a frame of the data-sync has an unknown header") from error
    if section.header != header:
        raise PeerMisbehaved("a frame of the data-sync has an unknown header")
    return section


def of_rows(section: Section, lines: Iterable[bytes]) -> Iterator[bytes]:
    """The frames that carry these rows."""
    return of_lines(section.header, lines)


def of_lines(header: dict[str, Any], lines: Iterable[bytes]) -> Iterator[bytes]:
    """The frames that carry these lines, each with this header."""
    head = json.dumps(header).encode() + b"\n"
    waiting = bytearray()
    for line in lines:
        waiting += line + b"\n"
        while len(waiting) >= BODY_BYTES:
            yield head + waiting[:BODY_BYTES]
            del waiting[:BODY_BYTES]
    if waiting:
        yield head + waiting


def of_deletions(named: Iterable[tuple[str, UUID]]) -> Iterator[bytes]:
    """The frames that carry what tombstones name."""
    return of_lines(_DELETIONS, (f"{dataset} {key.hex}".encode() for dataset, key in named))


def deletions_of(frames: Iterable[bytes | bytearray]) -> Iterator[tuple[str, UUID]]:
    """What tombstones name, as `of_deletions` carries it.

    Raises:
        PeerMisbehaved: it is something else.
    """
    cutter = LineCutter()
    for header, body in map(split, frames):
        if header != _DELETIONS:
            raise PeerMisbehaved("something else comes than what is to be deleted")
        for line in cutter.feed(body):
            found = _DELETION.fullmatch(line)
            if found is None:
                raise PeerMisbehaved("what is to be deleted is not well-formed")
            yield found[1].decode(), UUID(found[2].decode())
    cutter.finish()


class LineCutter:
    """Puts the pieces of one section together and gives back whole lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes | memoryview) -> list[bytes]:
        """The lines that are complete with this piece."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > MAX_ROW_BYTES:
            raise PeerMisbehaved("a row of the data-sync is too large")
        return lines

    def finish(self) -> None:
        """Raises PeerMisbehaved if a line was cut off."""
        if self._rest:
            raise PeerMisbehaved("a row of the data-sync was cut off")


def of_push(wanted: Wanted, listed: Mapping[str, int]) -> bytes:
    """The first frame of a push: which rows follow, and the blobs that come before them with their sizes."""
    return json.dumps({"push": dataclasses.asdict(wanted)}).encode() + b"\n" + json.dumps(listed).encode()


def push_of(header: dict[str, Any], body: memoryview) -> tuple[Wanted, dict[str, int]]:
    """What the first frame of a push says.

    Raises:
        PeerMisbehaved: it is not one.
    """
    try:
        listed = json.loads(bytes(body))
        wanted = Wanted(**header["push"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise PeerMisbehaved("a push of the data-sync does not say what it carries") from error
    types = [type(value) for value in dataclasses.astuple(wanted)]
    if types != [str, str, int, int, int, type(None), type(None)] or not isinstance(listed, dict):
        raise PeerMisbehaved("a push of the data-sync does not say what it carries")
    if not 0 <= wanted.after <= wanted.upto or not is_place(wanted.origin, wanted.incarnation, wanted.upto):
        raise PeerMisbehaved("a push of the data-sync does not say what it carries")
    if not all(blobs.is_blob_id(blob_id) and type(size) is int and size >= 0 for blob_id, size in listed.items()):
        raise PeerMisbehaved("a push of the data-sync does not say what it carries")
    return wanted, listed


class FrameReader:
    """Frames with one looked at in advance, so that whoever reads a part stops at its end."""

    def __init__(self, frames: Iterable[bytes | bytearray]) -> None:
        self._frames = iter(frames)
        self._next: tuple[dict[str, Any], memoryview] | None = None

    def peek(self) -> tuple[dict[str, Any], memoryview] | None:
        """The next frame, or None at the end."""
        if self._next is None:
            frame = next(self._frames, None)
            self._next = None if frame is None else split(frame)
        return self._next

    def take(self) -> tuple[dict[str, Any], memoryview]:
        """The next frame; it counts as read."""
        found = self.peek()
        if found is None:
            raise PeerMisbehaved("the stream of the data-sync ended too early")
        self._next = None
        return found
