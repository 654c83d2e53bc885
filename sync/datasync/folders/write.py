"""The only module that changes a folder, on the backup: stage, give names, stamp, delete.

A file is written under a number in the staging directory of the folder and gets its name when it is whole and on the
disk, so a crash leaves whole files only. Every directory is opened anew below the root (`beneath`), and a name is only
replaced or deleted while it still is what the look found.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from blake3 import blake3

from appliances import beneath, durable
from appliances.beneath import STAGING
from sync import crash
from sync.datasync.folders.report import Report
from sync.datasync.folders.store import Manifest, Seen
from sync.datasync.folders.walk import (
    DIGEST_BYTES,
    KEPT_MODE,
    ctime_of,
    directory_digest,
    fingerprint,
    is_as_seen,
    listed_of,
    mode_of,
    status_of,
)
from sync.datasync.lease import Progress
from sync.rules.folders import Entry, conflict_name, join

BATCH_FILES = 8000
BATCH_BYTES = 256 * 1024 * 1024
OCCUPIED = "something else has this name on the backup"
CHANGED_HERE = "changed on the backup meanwhile; left as it is"
NOT_OURS = "its time cannot be set: it does not belong to the account of the appliance"
DAMAGED = "did not arrive as the primary lists it"


@dataclass
class _Staged:
    """A whole file in the staging directory; `is_proved`: a signed message has named its digest."""

    path: str
    entry: Entry
    number: str
    inode: int
    is_proved: bool


@dataclass
class Done:
    """What was done so far."""

    files: int = 0
    size: int = 0
    restamped: int = 0
    deleted: int = 0
    kept_twice: int = 0
    modes: dict[str, int] = field(default_factory=dict)


class Writer:
    """Changes one folder, which `root` is open on. `progress` is asked before names change; it raises to end it all."""

    def __init__(self, root: int, manifest: Manifest, *, report: Report, progress: Progress) -> None:
        self._root = root
        self._manifest = manifest
        self._report = report
        self._progress = progress
        self._staged: dict[str, list[_Staged]] = {}  # by directory
        self._waiting = self._waiting_bytes = self._count = 0
        self.both: set[str] = set()
        self.done = Done()
        self._staging = self._make_staging()

    # --- staging --------------------------------------------------------------------------------------------------

    def _make_staging(self) -> int:
        with contextlib.suppress(FileExistsError):
            os.mkdir(STAGING, 0o700, dir_fd=self._root)
        opened = beneath.open_stepwise(self._root, STAGING)
        for left in os.listdir(opened):
            with contextlib.suppress(OSError):
                os.unlink(left, dir_fd=opened)
        return opened

    def close(self) -> None:
        """Remove what is staged, and the staging directory."""
        for files in self._staged.values():
            for staged in files:
                self._drop(staged.number)
        self._staged.clear()
        os.close(self._staging)
        with contextlib.suppress(OSError):
            os.rmdir(STAGING, dir_fd=self._root)

    def _drop(self, number: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(number, dir_fd=self._staging)

    def stage(self, path: str, entry: Entry, pieces: Iterable[memoryview | bytes], *, is_proved: bool) -> bool:
        """Take in one file; False if it is not what its entry says, which is reported.

        Raises:
            OSError: the disk is full or broken.
        """
        self._count += 1
        file = StagedFile(self, path, entry.name, str(self._count))
        try:
            for piece in pieces:
                file.write(piece)
            return file.finish(entry, is_proved=is_proved)
        finally:
            file.close()

    @contextlib.contextmanager
    def staging(self, path: str, name: str, size: int = 0) -> Iterator[StagedFile]:
        """A file that is staged piece by piece; it is removed unless it was finished."""
        self._count += 1
        file = StagedFile(self, path, name, str(self._count))
        try:
            durable.reserve(file.descriptor, size)
            yield file
        finally:
            file.close()

    def accept(self, staged: _Staged) -> None:
        """A whole file waits for its name."""
        self._staged.setdefault(staged.path, []).append(staged)
        self._waiting += 1
        self._waiting_bytes += staged.entry.size

    @property
    def is_full(self) -> bool:
        """Whether enough waits to be given its name together."""
        return self._waiting >= BATCH_FILES or self._waiting_bytes >= BATCH_BYTES

    def prove(self, path: str) -> None:
        """What is staged of this directory is what a signed message said."""
        for staged in self._staged.get(path, ()):
            staged.is_proved = True

    def report_damage(self, path: str, name: str) -> None:
        """A file did not arrive as it was listed."""
        self._report.add(join(path, name), DAMAGED)

    # --- names ----------------------------------------------------------------------------------------------------

    def publish(self, *, everything: bool = False) -> None:
        """What is staged and proved (or everything) gets its name, durably."""
        ready: dict[str, list[_Staged]] = {}
        left: dict[str, list[_Staged]] = {}
        for path, files in self._staged.items():
            for staged in files:
                (ready if everything or staged.is_proved else left).setdefault(path, []).append(staged)
        if not ready:
            return
        self._progress.save()
        self._sync()
        coming = {path: {staged.entry.name: staged.entry.digest for staged in files} for path, files in ready.items()}
        self._manifest.expect(coming)
        crash.point("folder staged")
        for path, files in ready.items():
            self._publish_in(path, files)
        self._staged = left
        self._waiting = sum(map(len, left.values()))
        self._waiting_bytes = sum(staged.entry.size for files in left.values() for staged in files)
        crash.point("folder published")

    def _sync(self) -> None:
        durable.sync_descriptor(self._root)

    def _publish_in(self, path: str, files: list[_Staged]) -> None:
        try:
            opened = self.make_directory(path)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS):
                raise
            for staged in files:
                self._report.add(join(path, staged.entry.name), f"{OCCUPIED}, or above it")
                self._drop(staged.number)
            return
        try:
            held = {seen.entry.name: seen for seen in self._manifest.files(path)}
            for staged in files:
                if self._name(opened, path, staged, held):
                    held[staged.entry.name] = Seen(staged.entry, staged.inode, ctime_of(opened, staged.entry.name))
                    self.done.files += 1
                    self.done.size += staged.entry.size
                else:
                    self._drop(staged.number)
            self._remember(path, opened, held)
        finally:
            os.close(opened)

    def _name(self, opened: int, path: str, staged: _Staged, held: dict[str, Seen]) -> bool:
        name = staged.entry.name
        known = held.get(name)
        where = join(path, name)
        if known is not None:
            status = status_of(opened, name)
            if status is not None and not is_as_seen(status, known):
                self._report.add(where, CHANGED_HERE)
                return False
            if status is not None and where in self.both:
                kept = self._keep_beside(opened, name, known, held)
                self._report.add(where, f"changed on both appliances: the backup's is kept as {kept}")
                self.done.kept_twice += 1
                status = None
            if status is not None:
                os.rename(staged.number, name, src_dir_fd=self._staging, dst_dir_fd=opened)
                return True
        try:
            beneath.rename_new(self._staging, staged.number, opened, name)
        except FileExistsError:
            self._report.add(where, OCCUPIED)
            return False
        return True

    def _keep_beside(self, opened: int, name: str, known: Seen, held: dict[str, Seen]) -> str:
        kept = conflict_name(name, known.entry.digest)
        for number in range(2, 100):
            try:
                beneath.rename_new(opened, name, opened, kept)
            except FileExistsError:
                kept = conflict_name(name, f"{known.entry.digest[:5]}-{number}")
            else:
                break
        held[kept] = Seen(known.entry._replace(name=kept), known.inode, ctime_of(opened, kept))
        return kept

    def make_directory(self, path: str) -> int:
        """A descriptor of the directory, which is made if it is not there.

        Raises:
            OSError: something else has its name, or a name above it.
        """
        try:
            return beneath.open_directory(self._root, path)
        except FileNotFoundError:
            pass
        above, _, name = path.rpartition("/")
        parent = self.make_directory(above)
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=parent)
        finally:
            os.close(parent)
        return beneath.open_directory(self._root, path)

    # --- stamps, deletions, modes -----------------------------------------------------------------------------------

    def restamp(self, path: str, entries: Iterable[Entry]) -> None:
        """These files get the time and the permissions of the primary's."""
        with beneath.directory(self._root, path) as opened:
            held = {seen.entry.name: seen for seen in self._manifest.files(path)}
            for entry in entries:
                self._progress.tick()
                try:
                    file = beneath.open_file(opened, entry.name)
                    try:
                        if not is_as_seen(os.fstat(file), held[entry.name]):
                            raise FileNotFoundError
                        os.fchmod(file, entry.mode)
                        os.utime(file, ns=(entry.mtime_ns, entry.mtime_ns))
                        ctime_ns = os.fstat(file).st_ctime_ns
                    finally:
                        os.close(file)
                except PermissionError:
                    self._report.add(join(path, entry.name), NOT_OURS)
                except OSError:
                    self._report.add(join(path, entry.name), CHANGED_HERE)
                else:
                    held[entry.name] = held[entry.name]._replace(entry=entry, ctime_ns=ctime_ns)
                    self.done.restamped += 1
            self._remember(path, opened, held)

    def delete(self, work: Mapping[str, Iterable[Entry]], directories: Iterable[str]) -> None:
        """These files, by directory, are deleted, and then these directories where nothing is left in them."""
        self._progress.save()
        crash.point("folder deleting")
        for path, entries in work.items():
            with contextlib.suppress(FileNotFoundError), beneath.directory(self._root, path) as opened:
                held = {seen.entry.name: seen for seen in self._manifest.files(path)}
                for entry in entries:
                    self._progress.tick()
                    if self._delete(opened, path, held[entry.name]):
                        del held[entry.name]
                self._remember(path, opened, held)
        gone = [path for path in sorted(directories, key=len, reverse=True) if path and self._remove(path)]
        self._manifest.put([], gone)

    def _delete(self, opened: int, path: str, seen: Seen) -> bool:
        name = seen.entry.name
        status = status_of(opened, name)
        if status is not None and not is_as_seen(status, seen):
            self._report.add(join(path, name), CHANGED_HERE)
            return False
        if status is not None:
            os.unlink(name, dir_fd=opened)
            self.done.deleted += 1
        return True

    def _remove(self, path: str) -> bool:
        above, _, name = path.rpartition("/")
        try:
            with beneath.directory(self._root, above) as parent:
                os.rmdir(name, dir_fd=parent)
        except FileNotFoundError:
            return True
        except OSError:
            return False  # something is left in it that is none of ours
        return True

    def set_modes(self, modes: Mapping[str, int]) -> None:
        """These directories are there, with the permissions of the primary's; their special bits stay."""
        for path in sorted(modes, key=len, reverse=True):
            self._progress.tick()
            try:
                opened = self.make_directory(path)
                try:
                    status = os.fstat(opened)
                    if path and status.st_mode & KEPT_MODE != modes[path]:
                        os.fchmod(opened, modes[path] | (stat.S_IMODE(status.st_mode) & ~KEPT_MODE))
                    self._remember(path, opened, {seen.entry.name: seen for seen in self._manifest.files(path)})
                finally:
                    os.close(opened)
            except OSError as error:
                self._report.add(path or "/", f"its permissions cannot be set: {error.strerror}")

    def finish(self) -> None:
        """All of it is on the disk."""
        self._sync()

    def _remember(self, path: str, opened: int, held: Mapping[str, Seen]) -> None:
        mode = mode_of(path, opened)
        files = list(held.values())
        digest = directory_digest(mode, (seen.entry for seen in files))
        known = b""
        if all(seen.inode for seen in files):
            known = fingerprint(mode, map(listed_of, files))
        self._manifest.put([(path, known, digest, files)])


