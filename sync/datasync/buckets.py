"""Which rows of a large settings table differ, without sending the others.

The hash of a row says in which bucket it is; the sum of the hashes in a bucket is the same on two appliances where its
rows are. The backup tells its sums, and the primary sends the rows of those buckets whose sums are others there, after
a line that says which buckets those are. Nothing is believed for that: the whole table has to have the digest of the
manifest afterwards, and where it has not, the next data-sync asks for all rows.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from appliances.choices import SyncStatus
from sync.datasync.bulk import Bulk, is_plain
from sync.datasync.registry import by_label
from sync.errors import PeerMisbehaved
from sync.models import SyncRun
from sync.rules.snapshot import Refusal

LEAST_ROWS = 1000  # a smaller table moves whole
ROWS_A_BUCKET = 2
MOST_BUCKETS = 1 << 14  # so that the sums of all tables fit into one message
SUM_BYTES = 6
_LIMIT = 1 << (8 * SUM_BYTES)


class Buckets:
    """The sums of the hashes of rows, by bucket."""

    def __init__(self, count: int) -> None:
        self._sums = [0] * count

    @classmethod
    def for_rows(cls, rows: int) -> Buckets:
        """So many that the rows of few change few of them."""
        return cls(min(MOST_BUCKETS, 1 << (rows // ROWS_A_BUCKET).bit_length()))

    def __len__(self) -> int:
        return len(self._sums)

    def place(self, digest: bytes) -> int:
        """In which bucket a row of this hash is."""
        return int.from_bytes(digest[:4], "big") % len(self._sums)

    def add(self, digest: bytes) -> None:
        """Count a row."""
        place = self.place(digest)
        self._sums[place] = (self._sums[place] + int.from_bytes(digest[4 : 4 + SUM_BYTES], "big")) % _LIMIT

    def differing(self, other: Buckets) -> set[int]:
        """The buckets that hold other rows there."""
        return {
            place for place, (mine, theirs) in enumerate(zip(self._sums, other._sums, strict=True)) if mine != theirs
        }

    def told(self) -> str:
        """As it is said to the primary."""
        return _text(b"".join(one.to_bytes(SUM_BYTES, "big") for one in self._sums))

    @classmethod
    def heard(cls, told: str) -> Buckets:
        """What the backup said.

        Raises:
            PeerMisbehaved: it cannot have meant that.
        """
        sums = _bytes(told)
        count = len(sums) // SUM_BYTES
        if not 0 < count <= MOST_BUCKETS or len(sums) != count * SUM_BYTES:
            raise PeerMisbehaved("what the backup holds of a settings table is not well-formed")
        found = cls(count)
        found._sums = [int.from_bytes(sums[at : at + SUM_BYTES], "big") for at in range(0, len(sums), SUM_BYTES)]
        return found


@dataclass
class StagedTable:
    """The rows that came of a settings table: all of them, or those of the buckets `resent`."""

    path: Path
    held: Buckets | None = None
    resent: set[int] | None = None

    def lines(self) -> Iterator[bytes]:
        """The rows."""
        with self.path.open("rb") as file:
            for line in file:
                yield line.rstrip(b"\n")

    def stays(self, digest: bytes) -> bool:
        """Whether a row that is here, of this hash, is none of those that were to be sent again."""
        return self.held is not None and self.resent is not None and self.held.place(digest) not in self.resent

    def begin(self, line: bytes) -> None:
        """Take the line before the rows, which says what was sent.

        Raises:
            PeerMisbehaved: it does not.
        """
        try:
            said = json.loads(line)["buckets"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise PeerMisbehaved("a settings table of the data-sync does not say which rows follow") from error
        count = len(self.held or ())
        flags = int.from_bytes(_bytes(said), "little")
        if flags >= 1 << count:
            raise PeerMisbehaved("a settings table of the data-sync does not say which rows follow")
        self.resent = {place for place in range(count) if flags >> place & 1}


def held_of(labels: Iterable[str]) -> dict[str, Buckets]:
    """What is held here of these settings tables, as far as it is worth while to compare them bucket by bucket."""
    last = SyncRun.objects.exclude(status=SyncStatus.RUNNING).first()
    if last is not None and last.code == Refusal.DIGEST_MISMATCH.value:
        return {}
    found = {}
    for dataset in map(by_label().__getitem__, labels):
        rows = dataset.model._base_manager.count() if is_plain(dataset) else 0
        if rows >= LEAST_ROWS:
            found[dataset.label] = Buckets.for_rows(rows)
            for lines in Bulk(dataset).lines():
                for line in lines:
                    found[dataset.label].add(blake3(line).digest())
    return found


def differing_lines(label: str, told: str, lines: Callable[[], Iterable[bytes]]) -> Iterator[bytes]:
    """What the primary sends of a settings table, whose lines are given each time they are asked for.

    Raises:
        PeerMisbehaved: at the call.
    """
    theirs = Buckets.heard(told)
    if not is_plain(by_label()[label]):
        raise PeerMisbehaved(f"{label} can only be sent whole")
    return _differing_lines(theirs, lines)


def _differing_lines(theirs: Buckets, lines: Callable[[], Iterable[bytes]]) -> Iterator[bytes]:
    ours, places = Buckets(len(theirs)), []
    for line in lines():
        digest = blake3(line).digest()
        ours.add(digest)
        places.append(ours.place(digest))
    sent = ours.differing(theirs)
    flags = sum(1 << place for place in sent)
    yield json.dumps({"buckets": _text(flags.to_bytes((len(ours) + 7) // 8, "little"))}).encode()
    yield from (line for line, place in zip(lines(), places, strict=True) if place in sent)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _bytes(text: object) -> bytes:
    try:
        return base64.b64decode(str(text).encode("ascii"), validate=True)
    except ValueError as error:
        raise PeerMisbehaved("the sums of a settings table are not well-formed") from error
