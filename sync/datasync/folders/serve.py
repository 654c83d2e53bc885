"""The primary's half of a folder: look, say what is there, send what is asked for. Nothing is written to the folder."""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager

from blake3 import blake3
from django.utils import timezone

from appliances import beneath
from appliances.beneath import path_problem
from appliances.choices import FolderState
from appliances.models import Folder, FolderPlace
from sync import crash, journal
from sync.datasync.folders import walk, wire
from sync.datasync.folders.store import AGREED, Manifest, Seen
from sync.datasync.refusals import refused
from sync.errors import PeerMisbehaved
from sync.peer.messages import Done
from sync.peer.sync_messages import FolderBegin, FolderEnd, FolderEntries, FolderFiles
from sync.rules.facts import header_of
from sync.rules.folders import Entry, Patterns, lines_of
from sync.rules.snapshot import Refusal, may_serve

TICK_SECONDS = 1.0  # the backup waits half a minute for any frame
CHECK_SECONDS = 1.0
SMALL_BYTES = 256 * 1024  # a file up to this size is sent whole, with others in one frame
HEADER_BYTES = 7 * 255 + 150  # what a file takes in the header of a frame, at most
_LIST = "The list of its files cannot be read or written there ({}): look at the disk of the data folder."
LOOKED = "looked"  # the digest that the latest look gave


def rules_digest(folder: Folder) -> str:
    """A digest of all that decides which files of a folder count, and what is done with them."""
    rules = [folder.mode, lines_of(folder.include), lines_of(folder.exclude)]
    return blake3(json.dumps(rules).encode()).hexdigest(length=walk.DIGEST_BYTES)


def patterns_of(folder: Folder) -> Patterns:
    """The patterns of a folder."""
    return Patterns(lines_of(folder.include), lines_of(folder.exclude))


def begin(message: FolderBegin) -> Iterator[bytes]:
    """One look at the folder: its digest, and unless that is known, those of its directories, and what is not followed.

    Raises:
        SyncRefused: this appliance may not be the source, or has no such folder.
    """
    folder = _folder(message.folder)
    if rules_digest(folder) != message.rules:
        raise refused(Refusal.FOLDER_UNKNOWN)
    return _look(_root(message.folder), folder, message.known)


def _look(root: int, folder: Folder, known: str) -> Iterator[bytes]:
    look = walk.LookBeside(root, folder.name, patterns_of(folder))
    try:
        while not look.is_done(TICK_SECONDS):
            yield wire.pack({"looking": True})
            _in_source_state()
        try:
            tree = look.result()
        except (OSError, beneath.PlaceUnusable) as error:
            yield wire.pack({"failed": str(error)[:300]})
            return
        except sqlite3.Error as error:
            yield wire.pack({"failed": _LIST.format(error)[:300]})
            return
        found = tree.root
        with _manifest(folder.name, root) as manifest:
            if manifest.fact(LOOKED) != found:
                manifest.state(**{LOOKED: found})
        crash.point("source looked")
        yield wire.pack({"root": found, "files": tree.files, "size": tree.size})
        if found != known:
            yield from wire.of_items("directories", ([path, *said] for path, said in tree.directories.items()))
            yield from wire.of_items("skipped", map(list, tree.skipped.items()))
    finally:
        look.stop()
        os.close(root)


def entries(message: FolderEntries) -> Iterator[bytes]:
    """The files of these directories, each directory as [path, mode] before its files.

    Raises:
        SyncRefused: the folder was looked at again meanwhile.
    """
    root = _looked_at(message.folder, message.root)
    return _closing(root, _entries(message, root))


def _entries(message: FolderEntries, root: int) -> Iterator[bytes]:
    with _manifest(message.folder, root) as manifest:
        yield from wire.of_items("entries", _listed(manifest, root, message.directories))


def _listed(manifest: Manifest, root: int, directories: Iterable[str]) -> Iterator[list[object]]:
    for path in directories:
        yield [path, _mode(root, path)]
        for seen in manifest.files(path):
            yield list(seen.entry)