class StagedFile:
    """A file on its way into the staging directory."""

    def __init__(self, writer: Writer, path: str, name: str, number: str) -> None:
        self._writer, self._path, self._name, self._number = writer, path, name, number
        self._hasher, self._size, self._is_kept = blake3(), 0, False
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self.descriptor = os.open(number, flags, 0o600, dir_fd=writer._staging)

    @property
    def size(self) -> int:
        """The bytes so far."""
        return self._size

    def write(self, piece: memoryview | bytes) -> None:
        """More of it."""
        self._hasher.update(piece)
        self._size += len(piece)
        view = memoryview(piece)
        while view:
            view = view[os.write(self.descriptor, view) :]

    def finish(self, entry: Entry, *, is_proved: bool) -> bool:
        """It is whole; False if it is not what its entry says, which is reported."""
        if (self._size, self._hasher.hexdigest(length=DIGEST_BYTES)) != (entry.size, entry.digest):
            self._writer.report_damage(self._path, self._name)
            return False
        os.fchmod(self.descriptor, entry.mode)
        os.utime(self.descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
        inode = os.fstat(self.descriptor).st_ino & (2**63 - 1)
        self._writer.accept(_Staged(self._path, entry, self._number, inode, is_proved))
        self._is_kept = True
        return True

    def close(self) -> None:
        """Close it; what was not finished is removed."""
        os.close(self.descriptor)
        if not self._is_kept:
            self._writer._drop(self._number)
