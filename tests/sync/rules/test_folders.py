"""Which paths of a folder count, and what is to be done with them."""

from __future__ import annotations

import pytest

from sync.rules.folders import (
    Entry,
    Patterns,
    conflict_name,
    is_spared,
    lines_of,
    mirror,
    needs_agreement,
    parents,
    union,
)


@pytest.mark.parametrize(
    ("include", "exclude", "path", "is_taken"),
    [
        ("", "", "a/b.txt", True),
        ("*.txt", "", "deep/a.txt", True),
        ("*.txt", "", "deep/a.txt.bak", False),
        ("reports/**", "", "reports/2026/a.pdf", True),
        ("reports/**", "", "old/reports/a.pdf", False),
        ("reports/", "", "old/reports/a.pdf", True),
        ("**/a.pdf", "", "a.pdf", True),
        ("", "*.tmp", "a/b.tmp", False),
        ("", "a?c", "abc", False),
        ("", "a?c", "a/c", True),
        ("", "A.txt", "a.txt", True),
        ("", "x[1]", "x1", True),
        ("*.txt", "secret.txt", "secret.txt", False),
        ("*", "", "new\nline", True),
    ],
)
def test_patterns(include: str, exclude: str, path: str, is_taken: bool) -> None:
    assert Patterns(lines_of(include), lines_of(exclude)).takes_file(path) is is_taken


@pytest.mark.parametrize(
    ("exclude", "path", "is_taken"),
    [
        ("cache/", "a/cache", False),
        ("cache", "cache", False),
        ("a/cache/", "b/a/cache", True),
        ("*.tmp", "cache", True),
    ],
)
def test_directories_that_are_excluded_are_not_looked_into(exclude: str, path: str, is_taken: bool) -> None:
    assert Patterns(exclude=(exclude,)).takes_directory(path) is is_taken


def test_lines_that_begin_with_a_hash_say_nothing() -> None:
    assert lines_of(" *.tmp \n\n# a note\ncache/") == ("*.tmp", "cache/")


def entry(name: str, digest: str, mtime: int = 1) -> Entry:
    return Entry(name, 1, mtime, 0o644, digest * 32)


def names(entries: list[Entry]) -> list[str]:
    return [found.name for found in entries]


def test_a_mirror_makes_this_side_like_the_other() -> None:
    theirs = {
        found.name: found for found in (entry("same", "a"), entry("new", "b"), entry("other", "c"), entry("t", "d"))
    }
    mine = {
        found.name: found for found in (entry("same", "a"), entry("gone", "b"), entry("other", "x"), entry("t", "d", 2))
    }
    agreed = {"gone": "b" * 32, "other": "x" * 32}
    work = mirror(theirs, mine, agreed)
    assert (names(work.fetch), names(work.restamp), names(work.delete)) == (["new", "other"], ["t"], ["gone"])
    assert work.only == []


def test_a_mirror_tells_what_it_would_lose_for_good() -> None:
    theirs = {"newer": entry("newer", "n"), "older": entry("older", "o"), "t": entry("t", "d")}
    mine = {found.name: found for found in (entry("newer", "o"), entry("older", "n"), entry("t", "d", 2))}
    mine["made here"] = entry("made here", "m")
    agreed = {"newer": "o" * 32, "older": "o" * 32}
    work = mirror(theirs, mine, agreed)
    assert names(work.only) == ["made here", "older"]
    assert names(mirror(theirs, mine, {}).only) == ["made here", "newer", "older"]


@pytest.mark.parametrize(
    ("theirs", "mine", "agreed", "fetched", "twice"),
    [
        ("n", "o", "o", True, False),  # changed there only
        ("o", "n", "o", False, False),  # changed here only
        ("n", "m", "o", False, True),  # changed on both
        ("n", "m", None, False, True),  # nothing is known of before
        ("n", "n", None, False, False),
    ],
)
def test_a_union_loses_no_version(theirs: str, mine: str, agreed: str | None, fetched: bool, twice: bool) -> None:
    known = {"f": agreed * 32} if agreed else {}
    work = union({"f": entry("f", theirs)}, {"f": entry("f", mine), "own": entry("own", "z")}, known)
    assert (bool(work.fetch), bool(work.both), work.delete) == (fetched, twice, [])


def test_what_the_primary_could_not_look_at_is_spared_with_all_below() -> None:
    assert parents("a/b/c") == ["a/b/c", "a/b", "a"]
    assert is_spared("a/b/c", {"a": "cannot be read"})
    assert not is_spared("ab/c", {"a": "cannot be read"})


def test_when_somebody_is_asked_first() -> None:
    assert not needs_agreement(0, 0)
    assert not needs_agreement(18, 19)
    assert needs_agreement(3, 3), "not everything, however little it is"
    assert needs_agreement(400, 1000)
    assert not needs_agreement(100, 1000)


@pytest.mark.parametrize(
    "name", ["a.txt", "no ending", ".hidden", "x" * 255, "é" * 127 + ".pdf", "a." + "e" * 250, "\udcff.bin"]
)
def test_the_name_of_a_kept_version_fits_and_says_what_it_is(name: str) -> None:
    kept = conflict_name(name, "0123456789abcdef")
    assert ".conflict-01234567" in kept
    assert len(kept.encode("utf-8", "surrogateescape")) <= 255
