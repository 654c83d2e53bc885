"""Folders of the administrator's own: which paths count, what moves, is deleted or kept, and when to ask first."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from sync.rules.brake import LEAST_RECORDS, Removal

MAX_NAME_BYTES = 255


class Entry(NamedTuple):
    """A regular file: name (as `os.fsdecode` gives it), bytes, nanoseconds, permission bits, and BLAKE3-128 (hex)."""

    name: str
    size: int
    mtime_ns: int
    mode: int
    digest: str


def join(directory: str, name: str) -> str:
    """The path of a name in a directory."""
    return f"{directory}/{name}" if directory else name


def parents(path: str) -> list[str]:
    """The path itself and every directory above it but the root, the longest first."""
    parts = path.split("/") if path else []
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


# --- patterns -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Patterns:
    """Which paths of a folder are synchronised, one pattern a line; the same on both appliances.

    `*` and `?` stand for anything within a name, `**` for any number of directories. A pattern without a slash means
    that name anywhere; with one at its end, directories only. What is excluded is neither copied nor deleted. Where
    something is included, only files that match are copied.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes_directory(self, path: str) -> bool:
        """Whether this directory is looked into."""
        return not any(_matcher(pattern.rstrip("/")).fullmatch(path) for pattern in self.exclude)

    def takes_file(self, path: str) -> bool:
        """Whether this file is synchronised, in a directory that is looked into."""
        if any(_matcher(pattern).fullmatch(path) for pattern in self.exclude if not pattern.endswith("/")):
            return False
        if not self.include:
            return True
        return any(
            _matcher(pattern.rstrip("/")).fullmatch(part)
            for pattern in self.include
            for part in (parents(path)[1:] if pattern.endswith("/") else parents(path))
        )

    @property
    def takes_all(self) -> bool:
        """Whether no path need be looked at."""
        return not self.include and not self.exclude


def lines_of(text: str) -> tuple[str, ...]:
    """The patterns of a text, one a line; lines that begin with # say nothing."""
    stripped = (line.strip() for line in text.splitlines())
    return tuple(line for line in stripped if line and not line.startswith("#"))


@lru_cache(maxsize=500)
def _matcher(pattern: str) -> re.Pattern[str]:
    text = "".join(_TOKENS.get(token, re.escape(token)) for token in re.findall(r"\*\*/|\*\*|\*|\?|.", pattern))
    return re.compile(text if "/" in pattern else rf"(?:.*/)?{text}", re.DOTALL)


_TOKENS = {"**/": r"(?:.*/)?", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}


# --- what is to be done -------------------------------------------------------------------------------------------


@dataclass
class Work:
    """What makes this directory as it should be; files by name.

    `fetch`: bytes are needed; `restamp`: only time and permissions differ; `delete`: not on the primary;
    `both`: changed on both sides, so this side's file is kept under another name before the primary's comes; `only`:
    a mirror would overwrite or delete it, but as it is here the primary is not known to have ever had it.
    """

    fetch: list[Entry] = field(default_factory=list)
    restamp: list[Entry] = field(default_factory=list)
    delete: list[Entry] = field(default_factory=list)
    both: list[Entry] = field(default_factory=list)
    only: list[Entry] = field(default_factory=list)


def mirror(theirs: Mapping[str, Entry], mine: Mapping[str, Entry], agreed: Mapping[str, str]) -> Work:
    """The primary's files replace those here. `agreed`: the digests that both held after the latest data-sync."""
    work = Work(delete=[entry for name, entry in mine.items() if name not in theirs])
    for name, entry in theirs.items():
        held = mine.get(name)
        if held is not None and held.digest == entry.digest and held.size == entry.size:
            if held != entry:
                work.restamp.append(entry)
        else:
            work.fetch.append(entry)
    lost = [*work.delete, *(mine[entry.name] for entry in work.fetch if entry.name in mine)]
    work.only = [entry for entry in lost if agreed.get(entry.name) != entry.digest]
    return work


def union(theirs: Mapping[str, Entry], mine: Mapping[str, Entry], agreed: Mapping[str, str]) -> Work:
    """Nothing is lost on either side. `agreed`: the digests that both held after the latest complete data-sync.

    A file that only this side changed stays as it is here; one that only the primary changed is replaced; one that
    both changed is kept twice.
    """
    work = Work()
    for name, entry in theirs.items():
        held = mine.get(name)
        if held is None:
            work.fetch.append(entry)
        elif held.digest == entry.digest and held.size == entry.size:
            if held != entry:
                work.restamp.append(entry)
        elif agreed.get(name) == held.digest:
            work.fetch.append(entry)
        elif agreed.get(name) != entry.digest:
            work.both.append(entry)
    return work


def is_spared(path: str, skipped: Collection[str]) -> bool:
    """Whether nothing is said about this path: the primary could not look at it, or at a directory above it."""
    return any(part in skipped for part in parents(path))


def needs_agreement(deletions: int, held: int) -> bool:
    """Whether so many deletions, of so many files held, wait until an administrator agrees.

    However few they are, not all of them go unasked: the primary's disk may not be mounted.
    """
    return deletions == held > 0 or Removal("files", deletions, held, LEAST_RECORDS).is_much


def conflict_name(name: str, digest: str) -> str:
    """The name under which this appliance's version is kept beside the primary's."""
    stem, dot, ending = name.rpartition(".")
    if not stem:
        stem, dot, ending = name, "", ""
    mark = f".conflict-{digest[:8]}"
    tail = f"{mark}{dot}{ending}"
    room = MAX_NAME_BYTES - len(tail.encode("utf-8", "surrogateescape"))
    if room <= 0:
        tail, room = mark, MAX_NAME_BYTES - len(mark)
    if len(stem.encode("utf-8", "surrogateescape")) > room:
        stem = stem.encode("utf-8", "surrogateescape")[:room].decode("utf-8", "ignore")
    return stem + tail
