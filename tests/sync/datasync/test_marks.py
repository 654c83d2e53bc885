"""Append-only rows are numbered in order, once, and only when they are final."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from appliances.models import Appliance, SessionEvent, SupportSession
from appliances.selectors import this_appliance
from sync.datasync import marks, snapshots
from sync.datasync.registry import by_label
from sync.datasync.rows import RowCodec, sum_of
from sync.datasync.wrapping import NO_SECRETS
from sync.rules.diff import Mark, Wanted
from tests.sync.datasync import world

pytestmark = pytest.mark.django_db
EVENTS = "appliances.SessionEvent"


def test_sealing_numbers_rows_without_gaps_and_goes_on_where_it_ended() -> None:
    world.events(1234)
    assert marks.seal_all() == 1234
    world.events(10)
    assert marks.seal_all() == 10
    assert set(SessionEvent.objects.values_list("seq", flat=True)) == set(range(1, 1245))
    assert set(SessionEvent.objects.values_list("origin", "incarnation")) == {(this_appliance().guid, 1)}
    assert marks.seal_all() == 0


def test_a_session_is_sealed_once_it_has_ended() -> None:
    world.support_session("open", False)
    assert marks.seal_all() == 0
    SupportSession.objects.update(ended_at=world.MOMENT)
    assert marks.seal_all() == 1


def test_the_mark_holds_count_and_digest_of_what_is_stored() -> None:
    world.events(7)
    marks.seal_all()
    world.event("later, unsealed")
    [mark] = marks.held()
    SessionEvent.objects.filter(seq=None).delete()
    total = sum_of(RowCodec(by_label()[EVENTS], NO_SECRETS))
    assert (mark.dataset, mark.seq, mark.rows, mark.digest) == (EVENTS, 7, 7, total.digest)


def test_a_row_that_goes_while_it_is_numbered_leaves_no_other_one_uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL numbers those that are left as if it were there."""
    number = marks._number

    def number_two_of_three(*arguments: Any) -> int:
        number(*arguments)
        return SessionEvent.objects.exclude(seq=None).count() - SessionEvent.objects.filter(seq=2).delete()[0]

    monkeypatch.setattr(marks, "_number", number_two_of_three)
    world.events(3)
    marks.seal_all()
    [mark] = marks.held()
    total = sum_of(RowCodec(by_label()[EVENTS], NO_SECRETS))
    assert (mark.seq, mark.rows, mark.digest) == (3, 2, total.digest)


def test_rows_are_read_page_by_page_in_order() -> None:
    world.events(2500)
    marks.seal_all()
    rows = marks.rows_in_order(Wanted(EVENTS, this_appliance().guid, 1, 100, 2400))
    assert [row[3] for row in rows] == list(range(101, 2401))


def test_a_page_of_rows_with_large_texts_is_bounded_by_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "PAGE_BYTES", 100_000)
    for number in range(60):
        world.event(f"{number} " + "é" * 20_000 if number % 2 else f"{number}")
    marks.seal_all()
    pages: list[int] = []
    page = marks._page

    def counted(*arguments: Any) -> list[tuple[int, bytes]]:
        found = page(*arguments)
        pages.append(sum(len(line) for _, line in found))
        return found

    monkeypatch.setattr(marks, "_page", counted)
    wanted = Wanted(EVENTS, this_appliance().guid, 1, 0, 60)
    assert [row[3] for row in marks.rows_in_order(wanted)] == list(range(1, 61))
    assert max(pages) <= 100_000 + marks.FETCHED_ROWS * 41_000
    assert len([size for size in pages if size]) > 1
    [mark] = marks.held()
    assert (mark.rows, mark.digest) == (60, sum_of(RowCodec(by_label()[EVENTS], NO_SECRETS)).digest)


def test_an_appliance_restored_from_an_image_begins_a_new_incarnation() -> None:
    world.events(3)
    marks.seal_all()
    guid = this_appliance().guid
    marks.heed([Mark(EVENTS, guid, 1, 3, 3, "0" * 64)])
    assert Appliance.objects.get().incarnation == 1
    marks.heed([Mark(EVENTS, guid, 1, 9, 9, "0" * 64)])
    assert Appliance.objects.get().incarnation == 2
    world.events(1)
    marks.seal_all()
    assert SessionEvent.objects.get(incarnation=2).seq == 1


def test_rows_of_one_number_are_all_read_where_the_page_ends_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "BATCH_ROWS", 3)
    world.events(12)
    marks.seal_all()
    SessionEvent.objects.filter(seq__gt=2, seq__lte=9).update(seq=3)
    rows = list(marks.rows_in_order(Wanted(EVENTS, this_appliance().guid, 1, 0, 12)))
    assert [row[3] for row in rows] == [1, 2, *[3] * 7, 10, 11, 12]
    assert len({row[0] for row in rows}) == 12


def test_beside_the_data_syncs_whole_batches_are_numbered_and_none_while_the_peer_pulls(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(marks, "BATCH_ROWS", 10)
    world.events(25)
    snapshot_id = snapshots.new_id()
    snapshots.create(snapshot_id, [])
    assert marks.seal_beside(5) == 0
    snapshots.remove(snapshot_id)
    assert marks.seal_beside(0) == 0
    assert marks.seal_beside(5) == 20
    assert marks.seal_beside(5) == 0
    [mark] = marks.held()
    assert (mark.seq, mark.rows) == (20, 20)


def test_numbering_ends_in_time_and_goes_on_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "BATCH_ROWS", 10)
    world.events(15)
    assert marks.seal_all(seconds=0) == 0
    assert marks.seal_all() == 15


@pytest.mark.skipif(connection.vendor != "sqlite", reason="counts the steps of SQLite's virtual machine")
def test_numbering_and_reading_many_rows_takes_no_more_work_for_each_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "BATCH_ROWS", 100)

    def work(rows: int) -> tuple[float, float]:
        world.events(rows)
        first = SessionEvent.objects.exclude(seq=None).count()
        numbering = _steps(marks.seal_all)
        wanted = Wanted(EVENTS, this_appliance().guid, 1, first, first + rows)
        return numbering / rows, _steps(lambda: list(marks.rows_in_order(wanted))) / rows

    few, many = work(500), work(5000)
    assert many[0] < 1.3 * few[0]
    assert many[1] < 1.3 * few[1]


def _steps(act: Callable[[], object]) -> int:
    """How many steps SQLite takes for this, to the nearest 10."""
    count = 0

    def counted() -> int:
        nonlocal count
        count += 10
        return 0

    connection.connection.set_progress_handler(counted, 10)
    try:
        act()
    finally:
        connection.connection.set_progress_handler(None, 10)
    return count
