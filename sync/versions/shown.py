"""Differences as people read them: names of fields, values in words, the part of a text that differs marked.

Of passwords and other secrets only that they differ is ever said; of files their size and the beginning of their hash.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Permission
from django.db import models
from django.utils import timezone
from django.utils.text import capfirst

from sync.versions.compare import Difference
from sync.versions.objects import Kind, Thing

LONGEST = 400  # characters of one value that a page shows
AROUND = 60  # characters shown on either side of what differs in a longer text
UNSHOWN = "differs; never shown"
EMPTY = "empty"


@dataclass(frozen=True)
class Part:
    """A piece of a value; `is_marked`: it is not the same on the other side."""

    text: str
    is_marked: bool = False


@dataclass(frozen=True)
class Line:
    """One field of a thing on both sides; `is_list`: the parts are names, each of its own. None: not on that side."""

    label: str
    mine: tuple[Part, ...] | None
    theirs: tuple[Part, ...] | None
    is_list: bool = False
    is_secret: bool = False


@dataclass(frozen=True)
class ShownDifference:
    """One thing that differs, for a page.

    `was_on_both`: of one that is on one side alone, whether it was there before the two went apart, so that it was
    removed from the other; None where that is not known.
    """

    difference: Difference
    kind: str
    name: str
    lines: tuple[Line, ...]
    was_on_both: bool | None = None

    @property
    def key(self) -> str:
        """What the form calls it."""
        return self.difference.key

    @property
    def is_only_mine(self) -> bool:
        """Whether the other side lacks it."""
        return self.difference.theirs is None

    @property
    def is_only_theirs(self) -> bool:
        """Whether this side lacks it."""
        return self.difference.mine is None

    @property
    def is_on_both(self) -> bool:
        """Whether both sides have it, with other contents."""
        return not self.is_only_mine and not self.is_only_theirs


def shown(found: Iterable[Difference], apart_since: dt.datetime | None = None) -> list[ShownDifference]:
    """The differences as a page shows them, in the order given; both sides were equal at `apart_since`, if known."""
    names = dict(_permission_names())
    return [_shown(difference, names, apart_since) for difference in found]


def name_of(difference: Difference) -> str:
    """A thing in a sentence: "Account anna"."""
    kind = capfirst(str(difference.kind.dataset.model._meta.verbose_name))
    return kind if difference.kind.is_single else f"{kind} {difference.thing.name}"


def _shown(difference: Difference, names: dict[str, str], apart_since: dt.datetime | None) -> ShownDifference:
    kind = difference.kind
    title = capfirst(str(kind.dataset.model._meta.verbose_name))
    mine, theirs = difference.mine, difference.theirs
    if mine is not None and theirs is not None:
        lines = [line for item in difference.fields if (line := _line(kind, item.name, mine, theirs, names))]
    else:
        lines = [
            line
            for name in _telling(kind, difference.thing)
            if (line := _line(kind, name, mine, theirs, names)) is not None
        ]
    born = difference.thing.born
    was_on_both = None if born is None or apart_since is None else born <= apart_since
    name = "" if kind.is_single else difference.thing.name
    return ShownDifference(difference, title, name, tuple(lines), was_on_both)


def _telling(kind: Kind, thing: Thing) -> list[str]:
    """The fields that say something about a thing that is on one side alone: neither empty nor a default."""
    skipped = {kind.dataset.key[0], kind.dataset.fields[kind.name_place], *kind.dataset.hidden}
    found = []
    for field, value in zip(kind.dataset.model_fields, thing.row, strict=True):
        is_default = field.has_default() and not callable(field.default) and value == field.default
        if field.name not in skipped and value not in ("", None, False, b"") and not is_default:
            found.append(field.name)
    return found + [relation.name for relation in kind.relations if thing.relations[relation.name]]


def _line(kind: Kind, name: str, mine: Thing | None, theirs: Thing | None, names: dict[str, str]) -> Line | None:
    dataset = kind.dataset
    relation = next((relation for relation in kind.relations if relation.name == name), None)
    if relation is not None:
        sides = [None if thing is None else thing.relations[name] for thing in (mine, theirs)]
        return Line(
            capfirst(relation.verbose), _names(sides[0], sides[1], names), _names(sides[1], sides[0], names), True
        )
    if name == dataset.size_field:
        return None  # stands beside the hash
    label = _label(kind, name)
    if name in dataset.hidden or name in dict(dataset.secret_labels):
        said = tuple(None if thing is None else (Part(UNSHOWN),) for thing in (mine, theirs))
        return Line(label, said[0], said[1], is_secret=True)
    one, other = (None if thing is None else _value(kind, name, thing) for thing in (mine, theirs))
    if one is None or other is None:
        return Line(label, _whole(one), _whole(other))
    return Line(label, *_marked(one, other))


def _label(kind: Kind, name: str) -> str:
    if name == kind.dataset.blob_field:
        return "Content"
    verbose = str(kind.dataset.model._meta.get_field(name).verbose_name)  # type: ignore[union-attr]
    return capfirst(verbose.removeprefix("sealed "))


def _value(kind: Kind, name: str, thing: Thing) -> str:
    dataset = kind.dataset
    value = thing.row[dataset.fields.index(name)]
    if name == dataset.blob_field:
        return f"{_size(thing.row[dataset.fields.index(dataset.size_field)])}, hash {value[:12]}…"
    field = dataset.model._meta.get_field(name)
    return _text(field, value)


def _text(field: Any, value: Any) -> str:
    choices = dict(getattr(field, "flatchoices", None) or ())
    if value in choices:
        return str(choices[value])
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dt.datetime):
        return f"{timezone.localtime(value):%Y-%m-%d %H:%M:%S %Z}"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(field, models.UUIDField):
        return str(value)
    return EMPTY if value in ("", None) else str(value)


def _size(count: int) -> str:
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def _names(own: frozenset[str] | None, other: frozenset[str] | None, names: dict[str, str]) -> tuple[Part, ...] | None:
    if own is None:
        return None
    return tuple(
        Part(names.get(name, name), other is not None and name not in other) for name in sorted(own, key=str.casefold)
    )


def _whole(text: str | None) -> tuple[Part, ...] | None:
    if text is None:
        return None
    return (Part(text if len(text) <= LONGEST else f"{text[:LONGEST]}…"),)


def _marked(one: str, other: str) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Both texts, the parts marked that differ; of long ones only the surroundings of those."""
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    end = 0
    while end < min(len(one), len(other)) - start and one[-1 - end] == other[-1 - end]:
        end += 1
    if start + end < min(len(one), len(other)) // 3:  # hardly anything in common: two values, not an edited one
        start = end = 0
    return _cut(one, start, end), _cut(other, start, end)


def _cut(text: str, start: int, end: int) -> tuple[Part, ...]:
    before, middle, after = text[:start], text[start : len(text) - end], text[len(text) - end :]
    if len(text) > LONGEST:
        before = before if len(before) <= AROUND else f"…{before[-AROUND:]}"
        after = after if len(after) <= AROUND else f"{after[:AROUND]}…"
        middle = middle if len(middle) <= LONGEST else f"{middle[:LONGEST]}…"
    marked = Part(middle, is_marked=bool(start or end))
    return tuple(part for part in (Part(before), marked, Part(after)) if part.text)


def _permission_names() -> Iterable[tuple[str, str]]:
    values = Permission.objects.values_list("content_type__app_label", "content_type__model", "codename", "name")
    return ((".".join(names), said) for *names, said in values)
