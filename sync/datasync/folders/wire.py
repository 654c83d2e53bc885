"""What the frames of a folder carry: the length of a header, a header of JSON, then bytes.

    {"looking": true}                            the primary is still looking
    {"root": digest, "files": n, "size": n}      its look has ended
    {"items": kind}                              a compressed JSON list: part of a long list
    {"directory": d, "files": [entry, ..]}       whole files, one after the other
    {"directory": d, "name": n, "at": offset}    a piece of a large file; the last one has "file": entry
    {"directory": d, "lost": [[name, why], ..]}  files that cannot be sent
    {"failed": sentence}                         the look has failed

Nothing that a peer sends is a path before `directory_of` and `entry_of` have accepted it.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from appliances.beneath import name_problem, path_problem
from sync.errors import PeerMisbehaved
from sync.rules.folders import Entry

FRAME_BYTES = 1024 * 1024
TEXT_BYTES = 900_000  # of a list in one frame, so that it fits even where it cannot be compressed
MAX_TEXT_BYTES = 4 * 1024 * 1024
LARGEST = 2**63 - 1
_LENGTH = struct.Struct(">I")
_DIGEST = re.compile(r"[0-9a-f]{32}")
_COMPRESSION = 1  # the fastest: a list becomes a third of its size


def pack(header: dict[str, Any], *body: bytes) -> bytes:
    """One frame."""
    head = json.dumps(header, separators=(",", ":")).encode()
    return b"".join((_LENGTH.pack(len(head)), head, *body))


def unpack(frame: bytes | bytearray) -> tuple[dict[str, Any], memoryview]:
    """The header and the bytes of a frame.

    Raises:
        PeerMisbehaved: not a frame of a folder.
    """
    view = memoryview(frame)
    try:
        (length,) = _LENGTH.unpack_from(view)
        header = json.loads(bytes(view[_LENGTH.size : _LENGTH.size + length]))
    except (struct.error, ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        misbehaved()
    return header, view[_LENGTH.size + length :]


def of_items(kind: str, items: Iterable[list[Any]]) -> Iterator[bytes]:
    """The frames that carry a list of any length."""
    texts: list[str] = []
    size = 0
    for item in items:
        text = json.dumps(item, separators=(",", ":"))
        if size + len(text) > TEXT_BYTES:
            yield _of_texts(kind, texts)
            texts, size = [], 0
        texts.append(text)
        size += len(text) + 1
    if texts:
        yield _of_texts(kind, texts)


def _of_texts(kind: str, texts: list[str]) -> bytes:
    return pack({"items": kind}, zlib.compress(f"[{','.join(texts)}]".encode(), _COMPRESSION))


def items_of(body: memoryview) -> list[list[Any]]:
    """The part of a list that a frame carries.

    Raises:
        PeerMisbehaved: not a list of lists, or one that is larger than any frame makes.
    """
    try:
        inflater = zlib.decompressobj()
        text = inflater.decompress(body, MAX_TEXT_BYTES)
        found = json.loads(text) if inflater.eof else None
    except (zlib.error, ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(item, list) for item in found):
        misbehaved()
    return found


def directory_of(value: object) -> str:
    """A directory below the root of a folder, as a peer named it.

    Raises:
        PeerMisbehaved: it is none.
    """
    if not isinstance(value, str) or path_problem(value):
        misbehaved("names a path outside of it")
    return value


def entry_of(values: object) -> Entry:
    """A file, as a peer described it.

    Raises:
        PeerMisbehaved: it is none.
    """
    if not isinstance(values, list) or len(values) != len(Entry._fields):
        misbehaved()
    entry = Entry(*values)
    name_of(entry.name)
    if any(type(value) is not int for value in entry[1:4]) or not isinstance(entry.digest, str):
        misbehaved()
    if not (0 <= entry.size <= LARGEST and abs(entry.mtime_ns) <= LARGEST and entry.mode == entry.mode & 0o777):
        misbehaved()
    digest_of(entry.digest)
    return entry


def name_of(value: object) -> str:
    """The name of a file, as a peer gave it."""
    if not isinstance(value, str) or name_problem(value):
        misbehaved("names a file that cannot be one")
    return value


def digest_of(value: object) -> str:
    """A digest, as a peer gave it."""
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        misbehaved()
    return value


def count_of(value: object) -> int:
    """A number of files or bytes, as a peer gave it."""
    if type(value) is not int or not 0 <= value <= LARGEST:
        misbehaved()
    return value


def misbehaved(what: str = "is not well-formed") -> NoReturn:
    """Raises PeerMisbehaved."""
    raise PeerMisbehaved(f"the data-sync of a folder {what}")
