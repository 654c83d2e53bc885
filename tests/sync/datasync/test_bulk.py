"""Lines in bulk are those of `RowCodec` to the byte, and what is not such a line is refused."""

from __future__ import annotations

import datetime as dt
import json
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliances.models import Recording, SessionEvent, SupportSession, Tombstone
from sync.datasync import bulk
from sync.datasync.bulk import Bulk
from sync.datasync.registry import APPEND_ONLY, SETTINGS, by_label
from sync.datasync.rows import MAX_ROW_BYTES
from sync.datasync.tables import insert_many
from sync.errors import SyncRefused
from tests.sync.datasync import world

pytestmark = pytest.mark.django_db
EVENTS = by_label()[SessionEvent._meta.label]
MOMENTS = [
    dt.datetime(1, 1, 1, tzinfo=dt.UTC),
    dt.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC),
    dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
    dt.datetime(2026, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
    dt.datetime(2026, 2, 3, 23, 59, 59, 999999, tzinfo=dt.UTC),
    dt.datetime(2026, 2, 3, 4, 5, 6, 1, tzinfo=dt.UTC),
    dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC),
]
ALL_LOW = "".join(map(chr, [*range(1, 0x3000), 0xFFFE, 0xFFFF, 0x1F600, 0x10FFFF]))
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def lines_of(found: Bulk) -> list[bytes]:
    return sorted(line for part in found.lines() for line in part)


def fill() -> None:
    key = uuid.uuid4()
    for number, at in enumerate(MOMENTS):
        SessionEvent.objects.create(session_id=key, at=at, kind="chat", who='"\\', text=ALL_LOW[number:])
        SupportSession.objects.create(
            started_at=at, ended_at=at if number % 2 else None, account_id_value=number or None
        )
        Recording.objects.create(
            session_id=key,
            name="r",
            started_at=at,
            duration=dt.timedelta(days=number, microseconds=7) if number else None,
            blob_id="0" * 64,
            size_bytes=2**62,
            is_incomplete=bool(number % 2),
            seq=number or None,
        )
        Tombstone.objects.create(dataset="a", row_id=uuid.uuid4(), deleted_at=at)


def test_the_database_writes_every_line_as_the_codec_does_and_takes_it_back_the_same() -> None:
    fill()
    for dataset in APPEND_ONLY:
        found = Bulk(dataset)
        lines = lines_of(found)
        assert lines == sorted(map(found.codec.wire_line, found.codec.read()))
        assert len(lines) == len(MOMENTS)
        dataset.model._base_manager.all().delete()
        insert_many(dataset, found.codec.columns, found.to_database(found.load(lines)))
        assert sorted(map(found.codec.wire_line, found.codec.read())) == lines


@settings(max_examples=50, deadline=None)
@given(text=TEXT, at=st.datetimes())
def test_any_text_and_moment_is_written_as_the_codec_does(text: str, at: dt.datetime) -> None:
    SessionEvent.objects.all().delete()
    SessionEvent.objects.create(session_id=uuid.uuid4(), at=at.replace(tzinfo=dt.UTC), kind="chat", text=text)
    found = Bulk(EVENTS)
    [row] = found.codec.read()
    assert lines_of(found) == [found.codec.wire_line(row)]


def test_settings_without_secrets_and_permissions_are_written_by_the_database_too() -> None:
    world.account("anna", {"display_name": 'Änna "x"'})
    world.store_file("a", b"a")
    plain = [dataset for dataset in SETTINGS if bulk.is_plain(dataset)]
    assert {dataset.label for dataset in SETTINGS if dataset not in plain} == {
        "auth.Group_permissions",
        "appliances.Account_user_permissions",
        "appliances.EmailConfiguration",
    }
    for dataset in plain:
        found = Bulk(dataset)
        assert lines_of(found) == sorted(map(found.codec.wire_line, found.codec.read()))


def row(**changes: object) -> list[object]:
    values = dict(
        zip(EVENTS.fields, ["1" * 32, "a" * 32, 1, 1, "2" * 32, 1_000_000, "chat", "w", "t"], strict=True), **changes
    )
    return list(values.values())


def line(values: list[object]) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"[" * 100_000,
        line(row())[:-1],
        line(row()) + b" ",
        line(row()).replace(b",1,1,", b", 1,1,"),
        line(row()).replace(b'"t"', b'"\\u0074"'),
        line(row()) + b"," + line(row(id="3" * 32)),
        line(row(id="A" * 32)),
        line(row(id="1" * 31)),
        line(row(id=None)),
        line(row(id=1)),
        line(row(at=1.0)),
        line(row(at=True)),
        line(row(at="1")),
        line(row(at=10**30)),
        line(row(at=-(10**18))),
        line(row(incarnation=-1)),
        line(row(seq=2**63)),
        line(row(origin="a" * 33)),
        line(row(text="a\0b")),
        line(row(text="\ud800")),
        line(row(text=None)),
        line([*row(), 1]),
    ],
    ids=range(26),
)
def test_a_line_that_is_no_row_in_its_one_form_is_refused_among_good_ones(bad: bytes) -> None:
    good = [line(row(id=f"{n:032x}")) for n in range(3)]
    found = Bulk(EVENTS)
    assert len(found.load(good)) == 3
    with pytest.raises(SyncRefused):
        found.load([*good, bad])
    with pytest.raises(SyncRefused):
        found.load([bad])


def test_two_lines_that_are_rows_only_together_are_refused() -> None:
    whole = line(row(text='x,"],["'))
    place = whole.rindex(b"],")
    one, two = whole[:place], whole[place + 2 :]
    with pytest.raises(SyncRefused):
        Bulk(EVENTS).load([one, two, line(row(id="3" * 32)) + b"," + line(row(id="4" * 32))])


def test_a_row_too_large_to_travel_is_refused_where_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    world.event("x" * 2000)
    monkeypatch.setattr(bulk, "MAX_ROW_BYTES", 1000)
    assert MAX_ROW_BYTES > 1000
    with pytest.raises(SyncRefused):
        list(Bulk(EVENTS).lines())


def test_batches_end_at_the_number_of_rows_and_at_the_size() -> None:
    assert list(map(len, bulk.batches([b"x"] * 25, 10))) == [10, 10, 5]
    assert list(map(len, bulk.batches([b"x" * (bulk.MERGE_BYTES // 2)] * 5))) == [2, 2, 1]
    assert list(bulk.batches([])) == []
