"""Rows into and out of tables by plain SQL, so that values arrive exactly as sent.

Django's own writes would replace some of them (a moment set at creation, for one).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from django.core.management.color import no_style
from django.db import connection, models

from sync.datasync.bulk import Bulk, batches
from sync.datasync.registry import Dataset
from sync.datasync.rows import Row, RowCodec, column_of


def insert(codec: RowCodec, rows: Sequence[Row], local: Sequence[Sequence[Any]] = ()) -> None:
    """Insert the rows; `local` holds, row by row, the values of the fields kept local (none: their defaults)."""
    if not rows:
        return
    kept = local_fields(codec.dataset)
    columns = codec.columns + [column_of(field) for field in kept]
    defaults = [field.get_db_prep_save(field.get_default(), connection) for field in kept]
    values = [codec.to_database(row) + (list(local[n]) if local else defaults) for n, row in enumerate(rows)]
    _execute_many(codec.dataset, columns, values)


def insert_lines(dataset: Dataset, lines: Sequence[bytes]) -> None:
    """Insert new rows of a dataset that is plain; fields kept local have their defaults."""
    bulk, kept = Bulk(dataset), local_fields(dataset)
    columns = bulk.codec.columns + [column_of(field) for field in kept]
    defaults = tuple(field.get_db_prep_save(field.get_default(), connection) for field in kept)
    for part in batches(lines):
        insert_many(dataset, columns, [(*row, *defaults) for row in bulk.to_database(bulk.rows(part))])


def insert_many(dataset: Dataset, columns: Sequence[str], values: Iterable[Sequence[Any]]) -> None:
    """Insert very many rows of ready parameters for these columns, in the quickest way that the database has."""
    if connection.vendor != "postgresql":
        _execute_many(dataset, columns, list(values))
        return
    quote = connection.ops.quote_name
    names = ", ".join(map(quote, columns))
    copy = f"COPY {quote(dataset.table)} ({names}) FROM STDIN"
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(copy) as rows:
        for row in values:
            rows.write_row(row)


def _execute_many(dataset: Dataset, columns: Sequence[str], values: Sequence[Sequence[Any]]) -> None:
    quote = connection.ops.quote_name
    names, places = ", ".join(map(quote, columns)), ", ".join(["%s"] * len(columns))
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {quote(dataset.table)} ({names}) VALUES ({places})", values)  # noqa: S608


def delete(codec: RowCodec, keys: Sequence[Row]) -> None:
    """Delete the rows with these keys, and nothing that refers to them."""
    if not keys:
        return
    quote = connection.ops.quote_name
    condition = " AND ".join(f"{quote(column)} = %s" for column in codec.key_columns)
    values = [codec.key_to_database(key) for key in keys]
    with connection.cursor() as cursor:
        cursor.executemany(f"DELETE FROM {quote(codec.dataset.table)} WHERE {condition}", values)  # noqa: S608


def beginning_with(codec: RowCodec, keys: Collection[Row]) -> models.QuerySet[Any]:
    """The rows whose key begins as one of these keys does: these rows, and where a key has several parts, others."""
    firsts = {codec.key_to_database(key)[0] for key in keys}
    return codec.dataset.model._base_manager.filter(**{f"{codec.dataset.key[0]}__in": firsts})


def local_fields(dataset: Dataset) -> list[models.Field[Any, Any]]:
    """The fields that stay as they are on each appliance, but for numbers the database gives by itself."""
    fields = [dataset.model._meta.get_field(name) for name in dataset.keep_local]
    return [field for field in fields if isinstance(field, models.Field) and not field.primary_key]


def number_on(labels: Sequence[type[models.Model]]) -> None:
    """New rows get numbers above those copied from the peer."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), list(labels)):
            cursor.execute(statement)


def local_values(codec: RowCodec, keys: Sequence[Row]) -> dict[Row, list[Any]]:
    """What the fields kept local hold in the rows with these keys, ready for an INSERT."""
    kept = local_fields(codec.dataset)
    if not kept or not keys:
        return {key: [] for key in keys}
    found = codec.dataset.model._base_manager.in_bulk([key[0] for key in keys])

    def values(row: models.Model) -> list[Any]:
        return [field.get_db_prep_save(getattr(row, field.attname), connection) for field in kept]

    return {key: values(found[key[0]]) for key in keys}
