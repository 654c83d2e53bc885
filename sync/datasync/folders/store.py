"""The stored manifest of a folder: what the latest look found, so that nothing unchanged is read again.

One SQLite file a folder in DATA_DIR. Losing it costs reading the files once more, that a union keeps twice what
differs, and that a mirror asks before it overwrites or deletes; it is dropped by itself when another folder or another
disk lies at the path.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3
from django.conf import settings

from sync.rules.folders import Entry

LAYOUT = 3  # of what is kept of a file
AGREED = "agreed"  # the fact that says with which digest both were like each other; "" while that may not be so
_TABLES = """
CREATE TABLE IF NOT EXISTS directory
    (path BLOB PRIMARY KEY, seen BLOB NOT NULL, digest BLOB NOT NULL, entries BLOB NOT NULL, agreed BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS coming (path BLOB NOT NULL, digests TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS coming_path ON coming (path);
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class Seen(NamedTuple):
    """A file as a look found it: the entry, its inode (0: it was so new that it is read again), and its ctime.

    The ctime moves with each change, whatever time a program then sets.
    """

    entry: Entry
    inode: int
    ctime_ns: int


class Manifest:
    """The stored manifest of one folder; used by one thread."""

    def __init__(self, name: str, root: int) -> None:
        folder = Path(settings.FOLDER_MANIFESTS)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{blake3(name.encode()).hexdigest()[:32]}.sqlite3"
        try:
            self._open(path)
        except sqlite3.OperationalError:
            raise  # it is busy, or the disk is full
        except sqlite3.DatabaseError:  # it is damaged
            for ending in ("", "-wal", "-shm"):
                Path(f"{path}{ending}").unlink(missing_ok=True)
            self._open(path)
        found = os.fstat(root)
        identity = f"{LAYOUT}/{found.st_dev}/{found.st_ino}"
        if self.fact("root") != identity:
            with self._database as database:
                database.execute("DELETE FROM directory")
                database.execute("DELETE FROM coming")
                database.execute("DELETE FROM fact")
            self.state(root=identity)

    def _open(self, path: Path) -> None:
        self._database = sqlite3.connect(path, timeout=20)
        self._database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + _TABLES)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def fact(self, name: str) -> str:
        """What `state` said, "" if nothing."""
        row = self._database.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return row[0] if row else ""

    def state(self, **facts: str) -> None:
        """Remember facts by name."""
        with self._database as database:
            database.executemany("INSERT OR REPLACE INTO fact VALUES (?, ?)", facts.items())

    def seen(self) -> dict[str, tuple[bytes, bytes]]:
        """Of every directory what decides whether it is as before, and its digest."""
        rows = self._database.execute("SELECT path, seen, digest FROM directory")
        return {os.fsdecode(path): (seen, digest) for path, seen, digest in rows}

    def files(self, path: str) -> list[Seen]:
        """The files of a directory; none if it is not known."""
        found = self._database.execute("SELECT entries FROM directory WHERE path = ?", (os.fsencode(path),)).fetchone()
        return _read(found[0]) if found else []

    def totals(self) -> tuple[int, int]:
        """How many files there are, and their bytes."""
        rows = self._database.execute("SELECT entries FROM directory")
        sizes = [seen.entry.size for (text,) in rows for seen in _read(text)]
        return len(sizes), sum(sizes)

    def agreed(self, path: str) -> dict[str, str]:
        """The digests of the files of a directory that both appliances held, or that this one was about to receive."""
        where = (os.fsencode(path),)
        found = self._database.execute("SELECT agreed FROM directory WHERE path = ?", where).fetchone()
        agreed = {seen.entry.name: seen.entry.digest for seen in _read(found[0])} if found and found[0] else {}
        rows = self._database.execute("SELECT digests FROM coming WHERE path = ?", where)
        if coming := [json.loads(digests) for (digests,) in rows]:
            for entry in (seen.entry for seen in self.files(path)):
                if any(digests.get(entry.name) == entry.digest for digests in coming):
                    agreed[entry.name] = entry.digest
        return agreed

    def expect(self, files: Mapping[str, Mapping[str, str]]) -> None:
        """These files (digests by name, by directory) are about to get their names: they are the primary's.

        So what a data-sync that died left here is not taken for a change of this side.
        """
        rows = [(os.fsencode(path), json.dumps(digests)) for path, digests in files.items()]
        with self._database as database:
            database.executemany("INSERT INTO coming VALUES (?, ?)", rows)

    def put(self, directories: Iterable[tuple[str, bytes, str, list[Seen]]], gone: Iterable[str] = ()) -> None:
        """Store these directories (path, what decides, digest, files), and forget those that are gone."""
        with self._database as database:
            forgotten = [(os.fsencode(path),) for path in gone]
            if forgotten:  # what both held in them is not known any more
                database.execute("UPDATE fact SET value = '' WHERE name = ?", (AGREED,))
            database.executemany("DELETE FROM directory WHERE path = ?", forgotten)
            database.executemany(
                "INSERT INTO directory (path, seen, digest, entries) VALUES (?, ?, ?, ?) ON CONFLICT (path) "
                "DO UPDATE SET seen = excluded.seen, digest = excluded.digest, entries = excluded.entries",
                (
                    (os.fsencode(path), seen, bytes.fromhex(digest), _written(files))
                    for path, seen, digest, files in directories
                ),
            )

    def agree(self, kept: Iterable[tuple[str, list[Seen]]] = ()) -> None:
        """Both appliances hold what stands here; but for the directories in `kept`, of which only these files."""
        with self._database as database:
            database.execute("UPDATE fact SET value = '' WHERE name = ?", (AGREED,))
            database.execute("UPDATE directory SET agreed = entries WHERE agreed IS NOT entries")
            database.executemany(
                "UPDATE directory SET agreed = ? WHERE path = ?",
                ((_written(files), os.fsencode(path)) for path, files in kept),
            )
            database.execute("DELETE FROM coming")


def _written(files: list[Seen]) -> bytes:
    return json.dumps([[*seen.entry, seen.inode, seen.ctime_ns] for seen in files], separators=(",", ":")).encode()


def _read(text: bytes) -> list[Seen]:
    return [Seen(Entry(*values), inode, ctime_ns) for *values, inode, ctime_ns in json.loads(text)]
