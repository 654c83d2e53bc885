"""Read the stored files again, a few seconds at a time, and compare each with its hash: disks forget silently.

Every file that a row refers to is read once in `AGAIN_AFTER`, and before that soon after it was stored: a backup reads
back what a data-sync brought. The files are taken in 256 parts by the first two digits of their hash, parts with
new files first, then the one that was read longest ago; after a restart it goes on after the last whole file.
"""

from __future__ import annotations

import datetime as dt
import heapq
import math
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from itertools import islice
from pathlib import Path

from blake3 import blake3
from django.conf import settings
from django.db.models import Count
from django.db.models.functions import Substr
from django.utils import timezone

from appliances import blobs, durable
from appliances.choices import FileProblem
from sync.datasync import damaged, pull
from sync.datasync.registry import DATASETS
from sync.models import FileScrub
from sync.peer.pace import Pace

AGAIN_AFTER = dt.timedelta(days=3)
COUNT_SECONDS = 20.0  # between two counts, and more where there is more to count
COUNTED_A_SECOND = 2000
SAME_MOMENT = 2.0  # seconds by which the clock of the file system may differ
SLICE_SECONDS = 4.0
READ_BYTES = 32_000_000  # a second, so that the disk has time for everybody else
BATCH = 200  # files between two notes of how far it is
PARTS = [f"{number:02x}" for number in range(256)]
FIELDS = ("checked", "part", "after", "part_began_at", "is_fresh", "counts", "counted_at")

_reading: Reading | None = None  # a large file that the last slice did not get through


def want() -> None:
    """Everything is to be read again, as soon as the slices come to it."""
    FileScrub.load()
    FileScrub.objects.filter(pk=1).update(wanted_at=timezone.now(), counted_at=None)


def go_on(seconds: float = SLICE_SECONDS, rate: float = READ_BYTES) -> int:
    """Read files for so many seconds at no more than `rate` bytes a second (0: as fast as it goes); how many were read.

    Nothing is read while a data-sync runs here, nor while another process of this appliance reads.
    """
    with _alone() as is_alone:
        if not is_alone or pull.is_running():
            return 0
        return _Slice(FileScrub.load(), seconds, rate).run()


def is_due() -> bool:
    """Whether there is anything to be read now."""
    return _next_part(FileScrub.load()) is not None


class Reading:
    """One file that is being read. What the system remembers of it is dropped first: the disk is asked."""

    def __init__(self, blob_id: str) -> None:
        self.blob_id = blob_id
        self.size = 0
        self._hasher = blake3()
        self._file = blobs.open_blob(blob_id)
        os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def go_on(self, until: float, pace: Pace) -> bool | None:
        """Whether the file is what its hash says; None if the time was up before its end."""
        while time.monotonic() < until:
            piece = self._file.read(pace.allow(blobs.CHUNK_BYTES))
            pace.moved(len(piece))
            self._hasher.update(piece)
            self.size += len(piece)
            if not piece:
                return self._hasher.hexdigest() == self.blob_id
        return None

    def close(self) -> None:
        """The pages that were read are of use to nobody else."""
        with suppress(OSError):
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self._file.close()