def files(message: FolderFiles) -> Iterator[bytes]:
    """The files asked for, as they are now; those that cannot be sent are named.

    Raises:
        SyncRefused: the folder was looked at again meanwhile.
    """
    for path in [*message.directories, *(path for path, _ in message.files)]:
        if path_problem(path):
            raise PeerMisbehaved("what is asked for is not a path of a folder")
    root = _looked_at(message.folder, message.root)
    return _closing(root, _files(message, root))


def _files(message: FolderFiles, root: int) -> Iterator[bytes]:
    checked_at = time.monotonic()
    with _manifest(message.folder, root) as manifest:
        wanted: Iterable[tuple[str, list[str] | None]] = [
            *((path, None) for path in message.directories),
            *message.files,
        ]
        for path, names in wanted:
            held = manifest.files(path)
            if names is not None:
                chosen = set(names)
                held = [seen for seen in held if seen.entry.name in chosen]
            for frame in _Sender(root, path, held).frames():
                if time.monotonic() - checked_at >= CHECK_SECONDS:
                    checked_at = time.monotonic()
                    _in_source_state()
                yield frame
                crash.point("source serving folder")


class _Sender:
    """The frames of the files of one directory."""

    def __init__(self, root: int, path: str, held: list[Seen]) -> None:
        self._root, self._path, self._held = root, path, held
        self._waiting: list[Entry] = []
        self._bodies: list[bytes] = []
        self._size = 0
        self._lost: list[list[str]] = []

    def frames(self) -> Iterator[bytes]:
        """All files; the directory by itself, if it has none."""
        try:
            opened = beneath.open_directory(self._root, self._path)
        except OSError as error:
            yield self._of_lost([[seen.entry.name, _why(error)] for seen in self._held])
            return
        try:
            yield wire.pack({"directory": self._path, "mode": walk.mode_of(self._path, opened)})
            for seen in self._held:
                if seen.entry.size > SMALL_BYTES:
                    yield from self._flushed()
                    yield from self._large(opened, seen)
                    continue
                self._take(opened, seen)
                if self._size > wire.FRAME_BYTES - SMALL_BYTES - 2 * HEADER_BYTES:
                    yield from self._flushed()
            yield from self._flushed()
            if self._lost:
                yield self._of_lost(self._lost)
        finally:
            os.close(opened)

    def _of_lost(self, lost: list[list[str]]) -> bytes:
        return wire.pack({"directory": self._path, "lost": lost[:1000], "more": max(0, len(lost) - 1000)})

    def _flushed(self) -> Iterator[bytes]:
        if self._waiting:
            yield wire.pack({"directory": self._path, "files": self._waiting}, *self._bodies)
            self._waiting, self._bodies, self._size = [], [], 0

    def _take(self, opened: int, seen: Seen) -> None:
        try:
            entry, content = _small(opened, seen)
        except walk.FileChanges:
            self._lost.append([seen.entry.name, walk.CHANGING])
        except OSError as error:
            self._lost.append([seen.entry.name, _why(error)])
        else:
            self._waiting.append(entry)
            self._bodies.append(content)
            self._size += len(content) + HEADER_BYTES

    def _large(self, opened: int, seen: Seen) -> Iterator[bytes]:
        listed = seen.entry
        for _ in range(2):
            try:
                file = beneath.open_file(opened, listed.name)
            except OSError as error:
                self._lost.append([listed.name, _why(error)])
                return
            try:
                before, at, hasher = os.fstat(file), 0, blake3()
                is_listed = _is_listed(before, seen)
                piece = os.read(file, wire.FRAME_BYTES - 2 * HEADER_BYTES)
                while True:
                    following = os.read(file, wire.FRAME_BYTES - 2 * HEADER_BYTES) if piece else b""
                    if not is_listed:
                        hasher.update(piece)
                    head = {"directory": self._path, "name": listed.name, "at": at}
                    at += len(piece)
                    if not following:
                        break
                    yield wire.pack(head, piece)
                    piece = following
                if at == before.st_size and walk.same_version(before, os.fstat(file)):
                    digest = listed.digest if is_listed else hasher.hexdigest(length=walk.DIGEST_BYTES)
                    yield wire.pack({**head, "file": walk.entry_of(listed.name, before, digest)}, piece)
                    return
            except OSError as error:
                self._lost.append([listed.name, _why(error)])
                return
            finally:
                os.close(file)
        self._lost.append([listed.name, walk.CHANGING])


