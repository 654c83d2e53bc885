"""What the primary sends of a folder is read here, and checked before any of it is taken for a path or a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from appliances.beneath import STAGING, PlaceUnusable, path_problem
from sync.datasync.folders import wire
from sync.datasync.folders.report import Report
from sync.datasync.folders.walk import LONG_PATH, directory_digest, root_digest
from sync.datasync.folders.write import StagedFile, Writer
from sync.rules.folders import Entry, Patterns, is_spared, join

Frames = Iterable[bytes | bytearray]
IN_THE_WAY = "not copied: the backup has here what is not followed"


@dataclass
class Theirs:
    """What the primary's look found; without the directories where its digest was known before."""

    root: str = ""
    directories: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def read_look(frames: Frames, tick: Callable[[], None]) -> Theirs:
    """The answer to FolderBegin.

    Raises:
        PeerMisbehaved; PlaceUnusable: the primary's look failed.
    """
    found = Theirs()
    for frame in frames:
        tick()
        header, body = wire.unpack(frame)
        if "failed" in header:
            raise PlaceUnusable(f"The primary cannot read its folder: {str(header['failed'])[:300]}")
        if "root" in header:
            found.root = wire.digest_of(header["root"])
        elif header.get("items") == "directories":
            for item in wire.items_of(body):
                path, digest, files, size = _several(item, 4)
                found.directories[wire.directory_of(path)] = (
                    wire.digest_of(digest),
                    wire.count_of(files),
                    wire.count_of(size),
                )
        elif header.get("items") == "skipped":
            for item in wire.items_of(body):
                path, why = _several(item, 2)
                if not isinstance(path, str):
                    wire.misbehaved()
                found.skipped[path] = str(why)[:200]
        elif "looking" not in header:
            wire.misbehaved()
    digests = ((path, digest) for path, (digest, _, _) in found.directories.items())
    if not found.root or (found.directories and root_digest(digests) != found.root):
        wire.misbehaved()
    return found


def read_entries(frames: Frames, asked: Iterable[str]) -> Iterator[tuple[str, int, dict[str, Entry]]]:
    """The answer to FolderEntries: path, permissions and files of each directory asked for, in that order."""
    left = list(reversed(list(asked)))
    path, mode, files = "", 0, dict[str, Entry]()
    is_open = False
    for frame in frames:
        header, body = wire.unpack(frame)
        if header.get("items") != "entries":
            wire.misbehaved()
        for item in wire.items_of(body):
            if len(item) != 2:
                entry = wire.entry_of(item)
                if not is_open or entry.name in files:
                    wire.misbehaved()
                files[entry.name] = entry
                continue
            if is_open:
                yield path, mode, files
            path, mode, files, is_open = wire.directory_of(item[0]), _mode(item[1]), {}, True
            if not left or left.pop() != path:
                wire.misbehaved("names a directory that was not asked for")
    if is_open:
        yield path, mode, files
    if left:
        wire.misbehaved("ended too early")


