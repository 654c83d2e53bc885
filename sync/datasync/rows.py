"""Rows on the wire and in digests: one compact JSON array a row, every type exact.

    moment      integer microseconds since 1970 (UTC)        duration    integer microseconds
    UUID        32 hex digits                                bytes       base64
    permission  app.model.codename, for numbers differ       secret      wrapped (wire) or its HMAC (digest)

Between database and wire a row is a tuple of plain values: secrets in clear, permissions by name. `RowCodec` refuses
whatever is not exactly of the declared type, so that no bad row reaches a table.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from blake3 import blake3
from django.contrib.auth.models import Permission
from django.db import connection, models

from appliances import secrets
from sync.datasync.refusals import refused
from sync.datasync.registry import Dataset
from sync.datasync.wrapping import SecretWrap
from sync.rules.snapshot import Refusal

MAX_ROW_BYTES = 16 * 1024 * 1024  # the memory that one row may take on either side, several times over
CHUNK_ROWS = 2000  # rows read from the database at a time
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)
Row = tuple[Any, ...]


class RowCodec:
    """Turns the rows of one dataset from database to wire and back."""

    def __init__(self, dataset: Dataset, wrap: SecretWrap) -> None:
        self.dataset = dataset
        self._wrap = wrap
        self._fields = dataset.model_fields
        self._labels = dict(dataset.secret_labels)
        self._kinds = [kind_of(field, field.name in self._labels) for field in self._fields]
        self._key_places = [dataset.fields.index(name) for name in dataset.key]
        permissions = _permission_names() if "permission" in self._kinds else {}
        self._permission_names = permissions
        self._permission_ids = {name: number for number, name in permissions.items()}
        self._ranges = [range_of(field) for field in self._fields]

    @property
    def columns(self) -> list[str]:
        """The database columns, in order."""
        return [column_of(field) for field in self._fields]

    def key(self, row: Row) -> Row:
        """What tells this row apart."""
        return tuple(row[place] for place in self._key_places)

    @property
    def key_columns(self) -> list[str]:
        """The database columns that tell rows apart."""
        return [column_of(self._fields[place]) for place in self._key_places]

    def read(self, queryset: models.QuerySet[Any] | None = None, *, at_a_time: int = CHUNK_ROWS) -> Iterator[Row]:
        """The rows of the table (or of `queryset`) as plain values, so many of them in memory."""
        rows = queryset if queryset is not None else self.dataset.model._base_manager.all()
        names = [field.attname for field in self._fields]
        for values in rows.values_list(*names).iterator(chunk_size=at_a_time):
            yield tuple(self._from_database(place, value) for place, value in enumerate(values))

    def to_database(self, row: Row) -> list[Any]:
        """The parameters for an INSERT of this row."""
        return [self._parameter(place, value) for place, value in enumerate(row)]

    def key_to_database(self, key: Row) -> list[Any]:
        """The parameters for a condition on `key_columns`."""
        return [self._parameter(place, value) for place, value in zip(self._key_places, key, strict=True)]

    def _parameter(self, place: int, value: Any) -> Any:
        return self._fields[place].get_db_prep_save(self._for_database(place, value), connection)

    def wire_line(self, row: Row) -> bytes:
        """The row as it travels."""
        line = self._line(row, lambda secret, place: _text(self._wrap.wrap(secret, place)))
        if len(line) > MAX_ROW_BYTES:
            raise refused(Refusal.ROW_TOO_LARGE, f"{self.dataset.label} {self.key(row)}.")
        return line

    def digest_line(self, row: Row) -> bytes:
        """The row as it is hashed: the same bytes on both appliances."""
        return self._line(row, lambda secret, place: self._wrap.digest(secret, place).hex())

    def digest(self, row: Row) -> str:
        """The hash of the row as 64 hex digits: the same on both appliances."""
        return blake3(self.digest_line(row)).hexdigest()

    def parse(self, line: bytes) -> Row:
        """The plain values of a row that the peer sent.

        Raises:
            SyncRefused: not a row of this dataset, each value exactly of its type.
        """
        try:
            values = json.loads(line)
            if not isinstance(values, list) or len(values) != len(self._fields):
                raise ValueError("wrong number of values")
            return tuple(self._from_wire(place, value) for place, value in enumerate(values))
        except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error) as error:
            raise refused(Refusal.ROW_UNUSABLE, f"{self.dataset.label}: {error}"[:300]) from error

    def _place(self, place: int) -> str:
        return f"{self.dataset.label}|{self._fields[place].name}"

    def _line(self, row: Row, secret: Callable[[bytes, str], str]) -> bytes:
        values = [
            (secret(value, self._place(place)) if value else "")
            if self._kinds[place] == "secret"
            else _to_json(self._kinds[place], value)
            for place, value in enumerate(row)
        ]
        return json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()

    def _from_database(self, place: int, value: Any) -> Any:
        kind = self._kinds[place]
        if kind == "permission":
            return self._permission_names[value]
        if kind == "bytes":
            return bytes(value)
        if kind == "secret":
            try:
                return secrets.unseal(bytes(value), self._labels[self._fields[place].name]) if value else b""
            except secrets.SecretUnreadable as error:
                raise refused(Refusal.SECRET_UNREADABLE, str(error)) from error
        return value

    def _for_database(self, place: int, value: Any) -> Any:
        kind = self._kinds[place]
        if kind == "permission":
            return self._permission_ids[value]
        if kind == "secret":
            return secrets.seal(value, self._labels[self._fields[place].name]) if value else b""
        return value

    def _from_wire(self, place: int, value: Any) -> Any:
        field, kind = self._fields[place], self._kinds[place]
        if value is None:
            if not field.null:
                raise ValueError(f"{field.name} must have a value")
            return None
        if kind == "secret":
            return self._wrap.unwrap(_bytes(value), self._place(place)) if value != "" else b""
        if kind == "permission" and value not in self._permission_ids:
            raise ValueError(f"{value} is not a permission of this appliance")
        plain = _from_json(kind, value)
        low, high = self._ranges[place]
        if kind == "int" and ((low is not None and plain < low) or (high is not None and plain > high)):
            raise ValueError(f"{field.name} is out of range")
        if kind == "str" and field.max_length is not None and len(plain) > field.max_length:
            raise ValueError(f"{field.name} is longer than {field.max_length} characters")
        return plain


class RowSum:
    """Count and sum of the hashes of rows, whatever their order; rows can be added at any time."""

    MODULUS = 1 << 256

    def __init__(self, rows: int = 0, digest: str = "0") -> None:
        self.rows = rows
        self._sum = int(digest, 16)

    def add(self, line: bytes) -> None:
        """Count one row."""
        self.add_all((line,))

    def add_all(self, lines: Sequence[bytes]) -> None:
        """Count these rows."""
        self.rows += len(lines)
        self._sum = (self._sum + sum(int.from_bytes(blake3(line).digest(), "big") for line in lines)) % self.MODULUS

    def add_digest(self, digest: bytes) -> None:
        """Count one row whose hash is known."""
        self.rows += 1
        self._sum = (self._sum + int.from_bytes(digest, "big")) % self.MODULUS

    def include(self, other: RowSum) -> None:
        """Count all that another sum counts."""
        self.rows += other.rows
        self._sum = (self._sum + other._sum) % self.MODULUS

    def remove(self, line: bytes) -> None:
        """Count one row no longer."""
        self.rows -= 1
        self._sum = (self._sum - int.from_bytes(blake3(line).digest(), "big")) % self.MODULUS

    @property
    def digest(self) -> str:
        """The sum as 64 hex digits."""
        return f"{self._sum:064x}"


def sum_of(codec: RowCodec) -> RowSum:
    """The sum over the whole table as it is in the database now."""
    total = RowSum()
    for row in codec.read():
        total.add(codec.digest_line(row))
    return total


def column_of(field: models.Field[Any, Any]) -> str:
    """The name of the field's database column."""
    return str(field.column)


