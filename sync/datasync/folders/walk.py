"""One look at a folder: every directory below its root, only what has changed read, a digest of each and of all.

Symlinks, special files, hard links, other disks and what cannot be read are not followed: they are reported.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from array import array
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field

from blake3 import blake3

from appliances import beneath
from appliances.beneath import STAGING, path_problem
from sync.datasync.folders.store import Manifest, Seen
from sync.rules.folders import Entry, Patterns, join

DIGEST_BYTES = 16
READ_BYTES = 1024 * 1024
FRESH_NS = 50_000_000  # a file changed so shortly before may change again within one tick of the clock
MAX_DIRECTORIES = 1_000_000
LARGEST = 2**63 - 1
LONG_PATH = 900  # letters: from here on each path is measured
KEPT_MODE = 0o777  # what is synchronised of the permissions: nothing that makes a program another user's
HARD_LINK, OTHER_DISK, UNREADABLE, CHANGING = "hard link", "another disk", "cannot be read", "changes while it is read"
_KINDS = {
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


Listed = tuple[str, int, int, int, int, int]  # name, size, mtime, mode, inode and ctime of a file


def listed_of(seen: Seen) -> Listed:
    """The file as a directory that has it would be listed."""
    return (*seen.entry[:4], seen.inode, seen.ctime_ns)


class Cancelled(Exception):
    """Nobody waits for this look any more."""


class FileChanges(Exception):
    """The file was changed while it was read, twice."""


@dataclass
class Tree:
    """What a look found: the digest, files and bytes of each directory; what was not followed, and why."""

    directories: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """The digest over all directories."""
        return root_digest((path, digest) for path, (digest, _, _) in self.directories.items())

    @property
    def files(self) -> int:
        """How many files there are."""
        return sum(files for _, files, _ in self.directories.values())

    @property
    def size(self) -> int:
        """Their bytes."""
        return sum(size for _, _, size in self.directories.values())


def root_digest(directories: Iterable[tuple[str, str]]) -> str:
    """One digest over the digests of all directories."""
    hasher = blake3()
    for path, digest in sorted(directories):
        hasher.update(os.fsencode(path) + b"\0" + bytes.fromhex(digest))
    return hasher.hexdigest(length=DIGEST_BYTES)


def directory_digest(mode: int, entries: Iterable[Entry]) -> str:
    """The digest of a directory: its permissions, and its files."""
    lines = [f"{entry.size} {entry.mtime_ns} {entry.mode} {entry.digest} {entry.name}\0" for entry in sorted(entries)]
    text = f"{mode}\0{''.join(lines)}".encode("utf-8", "surrogateescape")
    return blake3(text).hexdigest(length=DIGEST_BYTES)


def fingerprint(mode: int, files: Iterable[Listed]) -> bytes:
    """What tells without reading whether a directory is as before: what is listed of its files."""
    found = sorted(files)
    numbers = array("q", [mode])
    names = []
    for name, *values in found:
        names.append(name)
        numbers.extend(values)
    return blake3("\0".join(names).encode("utf-8", "surrogateescape") + b"\0\0" + numbers.tobytes()).digest(
        length=DIGEST_BYTES
    )


class Look:
    """One look at the folder that `root` is open on, remembered in its manifest."""

    def __init__(self, root: int, manifest: Manifest, patterns: Patterns, cancelled: threading.Event) -> None:
        self._root = root
        self._manifest = manifest
        self._patterns = patterns
        self._cancelled = cancelled
        self._disk = os.fstat(root).st_dev
        self._changed: list[tuple[str, bytes, str, list[Seen]]] = []
        self._tree = Tree()

    def run(self) -> Tree:
        """What is there; the manifest says it too.

        Raises:
            Cancelled; OSError: the root itself cannot be read.
        """
        known = self._manifest.seen()
        waiting = [""]
        while waiting:
            if self._cancelled.is_set():
                raise Cancelled
            path = waiting.pop()
            try:
                with beneath.directory(self._root, path) as opened:
                    waiting += self._directory(path, opened, known.get(path))
            except OSError:
                if not path:
                    raise
                self._tree.skipped[path] = UNREADABLE
            if len(self._tree.directories) > MAX_DIRECTORIES:
                raise beneath.PlaceUnusable(f"It holds more than {MAX_DIRECTORIES} folders.")
        gone = [path for path in known if path not in self._tree.directories]
        if self._changed or gone:
            self._manifest.put(self._changed, gone)
        return self._tree

    def _directory(self, path: str, opened: int, known: tuple[bytes, bytes] | None) -> list[str]:
        """Take in one directory; the directories in it."""
        mode = mode_of(path, opened)
        newest = time.time_ns() - FRESH_NS
        below, files, size, is_fresh = [], [], 0, False
        takes_all = self._patterns.takes_all and len(path) < LONG_PATH
        with os.scandir(opened) as found:
            for item in found:
                status, name = item.stat(follow_symlinks=False), item.name
                kind = stat.S_IFMT(status.st_mode)
                if kind == stat.S_IFREG and status.st_nlink == 1:
                    if takes_all or self._takes(join(path, name)):
                        inode = status.st_ino & LARGEST
                        if max(status.st_mtime_ns, status.st_ctime_ns) >= newest:
                            inode, is_fresh = 0, True
                        times = status.st_mtime_ns, status.st_ctime_ns
                        files.append((name, status.st_size, times[0], status.st_mode & KEPT_MODE, inode, times[1]))
                        size += status.st_size
                elif kind == stat.S_IFDIR:
                    below += self._below(join(path, name), status)
                elif self._patterns.takes_file(join(path, name)):
                    self._tree.skipped[join(path, name)] = _KINDS.get(kind, HARD_LINK)
        if known is not None and not is_fresh and known[0] == fingerprint(mode, files):
            self._tree.directories[path] = (known[1].hex(), len(files), size)
        else:
            self._read(path, opened, mode, files)
        return below

    def _takes(self, where: str) -> bool:
        if not self._patterns.takes_file(where):
            return False
        if why := path_problem(where):
            self._tree.skipped[where] = why
        return not why

    def _below(self, where: str, status: os.stat_result) -> list[str]:
        if where == STAGING or not self._patterns.takes_directory(where):
            return []
        why = OTHER_DISK if status.st_dev != self._disk else path_problem(where)
        if why:
            self._tree.skipped[where] = why
        return [] if why else [where]

    def _read(self, path: str, opened: int, mode: int, files: list[Listed]) -> None:
        """Digest the files that are not as the manifest has them."""
        before = {seen.entry.name: seen for seen in self._manifest.files(path)}
        now: list[Seen] = []
        for name, size, mtime_ns, permissions, inode, ctime_ns in files:
            held = before.get(name)
            if held and inode and listed_of(held) == (name, size, mtime_ns, held.entry.mode, inode, ctime_ns):
                now.append(Seen(held.entry._replace(mode=permissions), inode, ctime_ns))
                continue
            try:
                entry, read_ctime_ns = self._digested(opened, name)
            except FileChanges:
                self._tree.skipped[join(path, name)] = CHANGING
            except FileNotFoundError:
                continue  # deleted since it was listed
            except OSError:
                self._tree.skipped[join(path, name)] = UNREADABLE
            else:
                as_listed = (*entry[1:4], read_ctime_ns) == (size, mtime_ns, permissions, ctime_ns)
                now.append(Seen(entry, inode if as_listed else 0, read_ctime_ns))
        entries = [seen.entry for seen in now]
        digest = directory_digest(mode, entries)
        fresh = any(not seen.inode for seen in now)
        # What may still change is not taken for known: the next look reads it again.
        seen = b"" if fresh else fingerprint(mode, map(listed_of, now))
        self._changed.append((path, seen, digest, now))
        self._tree.directories[path] = (digest, len(now), sum(entry.size for entry in entries))

    def _digested(self, opened: int, name: str) -> tuple[Entry, int]:
        """The file as it is, and the ctime of that."""
        for _ in range(2):
            file = beneath.open_file(opened, name)
            try:
                hasher = blake3()
                before = os.fstat(file)
                while piece := os.read(file, READ_BYTES):
                    hasher.update(piece)
                    if len(piece) == READ_BYTES and self._cancelled.is_set():
                        raise Cancelled
                if same_version(before, os.fstat(file)):
                    return entry_of(name, before, hasher.hexdigest(length=DIGEST_BYTES)), before.st_ctime_ns
            finally:
                os.close(file)
        raise FileChanges(name)


def mode_of(path: str, opened: int) -> int:
    """The permissions of a directory; 0 for the root, whose permissions each administrator chooses."""
    return os.fstat(opened).st_mode & KEPT_MODE if path else 0


def ctime_of(opened: int, name: str) -> int:
    """When a file of an open directory changed last, which is when it got its name; 0 if it is gone already."""
    status = status_of(opened, name)
    return status.st_ctime_ns if status is not None else 0


def status_of(opened: int, name: str) -> os.stat_result | None:
    """What has this name in an open directory, not followed if it is a link; None if nothing has."""
    try:
        return os.lstat(name, dir_fd=opened)
    except FileNotFoundError:
        return None


def same_version(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether a file was left alone between two moments."""
    return (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_size,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )


