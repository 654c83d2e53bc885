"""What marks count day by day: where two appliances differ though both hold as many, only those days move."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest

from appliances.choices import SyncStatus
from appliances.models import SessionEvent, Tombstone
from appliances.selectors import this_appliance
from sync.datasync import marks, tombstones
from sync.datasync.bulk import DAY, Bulk
from sync.datasync.registry import APPEND_ONLY, by_label
from sync.datasync.rows import RowSum
from sync.models import SealedDay, SealedMark
from sync.rules.diff import Wanted
from tests.fakes import FakePeer
from tests.sync.datasync import world
from tests.sync.datasync.test_pull import There, both_hold_the_same, sync

pytestmark = pytest.mark.django_db
EVENTS = "appliances.SessionEvent"
FIRST_DAY = 20_000


def events(days: int, each: int) -> None:
    """So many events on each of so many days, a microsecond before and after each midnight among them."""
    moments = [
        dt.datetime.fromtimestamp((FIRST_DAY + day) * 86400, dt.UTC) + dt.timedelta(microseconds=at)
        for day in range(days)
        for at in (0, *range(1, each - 1), DAY - 1)
    ]
    SessionEvent.objects.bulk_create(
        SessionEvent(session_id=uuid.uuid4(), at=at, kind="chat", text=str(at)) for at in moments
    )


def counted() -> dict[tuple[str, str, int], tuple[int, str]]:
    """What the days count, added up by mark; each day is compared with its rows."""
    found: dict[tuple[str, str, int], RowSum] = {}
    for row in SealedDay.objects.all():
        key = (row.dataset, row.origin, row.incarnation)
        lines = marks.lines_in_order(Wanted(*key, 0, 2**60, row.day, row.day))
        there = RowSum()
        there.add_all(list(lines))
        assert (there.rows, there.digest) == (row.rows, row.digest)
        total = found.setdefault(key, RowSum())
        total.rows += row.rows
        total._sum = (total._sum + int(row.digest, 16)) % RowSum.MODULUS
    return {key: (total.rows, total.digest) for key, total in found.items()}


def marked() -> dict[tuple[str, str, int], tuple[int, str]]:
    return {
        (row.dataset, row.origin, row.incarnation): (row.rows, row.digest)
        for row in SealedMark.objects.filter(seq__gt=0)
    }


def test_the_days_add_up_to_the_mark_also_after_rows_were_deleted() -> None:
    events(5, 4)
    for number in range(3):
        world.whole_session(f"s{number}", 30 * number)
    marks.seal_all()
    assert {dataset.label for dataset in APPEND_ONLY} - {key[0] for key in marked()} == {Tombstone._meta.label}
    assert counted() == marked()
    [day] = {row.day for row in SealedDay.objects.filter(dataset=EVENTS, day=FIRST_DAY + 2)}
    guid = this_appliance().guid
    lines = list(marks.lines_in_order(Wanted(EVENTS, guid, 1, 0, 100, day, day)))
    assert len(lines) == 4
    assert set(Bulk(by_label()[EVENTS]).by_day(lines)) == {day}
    key = SessionEvent.objects.filter(session_id__in=SessionEvent.objects.values("session_id")).last()
    assert key is not None
    tombstones.delete(tombstones.SESSION, [key.session_id])
    marks.seal_all()
    assert counted() == marked()


def test_of_rows_that_contradict_each_other_only_those_of_their_days_move(peer: FakePeer, there: There) -> None:
    events(40, 5)
    damaged = SessionEvent.objects.filter(at__day=14).first()
    assert damaged is not None
    sync(peer)
    both_hold_the_same(there)
    world.damage(damaged.pk.hex, "not what was said")
    assert counted() == marked()
    peer.asked.clear()
    run = sync(peer)
    assert run.status == SyncStatus.SUCCESS
    assert "pull-days" in peer.asked
    assert 0 < run.rows_done <= 10
    assert 0 < run.rows_sent <= 10
    both_hold_the_same(there)
    assert SessionEvent.objects.count() == 201
    assert counted() == marked()
    peer.asked.clear()
    sync(peer)
    assert peer.asked == ["pull-begin"]


def test_tombstones_that_are_held_on_one_side_only_under_equal_numbers_are_united_by_their_days(
    peer: FakePeer, there: There
) -> None:
    kept, lost = uuid.uuid4(), uuid.uuid4()
    old = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    for key, at in ((kept, old), (lost, world.MOMENT)):
        Tombstone.objects.create(dataset=tombstones.SESSION, row_id=key, deleted_at=at)
    sync(peer)
    there(
        "run",
        "from sync.datasync import marks; from sync.datasync.rows import RowCodec\n"
        "from sync.datasync.registry import by_label; from sync.datasync.wrapping import NO_SECRETS\n"
        "from appliances.models import Tombstone\n"
        "codec = RowCodec(by_label()['appliances.Tombstone'], NO_SECRETS)\n"
        f"rows = Tombstone.objects.filter(row_id='{lost}')\n"
        "with marks.book(codec.dataset) as held:\n"
        "    for row in codec.read(rows): held.remove(*marks.mark_fields(codec, row)[:2], codec.digest_line(row))\n"
        "    rows.delete()\n",
    )
    peer.asked.clear()
    run = sync(peer)
    assert "pull-days" in peer.asked
    assert (run.rows_done, run.rows_sent) == (0, 1)
    both_hold_the_same(there)