def kind_of(field: models.Field[Any, Any], is_secret: bool) -> str:
    """What the values of a field are on the wire.

    Raises:
        TypeError: there is no exact form for them.
    """
    if is_secret:
        return "secret"
    if field.is_relation:
        return "permission" if field.related_model is Permission else kind_of(field.target_field, False)  # type: ignore[attr-defined]
    kinds: tuple[tuple[type[models.Field[Any, Any]], str], ...] = (
        (models.UUIDField, "uuid"),
        (models.DateTimeField, "moment"),
        (models.DurationField, "span"),
        (models.BinaryField, "bytes"),
        (models.BooleanField, "bool"),
        (models.IntegerField, "int"),
        (models.CharField, "str"),
        (models.TextField, "str"),
    )
    for known, kind in kinds:
        if isinstance(field, known):
            return kind
    raise TypeError(f"{field}: data-sync knows no exact form for {type(field).__name__}")


def range_of(field: models.Field[Any, Any]) -> tuple[int | None, int | None]:
    """The smallest and the largest number that a field holds; None where there is no limit."""
    target = field.target_field if field.is_relation else field  # type: ignore[attr-defined]
    if not isinstance(target, models.IntegerField):
        return None, None
    return connection.ops.integer_field_range(target.get_internal_type())


def _permission_names() -> dict[int, str]:
    values = Permission.objects.values_list("id", "content_type__app_label", "content_type__model", "codename")
    return {number: ".".join(names) for number, *names in values}


def _to_json(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "moment":
        return (value - EPOCH) // MICROSECOND
    if kind == "span":
        return value // MICROSECOND
    if kind == "uuid":
        return value.hex
    if kind == "bytes":
        return _text(value)
    return value


def _from_json(kind: str, value: Any) -> Any:
    expected: type = {"moment": int, "span": int, "int": int, "bool": bool}.get(kind, str)
    if type(value) is not expected:
        raise ValueError(f"{type(value).__name__} where {kind} belongs")
    plain: Any = value
    if kind == "moment":
        return EPOCH + plain * MICROSECOND
    if kind == "span":
        return plain * MICROSECOND
    if kind == "uuid":
        parsed = uuid.UUID(plain)
        if parsed.hex != plain:
            raise ValueError("not a UUID of 32 hex digits")
        return parsed
    if kind == "bytes":
        return _bytes(plain)
    if kind == "str":
        plain.encode()  # a lone surrogate is no text
        if "\0" in plain:
            raise ValueError("text with a NUL character")
    return plain


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _bytes(value: Any) -> bytes:
    if type(value) is not str:
        raise ValueError(f"{type(value).__name__} where bytes belong")
    return base64.b64decode(value.encode("ascii"), validate=True)
