"""Two versions of the settings, compared: which things are in one alone, and which fields of the others differ. Pure.

Things are matched by name; what is left by number, if they came into being in the same moment: it was renamed then.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sync.versions.objects import Kind, Thing, Version, kinds

SEPARATOR = "|"


@dataclass(frozen=True)
class FieldDifference:
    """One field or relation that is not the same in both versions; None where the version lacks the thing."""

    name: str
    mine: Any
    theirs: Any
    is_relation: bool


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same in both versions."""

    kind: Kind
    mine: Thing | None
    theirs: Thing | None
    fields: tuple[FieldDifference, ...] = ()

    @property
    def key(self) -> str:
        """What a form calls it; the same as long as neither version changes."""
        numbers = [_written(thing.number) if thing else "" for thing in (self.mine, self.theirs)]
        return SEPARATOR.join([self.kind.dataset.label, *numbers])

    @property
    def thing(self) -> Thing:
        """The thing, as it is in one of the versions."""
        found = self.mine or self.theirs
        if found is None:
            raise ValueError("a difference is about a thing")
        return found


def differences(mine: Version, theirs: Version) -> list[Difference]:
    """All things that differ, in the order of their kinds and names."""
    found: list[Difference] = []
    for kind in kinds():
        label = kind.dataset.label
        pairs = _pairs(mine.things[label], theirs.things[label])
        differing = (difference for one, other in pairs if (difference := _compared(kind, one, other)) is not None)
        found += sorted(differing, key=lambda difference: difference.thing.name.casefold())
    return found


def matches(mine: Version, theirs: Version, label: str) -> dict[str, Thing]:
    """For each name of a thing of `mine`, the thing of `theirs` that it is, where there is one."""
    pairs = _pairs(mine.things[label], theirs.things[label])
    return {one.name: other for one, other in pairs if one is not None and other is not None}


def _pairs(mine: list[Thing], theirs: list[Thing]) -> Iterator[tuple[Thing | None, Thing | None]]:
    left = {thing.name: thing for thing in theirs}
    unmatched = []
    for thing in mine:
        other = left.pop(thing.name, None)
        if other is None:
            unmatched.append(thing)
        else:
            yield thing, other
    by_number = {thing.number: thing for thing in left.values()}
    for thing in unmatched:
        other = by_number.get(thing.number)
        if other is not None and thing.born is not None and thing.born == other.born:
            del left[other.name]
            yield thing, other
        else:
            yield thing, None
    for other in left.values():
        yield None, other


def _compared(kind: Kind, mine: Thing | None, theirs: Thing | None) -> Difference | None:
    if mine is None or theirs is None:
        return Difference(kind, mine, theirs)
    identity = {kind.dataset.key[0], kind.dataset.born}
    fields = [
        FieldDifference(name, one, other, is_relation=False)
        for name, one, other in zip(kind.dataset.fields, mine.row, theirs.row, strict=True)
        if one != other and name not in identity
    ]
    fields += [
        FieldDifference(relation.name, mine.relations[relation.name], theirs.relations[relation.name], is_relation=True)
        for relation in kind.relations
        if mine.relations[relation.name] != theirs.relations[relation.name]
    ]
    return Difference(kind, mine, theirs, tuple(fields)) if fields else None


def _written(number: Any) -> str:
    return number.hex if isinstance(number, uuid.UUID) else str(number)
