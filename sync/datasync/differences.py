"""What turns this appliance's copy of a settings table into the snapshot's, and whether it then reads back so.

The line of a plain row is what is hashed, so rows that stay are known by the hashes of their lines and never parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from blake3 import blake3

from sync.datasync.buckets import StagedTable
from sync.datasync.bulk import Bulk, is_plain
from sync.datasync.registry import Dataset
from sync.datasync.rows import Row, RowCodec, RowSum, sum_of
from sync.rules.diff import TableDigest

WRITE_ROWS = 500  # rows handed to the database in one call


@dataclass
class Writes:
    """What is to be written to one table: the keys of rows to remove, rows that take the place of others, new rows.

    `lines` are new rows too, of a plain dataset, as they came.
    """

    remove: list[Row] = field(default_factory=list)
    replace: list[Row] = field(default_factory=list)
    add: list[Row] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.remove or self.replace or self.add or self.lines)


@dataclass
class Difference(Writes):
    """What turns our copy of a table into the snapshot's, and how the table is then.

    `gone` are the things that people know by name and that are no more then, by their keys.
    """

    total: TableDigest = field(kw_only=True)
    gone: dict[Row, str] = field(kw_only=True)


def difference_of(codec: RowCodec, staged: StagedTable) -> Difference:
    """What differs between the table as it is in the database now and these lines of the primary, which are checked.

    Rows that were not to be sent again stay and count as they are here.
    """
    total, is_as_hashed = RowSum(), is_plain(codec.dataset)
    left: dict[bytes, Any] = {}  # what may go, by its hash: lines of a plain table, rows of another one
    for digest, held in _held(codec):
        if staged.stays(digest):
            total.add_digest(digest)
        else:
            left[digest] = held
    new: list[bytes] = []
    for line in staged.lines():
        digest = blake3(line if is_as_hashed else codec.digest_line(codec.parse(line))).digest()
        total.add_digest(digest)
        if left.pop(digest, None) is None:
            new.append(line)
    table = TableDigest(codec.dataset.label, total.rows, total.digest)
    if is_as_hashed and not left:
        return Difference(lines=new, total=table, gone={})  # they may be very many
    rows = map(codec.parse, left.values()) if is_as_hashed else left.values()
    return _changes(codec, list(rows), [codec.parse(line) for line in new], table)


def _held(codec: RowCodec) -> Iterator[tuple[bytes, Any]]:
    """The hash of each row that is here, with its line where the table is plain, else with the row."""
    if is_plain(codec.dataset):
        yield from ((blake3(line).digest(), line) for lines in Bulk(codec.dataset).lines() for line in lines)
    else:
        yield from ((blake3(codec.digest_line(row)).digest(), row) for row in codec.read())


def is_stored(codec: RowCodec, difference: Difference) -> bool:
    """Whether the rows that were written read back as they were sent, and there are as many as there have to be."""
    dataset, written = codec.dataset, difference.replace + difference.add
    if not is_plain(dataset) or len(written) + len(difference.lines) > WRITE_ROWS:
        return read_digest(codec) == difference.total  # all rows: quicker than to look for so many
    if dataset.model._base_manager.count() != difference.total.rows:
        return False
    rows = written + [codec.parse(line) for line in difference.lines]
    keys = {codec.key_to_database(codec.key(row))[0] for row in rows}
    stored = {line for lines in Bulk(dataset).lines(list(keys)) for line in lines} if keys else set()
    return stored.issuperset(map(codec.digest_line, rows))


def read_digest(codec: RowCodec) -> TableDigest:
    """What the table holds, by the hashes of all of its rows as the database gives them now."""
    if not is_plain(codec.dataset):
        total = sum_of(codec)
    else:
        total = RowSum()
        for lines in Bulk(codec.dataset).lines():
            total.add_all(lines)
    return TableDigest(codec.dataset.label, total.rows, total.digest)


def _changes(codec: RowCodec, left: list[Row], new: list[Row], total: TableDigest) -> Difference:
    """What turns the rows of ours that the snapshot has not into those that only it has."""
    thing = _thing_of(codec.dataset)
    ours = {codec.key(row): thing(row) for row in left}
    replace: list[Row] = []
    add: list[Row] = []
    others: dict[Row, str] = {}  # what had the number of a row that replaces it
    names = {thing(row)[0] for row in new}
    for row in new:
        before = ours.pop(codec.key(row), None)
        if before is None:
            add.append(row)
            continue
        replace.append(row)
        (former, was_born), (name, born) = before, thing(row)
        if former != name and (born is None or was_born != born):
            others[codec.key(row)] = former
    gone = {key: name for key, (name, _) in ours.items()}
    gone |= {key: name for key, name in others.items() if name not in names}
    return Difference(list(ours), replace, add, total=total, gone=gone)


def _thing_of(dataset: Dataset) -> Callable[[Row], tuple[str, object]]:
    """Gives the name that people know a row by, and when it came into being: as far as rows of this table have any."""
    name = dataset.fields.index(dataset.name_field) if dataset.is_named else None
    born = dataset.fields.index(dataset.born) if dataset.born else None
    return lambda row: ("" if name is None else row[name], None if born is None else row[born])
