"""How far append-only rows are held here: sealing this appliance's own rows, and adding those of the peer.

Rows are inserted without a number. Sealing numbers them `(origin, incarnation, seq)` in one transaction, so that a late
commit cannot hide behind a higher number, and adds their hashes to the mark. Only sealed rows are synchronised.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Max, Model, QuerySet

from appliances import selectors
from appliances.models import Appliance
from sync.datasync import snapshots
from sync.datasync.bulk import Bulk, batches
from sync.datasync.registry import APPEND_ONLY, Dataset, by_label
from sync.datasync.rows import Row, RowCodec, RowSum, column_of
from sync.datasync.wrapping import NO_SECRETS
from sync.models import SealedDay, SealedMark
from sync.rules.diff import DayDigest, Mark, Wanted, next_incarnation

BATCH_ROWS = 1000  # rows a transaction, so that the write lock is held for well under half a second
MAX_SEQ, MAX_INCARNATION = (1 << 63) - 2, (1 << 31) - 1  # of the columns, with room for the next one
_GUID = re.compile(r"[0-9a-f]{32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
PAGE_ROWS, PAGE_BYTES = 5000, 4 * 1024 * 1024  # rows read at a time, however large their texts are
FETCHED_ROWS = 16


def is_well_formed(mark: Mark) -> bool:
    """Whether a mark that the peer sent is one that could be kept here."""
    is_known = mark.dataset in {dataset.label for dataset in APPEND_ONLY} and bool(_DIGEST.fullmatch(mark.digest))
    return is_known and is_place(mark.origin, mark.incarnation, mark.seq) and 0 <= mark.rows <= MAX_SEQ


def is_place(origin: str, incarnation: int, seq: int) -> bool:
    """Whether a row could have this origin, incarnation and number; another incarnation may still follow."""
    return bool(_GUID.fullmatch(origin)) and 0 < incarnation < MAX_INCARNATION and 0 < seq <= MAX_SEQ


class MarkBook:
    """The marks of one dataset inside a transaction, and what they count day by day; written back by `save`."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._bulk = Bulk(dataset)
        self._open: dict[tuple[str, int], tuple[SealedMark, RowSum]] = {}
        self._days: dict[tuple[str, int, int], tuple[SealedDay, RowSum]] = {}

    def _entry(self, origin: str, incarnation: int) -> tuple[SealedMark, RowSum]:
        key = (origin, incarnation)
        if key not in self._open:
            row, _ = SealedMark.objects.get_or_create(
                dataset=self._dataset.label, origin=origin, incarnation=incarnation
            )
            self._open[key] = row, RowSum(row.rows, row.digest)
        return self._open[key]

    def seq(self, origin: str, incarnation: int) -> int:
        """The highest number held."""
        return self._entry(origin, incarnation)[0].seq

    def _day(self, origin: str, incarnation: int, day: int) -> RowSum:
        key = (origin, incarnation, day)
        if key not in self._days:
            row, _ = SealedDay.objects.get_or_create(
                dataset=self._dataset.label, origin=origin, incarnation=incarnation, day=day
            )
            self._days[key] = row, RowSum(row.rows, row.digest)
        return self._days[key][1]

    def add(self, origin: str, incarnation: int, line: bytes) -> None:
        """Count a row that is held from now on."""
        self.add_all(origin, incarnation, (line,))

    def add_all(
        self, origin: str, incarnation: int, lines: Sequence[bytes], rows: Sequence[Sequence[Any]] = ()
    ) -> None:
        """Count rows that are held from now on. `rows` are those of the lines, where they are at hand."""
        for day, part in self._bulk.by_day(lines, rows).items():
            total = RowSum()
            total.add_all(part)
            self._day(origin, incarnation, day).include(total)
            self._entry(origin, incarnation)[1].include(total)

    def remove(self, origin: str, incarnation: int, line: bytes) -> None:
        """Count a row no longer that was held until now."""
        self._entry(origin, incarnation)[1].remove(line)
        for day in self._bulk.by_day([line]):
            self._day(origin, incarnation, day).remove(line)

    def reach(self, origin: str, incarnation: int, seq: int) -> None:
        """Everything up to `seq` has been dealt with."""
        mark, _ = self._entry(origin, incarnation)
        mark.seq = max(mark.seq, seq)

    def save(self) -> None:
        """Write the marks back."""
        counted: list[tuple[SealedMark | SealedDay, RowSum]] = [*self._open.values(), *self._days.values()]
        for row, total in counted:
            row.rows, row.digest = total.rows, total.digest
            row.save()


