"""What has to be written so that one version of the settings (`theirs`) takes over chosen things of another. Pure.

Things keep the number that they have in `theirs`; a new one gets its own, or a free one if that is taken there. What
a chosen thing refers to comes with it, where `theirs` lacks it; a removed thing takes its memberships along.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from sync.datasync.rows import Row
from sync.versions.compare import Difference, matches
from sync.versions.objects import Kind, Thing, Version, kinds


@dataclass
class Changes:
    """Rows to put (new, or in the place of those with their key) and rows to remove, by the label of their table."""

    put: dict[str, list[Row]] = field(default_factory=dict)
    remove: dict[str, list[Row]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(self.put.values()) or any(self.remove.values())


def with_needed(found: Iterable[Difference], chosen: Collection[str]) -> list[Difference]:
    """The chosen differences, and those of things that a chosen one refers to and `theirs` lacks."""
    listed = list(found)
    taken = {difference.key: difference for difference in listed if difference.key in chosen}
    only_mine = {(d.kind.dataset.label, d.mine.name): d for d in listed if d.mine is not None and d.theirs is None}
    waiting = list(taken.values())
    while waiting:
        difference = waiting.pop()
        for needed in _referred(difference):
            extra = only_mine.get(needed)
            if extra is not None and extra.key not in taken:
                taken[extra.key] = extra
                waiting.append(extra)
    return [difference for difference in listed if difference.key in taken]


def _referred(difference: Difference) -> list[tuple[str, str]]:
    thing = difference.mine
    if thing is None:
        return []
    return [
        (relation.target, name)
        for relation in difference.kind.relations
        if relation.target
        for name in thing.relations[relation.name]
    ]


def plan(mine: Version, theirs: Version, taken: Iterable[Difference]) -> Changes:
    """The rows to write; `taken` is what `with_needed` gave."""
    changes, taken = Changes(), list(taken)
    numbers = {kind.dataset.label: _Numbers(kind, mine, theirs) for kind in kinds()}
    for difference in taken:
        numbers[difference.kind.dataset.label].settle(difference)
    for difference in taken:
        label = difference.kind.dataset.label
        if difference.mine is None:
            if difference.theirs is not None:
                _remove(theirs, difference.theirs, changes)
            continue
        number = numbers[label].of[difference.mine.name]
        row = _renumbered(difference, number)
        if difference.theirs is None or row != difference.theirs.row:
            changes.put.setdefault(label, []).append(row)
        for relation in difference.kind.relations:
            targets = numbers[relation.target].of if relation.target else None
            names = difference.mine.relations[relation.name]
            wanted = {(number, targets[name] if targets else name) for name in names if not targets or name in targets}
            present = set(theirs.rows_with(relation, 0, number)) if difference.theirs is not None else set()
            changes.put.setdefault(relation.dataset.label, []).extend(sorted(wanted - present, key=str))
            changes.remove.setdefault(relation.dataset.label, []).extend(sorted(present - wanted, key=str))
    _without_removed(changes)
    return changes


class _Numbers:
    """The number in `theirs` of each thing that is there afterwards, by its name in `mine`."""

    def __init__(self, kind: Kind, mine: Version, theirs: Version) -> None:
        label = kind.dataset.label
        self._used = {thing.number for thing in theirs.things[label]}
        self._beyond = {thing.number for thing in mine.things[label]}
        self.of: dict[str, Any] = {thing.name: thing.number for thing in theirs.things[label]}
        self.of |= {name: other.number for name, other in matches(mine, theirs, label).items()}

    def settle(self, difference: Difference) -> None:
        """This difference is taken over."""
        if difference.mine is None:
            self.of.pop(difference.thing.name, None)
        elif difference.theirs is None:
            self.of[difference.mine.name] = self._free(difference.mine.number)

    def _free(self, number: Any) -> Any:
        if number in self._used:
            number = uuid.uuid4() if isinstance(number, uuid.UUID) else max(self._used | self._beyond) + 1
        self._used.add(number)
        return number


def _renumbered(difference: Difference, number: Any) -> Row:
    thing, kind = difference.mine, difference.kind
    if thing is None:
        raise ValueError("only a thing can be numbered")
    row = list(thing.row)
    row[kind.key_place] = number
    if kind.born_place is not None and difference.theirs is not None:
        row[kind.born_place] = difference.theirs.row[kind.born_place]
    return tuple(row)


def _remove(theirs: Version, thing: Thing, changes: Changes) -> None:
    label = thing.kind.dataset.label
    changes.remove.setdefault(label, []).append(thing.row)
    for kind in kinds():
        for relation in kind.relations:
            place = 0 if kind.dataset.label == label else 1 if relation.target == label else None
            if place is not None:
                rows = theirs.rows_with(relation, place, thing.number)
                changes.remove.setdefault(relation.dataset.label, []).extend(rows)


def _without_removed(changes: Changes) -> None:
    """A row that is removed for two reasons is removed once, and no table stands there without rows."""
    changes.put = {label: rows for label, rows in changes.put.items() if rows}
    changes.remove = {label: list(dict.fromkeys(rows)) for label, rows in changes.remove.items() if rows}
