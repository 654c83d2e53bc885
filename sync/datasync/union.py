"""Append-only rows from the peer are kept beside our own: insert what is absent, never change what is here.

What a tombstone names is not inserted; a new tombstone removes it. A row that a client sent to both appliances, as
after a failover, was numbered by both: the one with the smaller hash is kept, and the other one taken off its mark.
Where one id has two contents, one appliance holds something damaged or restored, and nobody knows which: both contents
are kept, on both appliances. The content with the smaller hash has the id, the other one an id made of both. So each
appliance comes to the same without asking.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from django.db import DataError, IntegrityError

from appliances.choices import Severity
from appliances.incoming import sessions
from appliances.models import SupportSession
from sync import history
from sync.datasync import marks, tombstones
from sync.datasync.bulk import MERGE_ROWS, Bulk, batches
from sync.datasync.marks import MarkBook
from sync.datasync.refusals import refused
from sync.datasync.registry import MARK_FIELDS, TOMBSTONE, Dataset, by_label
from sync.datasync.rows import Row, RowCodec
from sync.datasync.tables import insert, insert_many
from sync.datasync.wrapping import NO_SECRETS
from sync.errors import PeerMisbehaved
from sync.models import StatusEvent
from sync.rules.diff import Wanted
from sync.rules.snapshot import Refusal

log = logging.getLogger(__name__)
NAMED_CONFLICTS = 20  # ids listed in one status event


def check(dataset: Dataset, rows: Sequence[Sequence[Any]], wanted: Wanted, after: int) -> int:
    """The number of the last of these rows, which were asked for; they come in the order of their numbers.

    Raises:
        SyncRefused: a row that was not asked for.
    """
    origin, incarnation, seq = map(dataset.fields.index, MARK_FIELDS)
    lowest = max(after, wanted.after + 1)
    for row in rows:
        if row[origin] != wanted.origin or row[incarnation] != wanted.incarnation or row[seq] is None:
            raise refused(Refusal.ROW_UNUSABLE, f"{wanted.dataset}: a row of another origin.")
        if not lowest <= row[seq] <= wanted.upto:
            raise refused(Refusal.ROW_UNUSABLE, f"{wanted.dataset}: row {row[seq]} was not asked for.")
        lowest = row[seq]
    return int(rows[-1][seq]) if rows else after


def merge(
    wanted: Wanted,
    lines: Iterable[bytes],
    tick: Callable[[], None] = lambda: None,
    live: list[uuid.UUID] | None = None,
) -> int:
    """All rows are here and the mark reaches `wanted.upto`; how many were new.

    `live`, on the appliance that serves: sessions that go on here are not ended by what the other one assumed of their
    end. They are not taken, and are added to `live`, so that the other one takes them back.

    The lines were checked where they came in. Batch after batch, each for good; `tick` is called between them, outside
    of any transaction.
    """
    bulk, added = Bulk(by_label()[wanted.dataset]), 0
    is_tombstone = wanted.dataset == TOMBSTONE
    for batch in batches(lines, tombstones.BATCH if is_tombstone else MERGE_ROWS):
        rows = bulk.rows(batch)
        if is_tombstone or not _add_new(bulk, batch, rows, wanted):
            added += _merge_batch(bulk.codec, [bulk.codec.parse(line) for line in batch], wanted, live)
        else:
            added += len(batch)
        tick()
    with marks.book(bulk.dataset) as held:
        held.reach(wanted.origin, wanted.incarnation, wanted.upto)
    return added


def _add_new(bulk: Bulk, lines: Sequence[bytes], rows: list[list[Any]], wanted: Wanted) -> bool:
    """Add all rows if none of them is here and none was deleted, as nearly always. False: nothing was done.

    What is counted is what the database gives back, and it has to be what was sent.
    """
    place = bulk.place("seq")
    part = replace(wanted, after=rows[0][place] - 1, upto=rows[-1][place])
    try:
        with marks.book(bulk.dataset) as held:
            if tombstones.name_any(bulk.dataset, rows):
                return False
            insert_many(bulk.dataset, bulk.codec.columns, bulk.to_database(rows))
            stored = list(marks.lines_in_order(part))
            if stored != lines and sorted(stored) != sorted(lines):
                raise IntegrityError("other rows have these numbers too")
            held.add_all(part.origin, part.incarnation, lines, rows)  # which are what is stored
            held.reach(part.origin, part.incarnation, part.upto)
    except (IntegrityError, DataError):
        return False
    return True


def _merge_batch(codec: RowCodec, batch: Sequence[Row], wanted: Wanted, live: list[uuid.UUID] | None) -> int:
    incoming = {codec.key(row): row for row in batch}
    conflicts: list[str] = []
    try:
        with marks.book(codec.dataset) as held:
            if live is not None and codec.dataset.label == tombstones.SESSION:
                for key in _going_on(codec, incoming):
                    del incoming[key]
                    live.append(key[0])
            new = tombstones.without_deleted(codec, _absent(codec, held, incoming, conflicts))
            insert(codec, new)
            if codec.dataset.label == TOMBSTONE:
                tombstones.heed(codec, new)
            _count(codec, held, [codec.key(row) for row in new])
            held.reach(wanted.origin, wanted.incarnation, marks.mark_fields(codec, batch[-1])[2])
    except (IntegrityError, DataError) as error:
        raise refused(Refusal.ROW_UNUSABLE, f"{codec.dataset.label}: {error}"[:300]) from error
    if conflicts:
        _alarm(codec.dataset.label, conflicts)
    return len(new)


def _going_on(codec: RowCodec, incoming: dict[Row, Row]) -> list[Row]:
    """The sessions that go on here, and that have ended in what came because nobody told their end there."""
    place = codec.dataset.fields.index("ended_at")
    here = SupportSession.objects.filter(pk__in=[key[0] for key in incoming], seq=None, ended_at=None)
    keys = [(pk,) for pk in here.select_for_update().values_list("pk", flat=True)]
    return [key for key in keys if sessions.may_be_assumed(key[0], incoming[key][place])]


def take_back(wanted: Wanted, live: Iterable[str]) -> None:
    """These sessions go on at the primary: they go on here too, and are taken off the mark.

    Raises:
        PeerMisbehaved: that is not among what was sent.
    """
    try:
        keys = [uuid.UUID(key) for key in live]
    except ValueError as error:
        raise PeerMisbehaved("a session that goes on has no number") from error
    if not keys:
        return
    codec = RowCodec(by_label()[tombstones.SESSION], NO_SECRETS)
    if wanted.dataset != codec.dataset.label:
        raise PeerMisbehaved("only a session can go on")
    with marks.book(codec.dataset) as held:
        rows = SupportSession.objects.filter(pk__in=keys, origin=wanted.origin, incarnation=wanted.incarnation)
        for row in codec.read(rows.filter(seq__gt=wanted.after, seq__lte=wanted.upto)):
            held.remove(wanted.origin, wanted.incarnation, codec.digest_line(row))
            one = SupportSession.objects.filter(pk=codec.key(row)[0])
            one.update(origin="", incarnation=0, seq=None, ended_at=None)


def _absent(codec: RowCodec, held: MarkBook, incoming: dict[Row, Row], conflicts: list[str]) -> list[Row]:
    """The rows to insert; ids that are here with another content are added to `conflicts`."""
    new = dict(incoming)
    gone: list[Row] = []  # keys
    renamed: dict[Row, Row] = {}
    for row in codec.read(codec.dataset.model._base_manager.filter(pk__in=[key[0] for key in incoming])):
        key = codec.key(row)
        origin, incarnation, _ = marks.mark_fields(codec, row)
        if marks.mark_fields(codec, row)[2] is None:
            gone.append(key)  # this database was restored to before the row was sealed: the sealed one is final
        elif row == incoming[key]:
            del new[key]
        else:
            if not _is_sent_twice(codec, row, incoming[key]):
                conflicts.append(str(key[0]))
                other = _renamed(codec, max(row, incoming[key], key=codec.digest))
                renamed[codec.key(other)] = other
            if codec.digest(row) > codec.digest(incoming[key]):
                gone.append(key)
                held.remove(origin, incarnation, codec.digest_line(row))
            else:
                del new[key]
    table = codec.dataset.model._base_manager
    table.filter(pk__in=[key[0] for key in gone]).delete()
    here = set(table.filter(pk__in=[key[0] for key in renamed]).values_list("pk", flat=True))
    return list({**{key: row for key, row in renamed.items() if key[0] not in here}, **new}.values())


def _is_sent_twice(codec: RowCodec, one: Row, other: Row) -> bool:
    """Whether a client sent this row to both appliances: each numbered it, and what was sent is the same."""
    if marks.mark_fields(codec, one) == marks.mark_fields(codec, other):
        return False
    dataset = codec.dataset
    names = [name for name in dataset.fields if name not in MARK_FIELDS and name not in dataset.filled_in]
    return all(one[place] == other[place] for place in map(dataset.fields.index, names))


def _renamed(codec: RowCodec, row: Row) -> Row:
    """The row under an id made of its own and of its content."""
    place = codec.dataset.fields.index("id")
    return (*row[:place], uuid.uuid5(row[place], codec.digest(row)), *row[place + 1 :])


def _count(codec: RowCodec, held: MarkBook, keys: Sequence[Row]) -> None:
    """Count the rows as the database gives them back: a mark tells of what is stored, not of what was sent."""
    for row in codec.read(codec.dataset.model._base_manager.filter(pk__in=[key[0] for key in keys])):
        origin, incarnation, _ = marks.mark_fields(codec, row)
        held.add(origin, incarnation, codec.digest_line(row))


def _alarm(label: str, ids: Sequence[str]) -> None:
    evidence = {"dataset": label, "ids": list(ids[:NAMED_CONFLICTS])}
    before = StatusEvent.objects.filter(event="corruption").first()
    if before is not None and before.evidence == evidence:
        return
    history.record(
        "corruption",
        f"{len(ids)} rows of {label} had one id and different contents on the two appliances. Both contents are kept, "
        "on both appliances; one of them under another id.",
        severity=Severity.ERROR,
        evidence=evidence,
    )
    log.error("append-only rows differ", extra={"dataset": label, "rows": len(ids)})