@contextmanager
def book(dataset: Dataset) -> Iterator[MarkBook]:
    """One transaction in which nobody else numbers or adds rows; the marks are written at its end."""
    with transaction.atomic():
        selectors.this_appliance()
        Appliance.objects.select_for_update().get(pk=1)
        marks = MarkBook(dataset)
        yield marks
        marks.save()


def held() -> list[Mark]:
    """The marks of all append-only rows held here."""
    return [
        Mark(row.dataset, row.origin, row.incarnation, row.seq, row.rows, row.digest)
        for row in SealedMark.objects.filter(seq__gt=0).order_by("dataset", "origin", "incarnation")
    ]


def days(dataset: str, origin: str, incarnation: int) -> list[DayDigest]:
    """What the mark counts, day by day; days without rows are left out."""
    found = SealedDay.objects.filter(dataset=dataset, origin=origin, incarnation=incarnation, rows__gt=0)
    return [DayDigest(row.day, row.rows, row.digest) for row in found.order_by("day")]


def seal_all(seconds: float = math.inf) -> int:
    """All append-only rows that are ready have their number, as far as that is done in time; how many were sealed."""
    total, end = 0, time.monotonic() + seconds
    for dataset in APPEND_ONLY:
        while time.monotonic() < end and (sealed := _seal_batch(dataset)):
            total += sealed
    return total


def are_all_sealed() -> bool:
    """Whether no append-only row that is ready waits for its number."""
    return not any(_ready(dataset).exists() for dataset in APPEND_ONLY)


def seal_beside(seconds: float) -> int:
    """Whole batches of rows have their number before a data-sync asks for it; how many rows were sealed.

    What is less than a batch is left to the data-sync: an appliance restored from an image numbers no row before the
    peer has told how far it was, unless it wrote very many meanwhile. Nothing is numbered while the peer pulls, for its
    data-sync ends with the rows of its beginning.
    """
    total, end = 0, time.monotonic() + seconds
    for dataset in APPEND_ONLY:
        while time.monotonic() < end and _ready(dataset)[BATCH_ROWS - 1 : BATCH_ROWS].exists():
            with snapshots.none_is_made() as may_seal:
                if not may_seal:
                    return total
                total += _seal_batch(dataset)
    return total


def heed(peers: Sequence[Mark]) -> None:
    """Begin a new incarnation if the peer has seen more of this one than is here (restored from an image)."""
    with transaction.atomic():
        selectors.this_appliance()
        me = Appliance.objects.select_for_update().get(pk=1)
        following = next_incarnation(me.guid, me.incarnation, held(), peers)
        if following != me.incarnation:
            me.incarnation = following
            me.save(update_fields=["incarnation"])


def _ready(dataset: Dataset) -> QuerySet[Model]:
    """The rows that wait for a number, in the order of the index: in another one, each batch would sort all of them."""
    rows = dataset.model._base_manager.filter(dataset.ready, origin="", seq__isnull=True)
    return rows.order_by("origin", "incarnation", "seq")


def _seal_batch(dataset: Dataset) -> int:
    rows = _ready(dataset)
    if not rows.exists():
        return 0
    with book(dataset) as marks:
        me = selectors.this_appliance()
        first = _next_seq(dataset, me, marks)
        count = _number(dataset, me, first)
        last = _next_seq(dataset, me, marks) - 1  # more than `count` where one of them has gone meanwhile
        sealed = Wanted(dataset.label, me.guid, me.incarnation, first - 1, last)
        for lines in batches(lines_in_order(sealed)):
            marks.add_all(me.guid, me.incarnation, lines)
        marks.reach(me.guid, me.incarnation, sealed.upto)
    return count