def _small(opened: int, seen: Seen) -> tuple[Entry, bytes]:
    """The file as it is now, whole, and its content."""
    listed = seen.entry
    for _ in range(2):
        file = beneath.open_file(opened, listed.name)
        try:
            before = os.fstat(file)
            if before.st_size <= SMALL_BYTES:
                content = os.read(file, SMALL_BYTES + 1)
                if len(content) == before.st_size and walk.same_version(before, os.fstat(file)):
                    if _is_listed(before, seen):
                        return listed._replace(mode=before.st_mode & walk.KEPT_MODE), content
                    digest = blake3(content).hexdigest(length=walk.DIGEST_BYTES)
                    return walk.entry_of(listed.name, before, digest), content
        finally:
            os.close(file)
    raise walk.FileChanges(listed.name)


def _is_listed(status: os.stat_result, seen: Seen) -> bool:
    found = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return found == (seen.entry.size, seen.entry.mtime_ns, seen.ctime_ns)


def _why(error: OSError) -> str:
    return "deleted meanwhile" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"


def end(message: FolderEnd) -> Done:
    """The outcome is kept for the page; a complete data-sync is what a next one compares with."""
    _folder(message.folder)
    if message.complete:
        with _closed(_root(message.folder)) as root, _manifest(message.folder, root) as manifest:
            if manifest.fact(LOOKED) == message.root:
                manifest.agree()
                manifest.state(**{AGREED: message.root})
    outcome = dataclasses.asdict(message.outcome)
    if outcome["state"] not in FolderState.values:
        raise PeerMisbehaved("the outcome of a folder is not one of those there are")
    FolderPlace.objects.filter(name=message.folder).update(outcome=outcome, outcome_at=timezone.now())
    return Done(header=header_of(journal.read()))


def _folder(name: str) -> Folder:
    _in_source_state()
    folder = Folder.objects.filter(name=name, enabled=True).first()
    if folder is None:
        raise refused(Refusal.FOLDER_UNKNOWN)
    return folder


def _root(name: str) -> int:
    place = FolderPlace.objects.filter(name=name).first()
    if place is None or not place.path:
        raise refused(Refusal.FOLDER_UNUSABLE, "It has no path there.")
    try:
        return beneath.open_root(place.path)
    except beneath.PlaceUnusable as error:
        raise refused(Refusal.FOLDER_UNUSABLE, str(error)) from error


def _looked_at(name: str, digest: str) -> int:
    _folder(name)
    root = _root(name)
    with _manifest(name, root) as manifest:
        looked = manifest.fact(LOOKED)
    if looked != digest:
        os.close(root)
        raise refused(Refusal.FOLDER_CHANGED)
    return root


def _in_source_state() -> None:
    state = journal.read()
    refusal = may_serve(state, state.op.op_id if state.op else None)
    if refusal is not None:
        raise refused(refusal)


def _mode(root: int, path: str) -> int:
    try:
        with beneath.directory(root, path) as opened:
            return walk.mode_of(path, opened)
    except OSError:
        return 0o755
    except ValueError as error:
        raise PeerMisbehaved("what is asked for is not a path of a folder") from error


def _closing(root: int, frames: Iterator[bytes]) -> Iterator[bytes]:
    with _closed(root):
        yield from frames


@contextmanager
def _closed(root: int) -> Iterator[int]:
    try:
        yield root
    finally:
        os.close(root)


@contextmanager
def _manifest(name: str, root: int) -> Iterator[Manifest]:
    """Raises SyncRefused where it cannot be read or written: a full disk, an I/O error, somebody who holds it."""
    try:
        with closing(Manifest(name, root)) as manifest:
            yield manifest
    except sqlite3.Error as error:
        raise refused(Refusal.FOLDER_UNUSABLE, _LIST.format(error)) from error
