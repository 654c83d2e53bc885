"""The rows of a version of the settings as things that people know: an account with its groups, a file by its name.

Two appliances number new rows apart, so a thing is known by its name and says what it refers to by name. Values are
plain; which of them may be shown is for `sync.versions.shown`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from django.db import models

from sync.datasync.registry import SETTINGS, Dataset, by_label
from sync.datasync.rows import Row

Tables = Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class Relation:
    """A many-to-many table, as a field of the things that it belongs to. `target` is empty where it names permissions.

    `name` is the field's, `verbose` what people call it.
    """

    dataset: Dataset
    name: str
    verbose: str
    target: str


@dataclass(frozen=True)
class Kind:
    """One kind of things: a settings table, and the many-to-many tables that belong to it."""

    dataset: Dataset
    relations: tuple[Relation, ...]

    @cached_property
    def key_place(self) -> int:
        """Where in a row its number stands."""
        return self.dataset.fields.index(self.dataset.key[0])

    @cached_property
    def name_place(self) -> int:
        """Where in a row its name stands: the field that is unique beside the number, else the number."""
        unique = (field.name for field in self.dataset.model_fields if field.unique and not field.primary_key)
        return self.dataset.fields.index(next(unique, self.dataset.key[0]))

    @cached_property
    def born_place(self) -> int | None:
        """Where in a row the moment stands at which the thing came into being."""
        return self.dataset.fields.index(self.dataset.born) if self.dataset.born else None

    @property
    def is_single(self) -> bool:
        """Whether there is one thing of this kind alone."""
        return self.name_place == self.key_place

    @cached_property
    def defaults(self) -> Row:
        """The row of a single thing that nobody has changed yet: it need not be in the table."""
        return tuple(field.get_default() for field in self.dataset.model_fields)


@dataclass(frozen=True)
class Thing:
    """One thing of a version: its row, and what it refers to, by name."""

    kind: Kind
    row: Row
    relations: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def number(self) -> Any:
        """The key of its row."""
        return self.row[self.kind.key_place]

    @property
    def name(self) -> str:
        """What people call it."""
        return str(self.row[self.kind.name_place])

    @property
    def born(self) -> Any:
        """The moment at which it came into being, None where that is not kept."""
        return None if self.kind.born_place is None else self.row[self.kind.born_place]


@dataclass(frozen=True)
class Version:
    """One version of all settings: its rows, and the same as things by kind."""

    tables: Tables

    @cached_property
    def things(self) -> dict[str, list[Thing]]:
        """The things, by the label of their table."""
        names = {
            kind.dataset.label: {row[kind.key_place]: str(row[kind.name_place]) for row in self._rows(kind)}
            for kind in kinds()
        }
        return {kind.dataset.label: [*self._of(kind, names)] for kind in kinds()}

    def rows_with(self, relation: Relation, place: int, number: Any) -> list[Row]:
        """The rows of a many-to-many table with this number at that place: 0 is what it belongs to, 1 its target."""
        return self._indexes[relation.dataset.label][place].get(number, [])

    @cached_property
    def _indexes(self) -> dict[str, tuple[dict[Any, list[Row]], dict[Any, list[Row]]]]:
        found: dict[str, tuple[dict[Any, list[Row]], dict[Any, list[Row]]]] = {}
        for relation in (relation for kind in kinds() for relation in kind.relations):
            owners, targets = found[relation.dataset.label] = ({}, {})
            for row in self.tables[relation.dataset.label]:
                owners.setdefault(row[0], []).append(row)
                targets.setdefault(row[1], []).append(row)
        return found

    def _rows(self, kind: Kind) -> Sequence[Row]:
        rows = self.tables[kind.dataset.label]
        return [kind.defaults] if kind.is_single and not rows else rows

    def _of(self, kind: Kind, names: Mapping[str, Mapping[Any, str]]) -> list[Thing]:
        related: dict[str, dict[Any, set[str]]] = {}
        for relation in kind.relations:
            found = related[relation.name] = {}
            for owner, target in self.tables[relation.dataset.label]:
                name = names[relation.target].get(target, str(target)) if relation.target else target
                found.setdefault(owner, set()).add(name)
        return [
            Thing(
                kind,
                row,
                {name: frozenset(found.get(row[kind.key_place], ())) for name, found in related.items()},
            )
            for row in self._rows(kind)
        ]


@cache
def kinds() -> tuple[Kind, ...]:
    """All kinds of things, in the order in which their rows may refer to each other."""
    own = [dataset for dataset in SETTINGS if not dataset.model._meta.auto_created]
    return tuple(Kind(dataset, _relations(dataset)) for dataset in own)


def kind_of(label: str) -> Kind:
    """The kind of this table."""
    return next(kind for kind in kinds() if kind.dataset.label == label)


def _relations(dataset: Dataset) -> tuple[Relation, ...]:
    found = []
    for many in dataset.model._meta.local_many_to_many:
        through = by_label()[many.remote_field.through._meta.label]  # type: ignore[union-attr]
        target = _label_of(many.related_model)
        found.append(Relation(through, many.name, str(many.verbose_name), target if target in by_label() else ""))
    return tuple(found)


def _label_of(model: Any) -> str:
    return model._meta.label if isinstance(model, type) and issubclass(model, models.Model) else str(model)
