"""Many rows at once: lines made by the database itself, and lines of the peer checked column by column.

A line is the same to the byte as `RowCodec` makes it. Secrets and permissions need `RowCodec`; every other row takes
a tenth of the time here. A row is a list of the values of its line: moments and durations are microseconds.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db import connection

from sync.datasync.refusals import refused
from sync.datasync.registry import Dataset
from sync.datasync.rows import CHUNK_ROWS, EPOCH, MAX_ROW_BYTES, MICROSECOND, RowCodec, column_of, kind_of, range_of
from sync.datasync.wrapping import NO_SECRETS
from sync.rules.snapshot import Refusal

MERGE_ROWS, MERGE_BYTES = 5000, 4 * 1024 * 1024  # lines taken together, so that a transaction is short
_write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_NAIVE_EPOCH = EPOCH.replace(tzinfo=None)
_HEX = re.compile(r"[0-9a-f]*")
_MOMENTS = (
    (dt.datetime.min.replace(tzinfo=dt.UTC) - EPOCH) // MICROSECOND,
    (dt.datetime.max.replace(tzinfo=dt.UTC) - EPOCH) // MICROSECOND,
)
_SPANS = dt.timedelta.min // MICROSECOND, dt.timedelta.max // MICROSECOND
DAY = dt.timedelta(days=1) // MICROSECOND
_TYPES = {"moment": int, "span": int, "int": int, "bool": bool, "uuid": str, "str": str}
# How each database writes a value of a kind as the line has it; None of its characters may need an escape but in str.
_WRITTEN = {
    "sqlite": {
        "moment": "(CAST(strftime('%%s', substr({0}, 1, 19)) AS INTEGER) * 1000000 + "
        "CAST(substr(substr({0}, 21) || '000000', 1, 6) AS INTEGER))",
        "span": "{0}",
        "int": "{0}",
        "bool": "CASE WHEN {0} THEN 'true' ELSE 'false' END",
        "uuid": "'\"' || {0} || '\"'",
        "str": "json_quote({0})",
    },
    "postgresql": {
        "moment": "((extract(epoch FROM {0}) * 1000000)::bigint)::text",
        "span": "((extract(epoch FROM {0}) * 1000000)::bigint)::text",
        "int": "{0}::text",
        "bool": "CASE WHEN {0} THEN 'true' ELSE 'false' END",
        "uuid": "'\"' || replace({0}::text, '-', '') || '\"'",
        "str": "to_json({0})::text",
    },
}


def is_plain(dataset: Dataset) -> bool:
    """Whether the database can write the lines of this dataset: it has neither secrets nor permissions."""
    secret = {name for name, _ in dataset.secret_labels}
    return all(kind_of(field, field.name in secret) in _TYPES for field in dataset.model_fields)


class Bulk:
    """The rows of one dataset, for which `is_plain` holds, as lines."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._fields = dataset.model_fields
        self._kinds = [kind_of(field, False) for field in self._fields]
        self._ranges = [self._range(place) for place in range(len(self._fields))]
        self.codec = RowCodec(dataset, NO_SECRETS)

    def place(self, name: str) -> int:
        """Where the field stands in a row."""
        return self.dataset.fields.index(name)

    # --- from the database ----------------------------------------------------------------------------------------

    def lines(self, keys: Sequence[Any] = ()) -> Iterator[list[bytes]]:
        """The lines of the whole table, some thousand at a time. Nothing may be written while they are read.

        With `keys`, parameters for the first column of the key, only those of the rows that begin with one of them.
        """
        quote, condition = connection.ops.quote_name, ""
        if keys:
            condition = f" WHERE {quote(self.codec.key_columns[0])} IN ({', '.join(['%s'] * len(keys))})"
        with connection.chunked_cursor() as cursor:
            cursor.execute(f"SELECT {self.expression} FROM {quote(self.dataset.table)}{condition}", tuple(keys))  # noqa: S608
            while found := cursor.fetchmany(CHUNK_ROWS):
                yield [self.line(text) for (text,) in found]

    @property
    def expression(self) -> str:
        """The line as an SQL expression, for a query that has parameters."""
        quote, written = connection.ops.quote_name, _WRITTEN[connection.vendor]
        values = []
        for field, kind in zip(self._fields, self._kinds, strict=True):
            value = written[kind].format(quote(column_of(field)))
            values.append(f"coalesce({value}, 'null')" if field.null else f"({value})")
        return "'[' || " + " || ',' || ".join(values) + " || ']'"

    @property
    def texts(self) -> list[str]:
        """The quoted columns that hold text."""
        kinds = zip(self._fields, self._kinds, strict=True)
        return [connection.ops.quote_name(column_of(field)) for field, kind in kinds if kind == "str"]

    def line(self, text: str) -> bytes:
        """The line that the database wrote.

        Raises:
            SyncRefused: it is too large to travel.
        """
        if "\\" in text:  # of several ways to escape a character, ours is that of `json`
            text = _write(json.loads(text))
        line = text.encode()
        if len(line) > MAX_ROW_BYTES:
            raise refused(Refusal.ROW_TOO_LARGE, f"{self.dataset.label}: a row of {len(line)} bytes.")
        return line

    # --- from the peer --------------------------------------------------------------------------------------------

    def load(self, lines: Sequence[bytes]) -> list[list[Any]]:
        """The rows that these lines of the peer stand for, each value exactly of its type.

        Raises:
            SyncRefused: one of them is no row of this dataset, or is written otherwise than `RowCodec` writes it.
        """
        try:
            rows = self.rows(lines)
            self._check(rows)
            is_same = self._are_written_so(rows, lines)
        except (ValueError, TypeError, RecursionError):
            is_same = False
        if not is_same:
            for line in lines:
                self.codec.parse(line)  # says what is wrong
            raise refused(Refusal.ROW_UNUSABLE, f"{self.dataset.label}: a row is not written as it has to be.")
        return rows

    @staticmethod
    def rows(lines: Sequence[bytes]) -> list[list[Any]]:
        """The rows of lines that are known to be good."""
        found: list[list[Any]] = json.loads(b"[" + b",".join(lines) + b"]")
        return found

    def _are_written_so(self, rows: list[list[Any]], lines: Sequence[bytes]) -> bool:
        """Whether each row, written anew, is its line: so the hash of the line is the hash of the row."""
        if self._kinds[0] != "uuid":
            return all(_write(row).encode() == line for row, line in zip(rows, lines, strict=True))
        # Written at once, which is quicker, they are the same text; and where `["`, 32 digits and `"` stand in it, a
        # row begins, for inside of a text there is a backslash before a quotation mark. So the lines are the rows.
        begin_so = all(line.startswith(b'["%b"' % row[0].encode()) for row, line in zip(rows, lines, strict=True))
        return begin_so and _write(rows).encode() == b"[" + b",".join(lines) + b"]"

    def _check(self, rows: list[list[Any]]) -> None:
        """Raises ValueError or TypeError."""
        width = len(self._fields)
        if not all(type(row) is list and len(row) == width for row in rows):
            raise ValueError("another number of values")
        for place, column in enumerate(zip(*rows, strict=True)):
            self._check_column(place, column)

    def _check_column(self, place: int, column: Sequence[Any]) -> None:
        field, kind = self._fields[place], self._kinds[place]
        values = [value for value in column if value is not None] if field.null else column
        if not values:
            return
        if set(map(type, values)) != {_TYPES[kind]}:
            raise ValueError(f"{field.name} is of another type")
        if kind == "uuid" and not (set(map(len, values)) == {32} and _HEX.fullmatch("".join(values))):
            raise ValueError(f"{field.name} is not a UUID")
        if kind == "str":
            self._check_text(field.max_length, values)
        low, high = self._ranges[place]
        if (low is not None and min(values) < low) or (high is not None and max(values) > high):
            raise ValueError(f"{field.name} is out of range")

    @staticmethod
    def _check_text(max_length: int | None, values: Sequence[str]) -> None:
        if max_length is not None and max(map(len, values)) > max_length:
            raise ValueError("a text is too long")
        if any("\0" in value for value in values):
            raise ValueError("text with a NUL character")

    def _range(self, place: int) -> tuple[int | None, int | None]:
        kind = self._kinds[place]
        return {"moment": _MOMENTS, "span": _SPANS}.get(kind) or range_of(self._fields[place])

    def by_day(self, lines: Sequence[bytes], rows: Sequence[Sequence[Any]] = ()) -> dict[int, list[bytes]]:
        """The lines of append-only rows, which are known to be good, by their days since 1970, UTC.

        `rows` are those of the lines, in the same order, where they are at hand.
        """
        found: dict[int, list[bytes]] = {}
        place = self.place(self.dataset.dated)
        for line, row in zip(lines, rows or self.rows(lines), strict=True):
            found.setdefault(row[place] // DAY, []).append(line)
        return found

    def of_days(self, first: int | None, last: int | None) -> tuple[str, tuple[Any, ...]]:
        """The condition that an append-only row is of these days, with its parameters; None: any day."""
        if first is None or last is None:
            return "", ()
        column = connection.ops.quote_name(column_of(self._fields[self.place(self.dataset.dated)]))
        lowest, highest = _MOMENTS
        moments = max(first * DAY, lowest), min((last + 1) * DAY - 1, highest)
        return f" AND {column} >= %s AND {column} <= %s", tuple(map(_moment, moments))

    # --- into the database ----------------------------------------------------------------------------------------

    def to_database(self, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
        """The parameters for an INSERT of these rows, in the order of `RowCodec.columns`."""
        columns: list[Iterable[Any]] = list(zip(*rows, strict=True))
        is_postgresql = connection.vendor == "postgresql"
        for place, kind in enumerate(self._kinds):
            if kind == "moment":
                columns[place] = [_moment(value) for value in columns[place]]
            elif kind == "span" and is_postgresql:
                columns[place] = [None if value is None else value * MICROSECOND for value in columns[place]]
        return zip(*columns, strict=True)


def batches(lines: Iterable[bytes], rows: int = MERGE_ROWS) -> Iterator[list[bytes]]:
    """The lines, as many at a time as are to be taken together."""
    batch: list[bytes] = []
    size = 0
    for line in lines:
        if batch and (len(batch) >= rows or size + len(line) > MERGE_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield batch


def _moment(value: int | None) -> str | None:
    """A moment as SQLite keeps it; PostgreSQL, whose connections are in UTC, reads it."""
    return None if value is None else str(_NAIVE_EPOCH + dt.timedelta(0, 0, value))
