"""What two appliances hold, compared: which tables and rows move, and in which direction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, replace

from blake3 import blake3

from sync.rules.facts import Head


@dataclass(frozen=True)
class TableDigest:
    """What a settings table holds: the number of rows and the sum of their hashes (64 hex digits)."""

    dataset: str
    rows: int
    digest: str


@dataclass(frozen=True)
class Mark:
    """How far one side holds the append-only rows of one origin and incarnation in one dataset."""

    dataset: str
    origin: str
    incarnation: int
    seq: int
    rows: int
    digest: str

    @property
    def key(self) -> tuple[str, str, int]:
        """Which rows the mark is about."""
        return self.dataset, self.origin, self.incarnation


@dataclass(frozen=True)
class DayDigest:
    """What a mark counts of one day (days since 1970, UTC)."""

    day: int
    rows: int
    digest: str


@dataclass(frozen=True)
class Wanted:
    """Append-only rows that one side lacks: those numbered above `after` up to `upto`, of these days (None: any)."""

    dataset: str
    origin: str
    incarnation: int
    after: int
    upto: int
    first_day: int | None = None
    last_day: int | None = None

    @property
    def key(self) -> tuple[str, str, int]:
        """Which rows are wanted."""
        return self.dataset, self.origin, self.incarnation


@dataclass(frozen=True)
class Plan:
    """What one data-sync moves."""

    tables: list[str] = field(default_factory=list)
    fetch: list[Wanted] = field(default_factory=list)
    send: list[Wanted] = field(default_factory=list)


def plan(
    mine: Sequence[TableDigest], theirs: Sequence[TableDigest], my_marks: Sequence[Mark], their_marks: Sequence[Mark]
) -> Plan:
    """What must move so that the backup (`mine`) equals the primary (`theirs`) in settings and both hold all rows.

    Marks that reach equally far over different rows make those rows move whole, in both directions, unless `of_days`
    makes it those of some days: a row that is there already is recognised by its id.
    """
    tables = [table.dataset for table in theirs if table not in mine]
    own, other = ({mark.key: mark for mark in marks} for marks in (my_marks, their_marks))
    fetch, send = [], []
    for key in sorted(own.keys() | other.keys()):
        here, there = own.get(key), other.get(key)
        if here == there:
            continue
        have, has = here.seq if here else 0, there.seq if there else 0
        if have == has:
            fetch.append(Wanted(*key, 0, has))
            send.append(Wanted(*key, 0, have))
        elif has > have:
            fetch.append(Wanted(*key, have, has))
        else:
            send.append(Wanted(*key, has, have))
    return Plan(tables, fetch, send)


def below(my_marks: Sequence[Mark], their_marks: Sequence[Mark]) -> Plan:
    """What moves once both reach equally far, where that is not of the same rows: a difference below the marks.

    Such a difference does not show while one side has rows to add above it.
    """
    theirs = {mark.key: mark for mark in their_marks}
    equal = [mark for mark in my_marks if mark.key in theirs and mark.seq == theirs[mark.key].seq]
    return plan([], [], equal, [theirs[mark.key] for mark in equal])


def contradicting(planned: Plan) -> list[Wanted]:
    """The rows that move in both directions: what is held of them is as much on both sides, and not the same."""
    return [wanted for wanted in planned.fetch if wanted in planned.send]


def of_days(planned: Plan, doubted: Wanted, ours: Sequence[DayDigest], theirs: Sequence[DayDigest]) -> Plan:
    """The plan, where of the `doubted` rows only those of the days move that differ, and of the days between them."""
    differing = {day.day for day in {*ours} ^ {*theirs}}
    if not differing:
        return planned
    narrow = replace(doubted, first_day=min(differing), last_day=max(differing))

    def narrowed(moving: Sequence[Wanted]) -> list[Wanted]:
        return [narrow if wanted == doubted else wanted for wanted in moving]

    return Plan(planned.tables, narrowed(planned.fetch), narrowed(planned.send))


def root(head: Head, settings: Sequence[TableDigest], marks: Sequence[Mark]) -> str:
    """One hash (64 hex digits) over all that is held: equal on two appliances exactly where all of it is."""
    held = [astuple(head), [astuple(table) for table in settings], sorted(astuple(mark) for mark in marks)]
    return blake3(json.dumps(held, separators=(",", ":")).encode()).hexdigest()


def differing(my_marks: Sequence[Mark], their_marks: Sequence[Mark]) -> list[tuple[str, str, int]]:
    """The keys of the marks that are not the same on both sides."""
    own, other = ({mark.key: mark for mark in marks} for marks in (my_marks, their_marks))
    return [key for key in sorted(own.keys() | other.keys()) if own.get(key) != other.get(key)]


def next_incarnation(guid: str, incarnation: int, my_marks: Sequence[Mark], their_marks: Sequence[Mark]) -> int:
    """The incarnation to number new rows in: another one if the peer has seen more of this one than is here.

    That happens when an appliance was restored from an image: its next numbers are taken already.
    """
    own = {mark.key: mark.seq for mark in my_marks}
    seen = [mark for mark in their_marks if mark.origin == guid]
    behind = any(mark.incarnation >= incarnation and mark.seq > own.get(mark.key, 0) for mark in seen)
    return max(mark.incarnation for mark in seen) + 1 if behind else incarnation