class _Slice:
    """The reading of a few seconds."""

    def __init__(self, row: FileScrub, seconds: float, rate: float) -> None:
        self._row = row
        self._until = time.monotonic() + seconds
        self._pace = Pace(lambda: rate, lambda: None)
        self._done = 0

    def run(self) -> int:
        """How many files were read to their end."""
        self._count()
        while time.monotonic() < self._until and (due := _next_part(self._row)) is not None:
            if due != (self._row.part, self._row.is_fresh):
                self._row.part, self._row.is_fresh = due
                self._row.after, self._row.part_began_at = "", timezone.now()
            ids = list(islice(_referenced(self._row.part, self._row.after), BATCH))
            is_through = self._read(ids) and len(ids) < BATCH
            if is_through:
                self._end_part()
            if ids or not is_through:
                self._save()
        self._save()
        return self._done

    def _end_part(self) -> None:
        part, began = self._row.part, _began(self._row)
        read_at = self._row.checked[part][0] if self._row.is_fresh else began
        self._row.checked[part] = [read_at, self._row.counts.get(part, 0), began]
        self._row.part = ""

    def _read(self, ids: list[str]) -> bool:
        """Whether the time sufficed for these files."""
        since = self._row.checked[self._row.part][2] - SAME_MOMENT if self._row.is_fresh else -math.inf
        for blob_id in ids:
            if _stored_at(blob_id) >= since:
                if not self._look(blob_id):
                    return False
                self._done += 1
            self._row.after = blob_id
        return True

    def _look(self, blob_id: str) -> bool:
        """Whether the turn of this file is over; not if the time was up before its end."""
        global _reading
        if _reading is not None and _reading.blob_id != blob_id:
            _close()
        try:
            _reading = _reading or Reading(blob_id)
            is_right, why = _reading.go_on(self._until, self._pace), "What is on the disk has another hash."
        except blobs.BlobMissing:
            damaged.note(blob_id, FileProblem.MISSING)
            return True
        except OSError as error:
            is_right, why = False, f"It cannot be read: {error}"
        if is_right is None:
            return False
        if not is_right:
            damaged.note(blob_id, FileProblem.CORRUPT, why)
        _close()
        return True

    def _count(self) -> None:
        counted, now = self._row.counted_at, timezone.now()
        pause = max(COUNT_SECONDS, sum(self._row.counts.values()) / COUNTED_A_SECOND)
        if counted is None or not 0 <= (now - counted).total_seconds() < pause:
            self._row.counts, self._row.counted_at = _counts(), now

    def _save(self) -> None:
        FileScrub.objects.filter(pk=1).update(**{name: getattr(self._row, name) for name in FIELDS})


def _close() -> None:
    global _reading
    if _reading is not None:
        _reading.close()
    _reading = None


def _stored_at(blob_id: str) -> float:
    """When the file was stored; never, if it is not there: that is looked at too."""
    try:
        return blobs.path(blob_id).stat().st_mtime
    except OSError:
        return math.inf


def _began(row: FileScrub) -> float:
    return (row.part_began_at or timezone.now()).timestamp()


def _next_part(row: FileScrub) -> tuple[str, bool] | None:
    """The part to read now, and whether only its new files; None while there is nothing to read."""
    now = timezone.now().timestamp()
    oldest = now - AGAIN_AFTER.total_seconds()
    if row.wanted_at is not None:
        oldest = max(oldest, row.wanted_at.timestamp())
    if row.part and _began(row) >= oldest:
        return row.part, row.is_fresh
    for part, (_, files, _) in row.checked.items():
        if row.counts.get(part, 0) != files:
            return part, True
    moments = {part: row.checked[part][0] if part in row.checked else 0.0 for part in PARTS}
    # A moment in the future is from before the clock was set back.
    due = [part for part, at in moments.items() if at < oldest or at > now]
    part = min(due, key=moments.__getitem__, default=None)
    return None if part is None else (part, False)


def _counts() -> dict[str, int]:
    """How many different files of each part rows refer to."""
    found: Counter[str] = Counter()
    for dataset in DATASETS:
        if dataset.blob_field:
            rows = dataset.model._base_manager.order_by().annotate(part=Substr(dataset.blob_field, 1, 2))
            found.update(dict(rows.values_list("part").annotate(Count(dataset.blob_field, distinct=True))))
    return dict(found)


def _referenced(part: str, after: str) -> Iterator[str]:
    """The files of a part that rows refer to, after this one, in order, each once."""
    end = f"{int(part, 16) + 1:02x}" if part != PARTS[-1] else "g"
    found = []
    for dataset in DATASETS:
        if dataset.blob_field:
            name = dataset.blob_field
            rows = dataset.model._base_manager.filter(**{f"{name}__gt": after or part, f"{name}__lt": end})
            found.append(rows.order_by(name).values_list(name, flat=True).distinct()[:BATCH])
    last = ""
    for blob_id in heapq.merge(*found):
        if blob_id != last:
            yield blob_id
        last = blob_id


def _alone() -> AbstractContextManager[bool]:
    """Whether no other process or thread of this appliance reads."""
    return durable.alone(Path(settings.DATA_DIR) / "scrub.lock")
