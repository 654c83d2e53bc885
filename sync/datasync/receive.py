"""What comes from the primary is staged: rows in files of this run, blobs in the store under their own hash.

Nothing here changes a table. Rows are parsed as they come, so a bad one ends the data-sync before anything is applied.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from django.conf import settings

from appliances import blobs, disk
from sync.datasync import buckets, union
from sync.datasync.buckets import StagedTable
from sync.datasync.bulk import Bulk, is_plain
from sync.datasync.frames import LineCutter, Section, section_of, split
from sync.datasync.lease import Progress
from sync.datasync.refusals import refused
from sync.datasync.registry import by_label
from sync.datasync.rows import RowCodec
from sync.datasync.wrapping import SecretWrap
from sync.errors import PeerMisbehaved
from sync.rules.diff import Plan, Wanted
from sync.rules.snapshot import Refusal

PREFIX = "sync-"


class Staging:
    """The folder of one run; what an earlier run left behind is removed."""

    def __init__(self, run_id: UUID) -> None:
        root = Path(settings.STAGING_DIR)
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in root.glob(f"{PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)
        self.folder = root / f"{PREFIX}{run_id.hex}"
        self.folder.mkdir(mode=0o700)

    def path(self, section: Section) -> Path:
        """Where the rows of a section lie. The names of sections are those of the registry and of checked marks."""
        return self.folder / f"{section.dataset}-{section.origin}-{section.incarnation}"

    def remove(self) -> None:
        """Remove what is left."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class Received:
    """The rows that came, staged, and the blobs they refer to with their sizes: settings, and append-only rows."""

    tables: dict[str, StagedTable] = field(default_factory=dict)
    append: dict[Wanted, Path] = field(default_factory=dict)
    of_settings: dict[str, int] = field(default_factory=dict)
    of_records: dict[str, int] = field(default_factory=dict)

    @property
    def blobs(self) -> dict[str, int]:
        """All of them, those of the settings first."""
        return {**self.of_settings, **self.of_records}


class RowReceiver:
    """Reads the rows that a plan asked for."""

    def __init__(self, plan: Plan, wrap: SecretWrap, staging: Staging, progress: Progress) -> None:
        self._staging = staging
        self._progress = progress
        self._wrap = wrap
        self.received = Received()
        held = buckets.held_of(plan.tables)
        self.told = {label: found.told() for label, found in held.items()}  # what the primary is asked with
        self._wanted = {Section(*wanted.key): wanted for wanted in plan.fetch}
        self._expected = [Section(label) for label in plan.tables] + list(self._wanted)
        for section in self._expected:
            path = staging.path(section)
            path.unlink(missing_ok=True)  # of the rows above, where those below are asked for too
            path.touch(mode=0o600)
            if section.origin:
                self.received.append[self._wanted[section]] = path
            else:
                self.received.tables[section.dataset] = StagedTable(path, held.get(section.dataset))

    def read(self, frames: Iterable[bytes | bytearray]) -> Received:
        """All rows, staged; each section once, in the order asked for.

        Raises:
            PeerMisbehaved, SyncRefused: nothing of what came is used.
        """
        left = list(self._expected)
        section: Section | None = None
        reader: _SectionReader | None = None
        try:
            for frame in frames:
                header, body = split(frame)
                if section is None or header != section.header:
                    if reader is not None:
                        reader.close()
                    section = section_of(header)
                    if section not in left:
                        raise PeerMisbehaved("the data-sync carries rows that were not asked for")
                    del left[: left.index(section) + 1]
                    reader = self._open(section)
                if reader is not None:
                    self._progress.add(rows=reader.feed(body), size_bytes=len(frame))
            if reader is not None:
                reader.close()
        finally:
            if reader is not None:
                reader.file.close()
        if any(table.held is not None and table.resent is None for table in self.received.tables.values()):
            raise PeerMisbehaved("a settings table of the data-sync does not say which rows follow")
        return self.received

    def _open(self, section: Section) -> _SectionReader:
        codec = RowCodec(by_label()[section.dataset], self._wrap)
        table = None if section.origin else self.received.tables[section.dataset]
        place = self._staging.path(section)
        found = self.received.of_records if section.origin else self.received.of_settings
        return _SectionReader(codec, self._wanted.get(section), table, place, found)


class _SectionReader:
    """Checks and stages the rows of one section."""

    def __init__(
        self, codec: RowCodec, wanted: Wanted | None, table: StagedTable | None, path: Path, found: dict[str, int]
    ) -> None:
        self._codec = codec
        self._wanted = wanted
        self._table = table
        self._bulk = Bulk(codec.dataset) if is_plain(codec.dataset) else None
        self._cutter = LineCutter()
        self._blobs = found
        self._after = 0
        self.file: IO[bytes] = path.open("wb")

    def feed(self, body: bytes | memoryview) -> int:
        """Take a piece; the number of rows that are complete with it."""
        lines = self._cutter.feed(body)
        if lines and self._table is not None and self._table.held is not None and self._table.resent is None:
            self._table.begin(lines.pop(0))
        rows: Sequence[Sequence[Any]]
        rows = self._bulk.load(lines) if self._bulk else [self._codec.parse(line) for line in lines]
        if self._wanted is not None:
            self._after = union.check(self._codec.dataset, rows, self._wanted, self._after)
        for row in rows:
            note_blob(self._codec, row, self._blobs)
        self.file.writelines(line + b"\n" for line in lines)
        return len(lines)

    def close(self) -> None:
        """The section has ended."""
        self._cutter.finish()
        self.file.close()


def note_blob(codec: RowCodec, row: Sequence[Any], found: dict[str, int]) -> None:
    """Remember the blob that a row refers to.

    Raises:
        SyncRefused: not a blob id, or larger than this appliance accepts.
    """
    dataset = codec.dataset
    if not dataset.blob_field:
        return
    blob_id, size = (row[dataset.fields.index(name)] for name in (dataset.blob_field, dataset.size_field))
    if not blobs.is_blob_id(blob_id):
        raise refused(Refusal.ROW_UNUSABLE, f"{dataset.label}: not a blob id.")
    if size > blobs.MAX_BLOB_BYTES:
        raise refused(Refusal.BLOB_TOO_LARGE, f"{size} bytes, at most {blobs.MAX_BLOB_BYTES}.")
    found[blob_id] = size


def missing(listed: dict[str, int]) -> dict[str, int]:
    """The blobs that are not in the store; those that are count as new, so that no sweep takes them now."""
    absent = blobs.absent(listed)
    return {blob_id: size for blob_id, size in listed.items() if blob_id in absent}


def check_space(needed_bytes: int, files: int, *, refusal: Refusal = Refusal.NO_SPACE) -> None:
    """Raises SyncRefused if so many bytes and files do not fit beside the reserve."""
    room = disk.room()
    lack = room.lacks(needed_bytes * 11 // 10, files, reserve_bytes=room.reserve_bytes) if files else ""
    if lack:
        raise refused(refusal, lack)
