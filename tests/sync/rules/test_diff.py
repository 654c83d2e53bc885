"""What moves between two appliances, and in which direction."""

from __future__ import annotations

from sync.rules.diff import Mark, TableDigest, Wanted, next_incarnation, plan

A, B = "a" * 32, "b" * 32


def mark(seq: int, digest: str = "1", *, origin: str = A, incarnation: int = 1) -> Mark:
    return Mark("events", origin, incarnation, seq, seq, digest)


def test_equal_sides_move_nothing() -> None:
    tables = [TableDigest("accounts", 2, "x")]
    found = plan(tables, tables, [mark(5)], [mark(5)])
    assert (found.tables, found.fetch, found.send) == ([], [], [])


def test_tables_that_differ_move_whole() -> None:
    mine = [TableDigest("groups", 1, "x"), TableDigest("accounts", 2, "x")]
    theirs = [TableDigest("groups", 1, "x"), TableDigest("accounts", 2, "y")]
    assert plan(mine, theirs, [], []).tables == ["accounts"]


def test_rows_above_the_lower_mark_move_to_the_side_that_lacks_them() -> None:
    found = plan([], [], [mark(5), mark(9, origin=B)], [mark(7), mark(2, origin=B)])
    assert found.fetch == [Wanted("events", A, 1, 5, 7)]
    assert found.send == [Wanted("events", B, 1, 2, 9)]


def test_rows_of_an_unknown_origin_move_whole() -> None:
    assert plan([], [], [], [mark(7)]).fetch == [Wanted("events", A, 1, 0, 7)]
    assert plan([], [], [mark(7)], []).send == [Wanted("events", A, 1, 0, 7)]


def test_equal_marks_over_different_rows_move_whole_in_both_directions() -> None:
    found = plan([], [], [mark(5, "1")], [mark(5, "2")])
    assert found.fetch == found.send == [Wanted("events", A, 1, 0, 5)]


def test_a_new_incarnation_begins_only_when_the_peer_has_seen_more_of_this_one() -> None:
    assert next_incarnation(A, 1, [mark(5)], [mark(5)]) == 1
    assert next_incarnation(A, 1, [mark(5)], [mark(4)]) == 1
    assert next_incarnation(A, 1, [mark(5)], [mark(6)]) == 2
    assert next_incarnation(A, 1, [mark(5)], [mark(6, origin=B)]) == 1
    assert next_incarnation(A, 2, [mark(5)], [mark(6)]) == 2
    assert next_incarnation(A, 1, [], [mark(6), mark(3, incarnation=4)]) == 5