class Fetch:
    """The answer to FolderFiles, staged and given names by `writer`.

    `whole` are the directories of which all files were asked for, with the digest that the look gave; `named` the
    files asked for in others, as they were listed. `spared` are paths here that nothing is written to.
    """

    def __init__(
        self,
        writer: Writer,
        report: Report,
        patterns: Patterns,
        spared: dict[str, str],
        count: Callable[[int, int], None],
    ) -> None:
        self._writer = writer
        self._report = report
        self._patterns = patterns
        self._spared = spared
        self._count = count
        self.received: dict[str, dict[str, Entry]] = {}
        self._whole: dict[str, str] = {}
        self._named: dict[str, dict[str, Entry]] = {}
        self._at: tuple[str, int] | None = None
        self._large: tuple[str, str, StagedFile, ExitStack] | None = None

    def read(self, frames: Frames, whole: dict[str, str], named: dict[str, dict[str, Entry]]) -> None:
        """Read one answer to its end.

        Raises:
            PeerMisbehaved, OSError: what had its name by then is whole and as the primary listed it.
        """
        self._whole, self._named, self._at = whole, named, None
        left = {(path, name) for path, files in named.items() for name in files}
        try:
            for frame in frames:
                header, body = wire.unpack(frame)
                path = wire.directory_of(header.get("directory"))
                if path not in whole and path not in named:
                    wire.misbehaved("names a directory that was not asked for")
                for name in self._take(path, header, body):
                    left.discard((path, name))
                if self._writer.is_full:
                    self._writer.publish()
            self._ended()
            self._writer.publish(everything=True)
        finally:
            self._drop_large()
        for path, name in sorted(left):
            self._report.add(join(path, name), "not sent by the primary")

    def _take(self, path: str, header: dict[str, Any], body: memoryview) -> list[str]:
        """Take in one frame; the names that are done with."""
        if "mode" in header:
            self._ended()
            self._at = (path, _mode(header["mode"]))
            if path in self._whole:
                self.received[path] = {}
                self._writer.done.modes[path] = self._at[1]
            return []
        if "lost" in header:
            return self._lost(path, header)
        if self._at is None or self._at[0] != path:
            wire.misbehaved()
        if "files" in header:
            return self._small(path, header["files"], body)
        return self._piece(path, header, body)

    def _lost(self, path: str, header: dict[str, Any]) -> list[str]:
        names = []
        if not isinstance(header["lost"], list):
            wire.misbehaved()
        for item in header["lost"]:
            name, why = _several(item, 2)
            names.append(wire.name_of(name))
            self._report.add(join(path, name), str(why))
        self._report.count += wire.count_of(header.get("more", 0))
        self._drop_large()
        return names

    def _small(self, path: str, listed: object, body: memoryview) -> list[str]:
        if not isinstance(listed, list):
            wire.misbehaved()
        entries = [wire.entry_of(values) for values in listed]
        if sum(entry.size for entry in entries) != len(body):
            wire.misbehaved("is cut off")
        at = 0
        for entry in entries:
            content = body[at : at + entry.size]
            at += entry.size
            if self._may_write(path, entry.name):
                is_kept = self._writer.stage(path, entry, [content], is_proved=self._is_listed(path, entry))
                self._note(path, entry, is_kept)
        self._count(len(entries), at)
        return [entry.name for entry in entries]

    def _piece(self, path: str, header: dict[str, Any], body: memoryview) -> list[str]:
        name, at = wire.name_of(header.get("name")), wire.count_of(header.get("at"))
        self._count(0, len(body))
        if at == 0:  # a file that changed while it was read begins again
            self._drop_large()
            if self._may_write(path, name):
                stack = ExitStack()
                known = self._named.get(path, {}).get(name)
                file = stack.enter_context(self._writer.staging(path, name, known.size if known else 0))
                self._large = (path, name, file, stack)
        if self._large is None or self._large[:2] != (path, name):
            if self._may_write(path, name, is_quiet=True):
                wire.misbehaved("carries a piece of another file")
            return [name] if "file" in header else []
        file = self._large[2]
        if file.size != at:
            wire.misbehaved("carries a piece of another file")
        file.write(body)
        if "file" not in header:
            return []
        entry = wire.entry_of(header["file"])
        if entry.name != name:
            wire.misbehaved("carries a piece of another file")
        self._note(path, entry, file.finish(entry, is_proved=self._is_listed(path, entry)))
        self._drop_large()
        self._count(1, 0)
        return [name]

    def _drop_large(self) -> None:
        if self._large is not None:
            self._large[3].close()
            self._large = None

    def _may_write(self, path: str, name: str, *, is_quiet: bool = False) -> bool:
        where = join(path, name)
        is_asked = path in self._whole or name in self._named[path]
        # Directory and name have been looked at by themselves, so only what the two are together is left.
        if not is_asked or where == STAGING or (len(where) > LONG_PATH and path_problem(where)):
            wire.misbehaved("carries a file that was not asked for")
        if not self._patterns.takes_all and not self._patterns.takes_file(where):
            wire.misbehaved("carries a file that was not asked for")
        if not self._spared or not is_spared(where, self._spared):
            return True
        if not is_quiet:
            self._report.add(where, IN_THE_WAY)
        return False

    def _is_listed(self, path: str, entry: Entry) -> bool:
        return self._named.get(path, {}).get(entry.name) == entry

    def _note(self, path: str, entry: Entry, is_kept: bool) -> None:
        if is_kept:
            self.received.setdefault(path, {})[entry.name] = entry

    def _ended(self) -> None:
        """The directory has ended: where its files are those of its digest, they may have their names now."""
        if self._at is None or self._at[0] not in self._whole:
            return
        path, mode = self._at
        if directory_digest(mode, self.received[path].values()) == self._whole[path]:
            self._writer.prove(path)


def _several(item: object, count: int) -> list[Any]:
    if not isinstance(item, list) or len(item) != count:
        wire.misbehaved()
    return item


def _mode(value: object) -> int:
    mode = wire.count_of(value)
    if mode != mode & 0o777:
        wire.misbehaved()
    return mode
