"""Deleted for good: a tombstone removes what it names, on both appliances, and keeps it from coming back.

A tombstone of a session stands for its event log and its recordings too, so deleting one costs one row. Rows that go
are taken off the marks in the same transaction; both appliances apply the same tombstones, so their marks stay equal.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone

from appliances.choices import BrakeSubject
from appliances.models import Recording, SessionEvent, SupportSession, Tombstone
from sync.datasync import brake, marks
from sync.datasync.registry import Dataset, by_label
from sync.datasync.rows import Row, RowCodec
from sync.datasync.wrapping import NO_SECRETS
from sync.rules.brake import LEAST_RECORDS, Removal
from sync.rules.snapshot import Refusal

BATCH = 50  # tombstones a transaction: each may stand for a long event log
LOOK_UP = 500  # ids in one query
SESSION = SupportSession._meta.label
RECORDING = Recording._meta.label
# Which field of a synchronised row names what a tombstone of that kind removes.
_NAMED_BY = {
    SESSION: ((SESSION, "id"),),
    SessionEvent._meta.label: ((SESSION, "session_id"),),
    RECORDING: ((SESSION, "session_id"), (RECORDING, "id")),
}


def delete(dataset: str, ids: Collection[uuid.UUID]) -> None:
    """These sessions, or recordings, are deleted for good; for at most BATCH of them."""
    now = timezone.now()
    with transaction.atomic():
        Tombstone.objects.bulk_create(Tombstone(dataset=dataset, row_id=key, deleted_at=now) for key in ids)
        _erase(dataset, ids)


def heed(codec: RowCodec, rows: Sequence[Row]) -> None:
    """What these tombstones, which came from the peer, name is here no more."""
    place = codec.dataset.fields.index
    for dataset in (SESSION, RECORDING):
        if ids := [row[place("row_id")] for row in rows if row[place("dataset")] == dataset]:
            _erase(dataset, ids)


def without_deleted(codec: RowCodec, rows: Sequence[Row]) -> list[Row]:
    """The rows that no tombstone names."""
    left = list(rows)
    for dataset, name in _NAMED_BY.get(codec.dataset.label, ()):
        place = codec.dataset.fields.index(name)
        gone = deleted(dataset, {row[place] for row in left})
        left = [row for row in left if row[place] not in gone]
    return left


def name_any(dataset: Dataset, rows: Sequence[Sequence[Any]]) -> bool:
    """Whether a tombstone names any of these rows of `bulk.Bulk`."""
    for named, name in _NAMED_BY.get(dataset.label, ()):
        place = dataset.fields.index(name)
        if deleted(named, [uuid.UUID(key) for key in {row[place] for row in rows}]):
            return True
    return False


def check_deletions(
    named: Iterable[tuple[str, uuid.UUID]], *, refusal: Refusal = Refusal.MASS_DELETION, agreed: int | None = None
) -> int:
    """How many sessions and recordings are here that the peer's tombstones name (`[dataset, row_id]`).

    `agreed`: so many may go, as part of what was looked at together; what waits or was allowed stands until its end.

    Raises:
        SyncRefused: it is much of what is here, and neither agreed nor allowed.
    """
    sessions, recordings = named_here(named)
    count = len(sessions) + len(recordings)
    if agreed is not None and count <= agreed:
        return count
    removals = [
        Removal("support sessions", len(sessions), SupportSession.objects.count(), LEAST_RECORDS),
        Removal("recordings", len(recordings), Recording.objects.count(), LEAST_RECORDS),
    ]
    brake.check(BrakeSubject.RECORDS, removals, map(str, sessions | recordings), refusal=refusal)
    return count


def named_by(lines: Iterable[bytes]) -> Iterator[tuple[str, uuid.UUID]]:
    """What these tombstones, as they travel, name."""
    codec = RowCodec(by_label()[Tombstone._meta.label], NO_SECRETS)
    place = codec.dataset.fields.index
    for line in lines:
        row = codec.parse(line)
        yield row[place("dataset")], row[place("row_id")]


def named_here(named: Iterable[tuple[str, uuid.UUID]]) -> tuple[set[uuid.UUID], set[uuid.UUID]]:
    """The sessions and the recordings that are here and that tombstones remove which name these."""
    sessions: set[uuid.UUID] = set()
    recordings: set[uuid.UUID] = set()
    left = iter(named)
    while part := list(islice(left, LOOK_UP)):
        of_sessions = [key for dataset, key in part if dataset == SESSION]
        sessions.update(SupportSession.objects.filter(pk__in=of_sessions).values_list("pk", flat=True))
        doomed = Q(session_id__in=of_sessions) | Q(pk__in=[key for dataset, key in part if dataset == RECORDING])
        recordings.update(Recording.objects.filter(doomed).values_list("pk", flat=True))
    return sessions, recordings


def deleted(dataset: str, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Which of these were deleted."""
    found = Tombstone.objects.filter(dataset=dataset, row_id__in=ids) if ids else Tombstone.objects.none()
    return set(found.values_list("row_id", flat=True))


def _erase(dataset: str, ids: Collection[uuid.UUID]) -> None:
    for label, names in _NAMED_BY.items():
        for named_dataset, name in names:
            if named_dataset == dataset:
                _erase_rows(label, by_label()[label].model._base_manager.filter(**{f"{name}__in": ids}))


def _erase_rows(label: str, rows: models.QuerySet[models.Model]) -> None:
    codec = RowCodec(by_label()[label], NO_SECRETS)
    with marks.book(codec.dataset) as held:
        for row in codec.read(rows, at_a_time=BATCH):
            origin, incarnation, seq = marks.mark_fields(codec, row)
            if seq is not None:
                held.remove(origin, incarnation, codec.digest_line(row))
        rows.delete()
