"""Rows keep every bit on their way, and what is not a row is refused."""

from __future__ import annotations

import datetime as dt
import json
import uuid

import pytest
from django.contrib.auth.models import Group, Permission
from hypothesis import given
from hypothesis import strategies as st

from appliances.models import Account, EmailConfiguration, Recording, SessionEvent
from sync.datasync.registry import by_label
from sync.datasync.rows import RowCodec, RowSum
from sync.datasync.tables import insert
from sync.datasync.wrapping import SecretWrap
from sync.errors import SyncRefused
from tests.sync.datasync import world

pytestmark = pytest.mark.django_db
WRAP = SecretWrap(b"k" * 32, "s1")
NASTY = [
    "",
    " ",
    "\u2028\u2029",
    "😀👩‍👩‍👧",
    "\x01\x02\t\r\n\x7f\x1b",
    'quote " back \\ slash',
    "é é",
    "\u202eltr",
    "x" * 200_000,
]


def codec(label: str, wrap: SecretWrap = WRAP) -> RowCodec:
    return RowCodec(by_label()[label], wrap)


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_nasty_text_comes_back_the_same(text: str) -> None:
    world.event(text)
    events = codec("appliances.SessionEvent")
    [row] = events.read()
    line = events.wire_line(row)
    assert b"\n" not in line
    assert events.parse(line) == row
    SessionEvent.objects.all().delete()
    insert(events, [row])
    assert SessionEvent.objects.get().text == text
    assert list(events.read()) == [row]


@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), at=st.datetimes())
def test_any_text_and_moment_comes_back_the_same(text: str, at: dt.datetime) -> None:
    events = codec("appliances.SessionEvent")
    row = (uuid.uuid4(), "a", 1, 1, uuid.uuid4(), at.replace(tzinfo=dt.UTC), "chat", "", text)
    assert events.parse(events.wire_line(row)) == row


def test_microseconds_of_moments_and_durations_are_kept() -> None:
    world.recording("r", b"x")
    recordings = codec("appliances.Recording")
    [row] = recordings.read()
    Recording.objects.all().delete()
    insert(recordings, [recordings.parse(recordings.wire_line(row))])
    stored = Recording.objects.get()
    assert stored.started_at == world.MOMENT
    assert stored.duration == dt.timedelta(seconds=1, microseconds=7)


def test_a_secret_travels_wrapped_and_is_sealed_anew() -> None:
    configuration = EmailConfiguration.load()
    configuration.password = "hunter2 ünd so"
    configuration.save()
    mails = codec("appliances.EmailConfiguration")
    [row] = mails.read()
    line = mails.wire_line(row)
    assert b"hunter2" not in line
    assert bytes(configuration.sealed_password) not in line
    assert mails.wire_line(row) != line
    parsed = mails.parse(line)
    EmailConfiguration.objects.all().delete()
    insert(mails, [parsed])
    stored = EmailConfiguration.objects.get()
    assert stored.password == "hunter2 ünd so"
    assert bytes(stored.sealed_password) != bytes(configuration.sealed_password)


def test_the_digest_of_a_secret_is_equal_for_equal_secrets_in_any_snapshot_and_hides_it() -> None:
    configuration = EmailConfiguration.load()
    configuration.password = "hunter2"
    configuration.save()
    [row] = codec("appliances.EmailConfiguration").read()
    one, two = (
        codec("appliances.EmailConfiguration"),
        codec("appliances.EmailConfiguration", SecretWrap(b"k" * 32, "s2")),
    )
    other = codec("appliances.EmailConfiguration", SecretWrap(b"j" * 32, "s1"))
    assert one.digest_line(row) == two.digest_line(row) != other.digest_line(row)
    assert b"hunter2" not in one.digest_line(row)


def test_a_secret_wrapped_for_another_snapshot_is_refused() -> None:
    configuration = EmailConfiguration.load()
    configuration.password = "hunter2"
    configuration.save()
    mails = codec("appliances.EmailConfiguration")
    [row] = mails.read()
    with pytest.raises(SyncRefused, match="cannot be opened"):
        codec("appliances.EmailConfiguration", SecretWrap(b"k" * 32, "s2")).parse(mails.wire_line(row))


def test_permissions_travel_by_name() -> None:
    group = Group.objects.create(name="staff")
    group.permissions.add(Permission.objects.get(codename="switch_roles"))
    [row] = codec("auth.Group_permissions").read()
    assert row == (group.pk, "appliances.account.switch_roles")


BAD = [
    b"",
    b"{}",
    b"[]",
    b"nonsense",
    b'[1,"x"]',
    b'["1","x"]',
    b"[1,2]",
    b'[true,"x","y"]',
    b"[" * 100_000,
]


@pytest.mark.parametrize("line", BAD, ids=range(len(BAD)))
def test_what_is_not_a_group_is_refused(line: bytes) -> None:
    if line == b'[1,"x"]':
        assert codec("auth.Group").parse(line) == (1, "x")
        return
    with pytest.raises(SyncRefused):
        codec("auth.Group").parse(line)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 2**63),
        (0, -(2**63) - 1),
        (0, None),
        (0, 1.0),
        (1, "x" * 151),
        (1, "a\0b"),
        (1, "\ud800"),
        (1, None),
        (3, 1),
        (9, 10**30),
        (9, "2026-01-01"),
    ],
)
def test_a_value_that_no_account_can_have_is_refused(place: int, value: object) -> None:
    world.account("anna")
    accounts = codec("appliances.Account")
    values = json.loads(accounts.wire_line(next(accounts.read())))
    accounts.parse(json.dumps(values).encode())
    values[place] = value
    with pytest.raises(SyncRefused):
        accounts.parse(json.dumps(values).encode())


def test_a_sum_does_not_depend_on_the_order_and_sees_every_row() -> None:
    one, two, three = RowSum(), RowSum(), RowSum()
    for line in (b"a", b"b", b"c"):
        one.add(line)
    for line in (b"c", b"a", b"b"):
        two.add(line)
    three.add(b"abc")
    assert one.digest == two.digest != three.digest
    assert RowSum(one.rows, one.digest).digest == one.digest
    assert Account.objects.count() == 0
