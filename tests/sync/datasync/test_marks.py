"""Append-only rows are numbered in order, once, and only when they are final."""

from __future__ import annotations

import pytest

from appliances.models import Appliance, SessionEvent, SupportSession
from appliances.selectors import this_appliance
from sync.datasync import marks
from sync.datasync.registry import by_label
from sync.datasync.rows import RowCodec, sum_of
from sync.rules.diff import Mark
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
    total = sum_of(RowCodec(by_label()[EVENTS], marks.NO_SECRETS))
    assert (mark.dataset, mark.seq, mark.rows, mark.digest) == (EVENTS, 7, 7, total.digest)


def test_rows_are_read_page_by_page_in_order() -> None:
    from sync.rules.diff import Wanted

    world.events(2500)
    marks.seal_all()
    rows = marks.rows_in_order(Wanted(EVENTS, this_appliance().guid, 1, 100, 2400))
    assert [row[3] for row in rows] == list(range(101, 2401))


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