def is_as_seen(status: os.stat_result, seen: Seen) -> bool:
    """Whether a file still is what a look found."""
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        return False
    same_file = not seen.inode or (status.st_ino & LARGEST, status.st_ctime_ns) == (seen.inode, seen.ctime_ns)
    return same_file and (status.st_size, status.st_mtime_ns) == (seen.entry.size, seen.entry.mtime_ns)


def entry_of(name: str, status: os.stat_result, digest: str) -> Entry:
    """The entry of a file."""
    return Entry(name, status.st_size, status.st_mtime_ns, status.st_mode & KEPT_MODE, digest)


class LookBeside:
    """A look in a thread of its own, so that both appliances look at the same time."""

    def __init__(self, root: int, name: str, patterns: Patterns) -> None:
        self._cancelled = threading.Event()
        self._future: Future[Tree] = Future()
        self._thread = threading.Thread(target=self._run, args=(root, name, patterns), daemon=True)
        self._thread.start()

    def _run(self, root: int, name: str, patterns: Patterns) -> None:
        try:
            manifest = Manifest(name, root)
            try:
                self._future.set_result(Look(root, manifest, patterns, self._cancelled).run())
            finally:
                manifest.close()
        except BaseException as error:
            self._future.set_exception(error)

    def is_done(self, wait_seconds: float) -> bool:
        """Whether it has ended, waiting for so long."""
        self._thread.join(wait_seconds)
        return not self._thread.is_alive()

    def result(self) -> Tree:
        """What it found; its error is raised here."""
        return self._future.result()

    def stop(self) -> None:
        """End it; the root may be closed afterwards."""
        self._cancelled.set()
        self._thread.join()