def _number(dataset: Dataset, me: Appliance, first: int) -> int:
    """The first of the rows that are ready are numbered from `first` on, by one statement; how many were."""
    ready, values = _ready(dataset).values(key=F("pk"))[:BATCH_ROWS].query.sql_with_params()
    quote = connection.ops.quote_name
    table, pk = quote(dataset.table), quote(column_of(dataset.model._meta.pk))
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET {quote('origin')} = %s, {quote('incarnation')} = %s, {quote('seq')} = found.number "  # noqa: S608
            f"FROM (SELECT ready.key, %s - 1 + row_number() OVER () AS number FROM ({ready}) AS ready) AS found "
            f"WHERE {table}.{pk} = found.key",
            [me.guid, me.incarnation, first, *values],
        )
        return int(cursor.rowcount)


def _next_seq(dataset: Dataset, me: Appliance, marks: MarkBook) -> int:
    """The number after the highest there is: of the mark, or of rows that are ahead of it in a restored database."""
    own = dataset.model._base_manager.filter(origin=me.guid, incarnation=me.incarnation)
    highest = own.aggregate(highest=Max("seq"))["highest"] or 0
    return int(max(highest, marks.seq(me.guid, me.incarnation))) + 1


def mark_fields(codec: RowCodec, row: Row) -> tuple[str, int, int]:
    """Origin, incarnation and number of an append-only row."""
    place = codec.dataset.fields.index
    return row[place("origin")], row[place("incarnation")], row[place("seq")]


def rows_in_order(wanted: Wanted) -> Iterator[Row]:
    """The append-only rows that are wanted, in the order of their numbers."""
    codec = RowCodec(by_label()[wanted.dataset], NO_SECRETS)
    return map(codec.parse, lines_in_order(wanted))


def lines_in_order(wanted: Wanted) -> Iterator[bytes]:
    """The lines of the append-only rows that are wanted, in the order of their numbers.

    Read page by page: on SQLite no write may happen on a connection while it is in the middle of a result.
    """
    after, upto = wanted.after, wanted.upto
    within, among = Bulk(by_label()[wanted.dataset]).of_days(wanted.first_day, wanted.last_day)
    while page := _page(wanted, f"seq > %s AND seq <= %s{within}", (after, upto, *among), PAGE_ROWS):
        yield from (line for _, line in page)
        after = page[-1][0]
        if len(page) < PAGE_ROWS and sum(len(line) for _, line in page) < PAGE_BYTES:
            return
        # A number is taken twice only where two contents of one row, or two histories of one appliance, are kept.
        # Together with the next page, they would make SQLite read all pages from the first one for each of them.
        read = {line for seq, line in page if seq == after}
        yield from (line for _, line in _page(wanted, f"seq = %s{within}", (after, *among)) if line not in read)


def _page(wanted: Wanted, condition: str, values: tuple[Any, ...], rows: int | None = None) -> list[tuple[int, bytes]]:
    """Number and line of the rows with this condition, at most so many and of at most about PAGE_BYTES."""
    bulk = Bulk(by_label()[wanted.dataset])
    found: list[tuple[int, bytes]] = []
    size = 0
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT seq, {bulk.expression} FROM {_source(bulk, condition, rows)} ORDER BY seq",  # noqa: S608
            [wanted.origin, wanted.incarnation, *values],
        )
        while (rows is None or size < PAGE_BYTES) and (fetched := cursor.fetchmany(FETCHED_ROWS)):
            found += [(seq, bulk.line(text)) for seq, text in fetched]
            size += sum(len(text) for _, text in fetched)
    return found


def _source(bulk: Bulk, condition: str, rows: int | None) -> str:
    """The table with this condition.

    PostgreSQL sends a whole result at once, so there it ends with the row that reaches PAGE_BYTES; the size of a text
    is known without reading it, and is no more than what it takes in the line.
    """
    table = f"{connection.ops.quote_name(bulk.dataset.table)} WHERE origin = %s AND incarnation = %s AND {condition}"
    if rows is None:
        return table
    table = f"(SELECT * FROM {table} ORDER BY seq LIMIT {rows}) AS few"  # noqa: S608
    if connection.vendor != "postgresql" or not bulk.texts:
        return table
    size = " + ".join(f"coalesce(octet_length({column}), 0)" for column in bulk.texts)
    before = f"sum({size}) OVER (ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - ({size})"
    return f"(SELECT *, {before} AS bytes_before FROM {table}) AS page WHERE bytes_before < {PAGE_BYTES}"  # noqa: S608
