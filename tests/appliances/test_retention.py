"""Which sessions and recordings are past their time."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from django.test import Client

from appliances import retention
from appliances.models import Account, Recording, RetentionSettings, SessionEvent, SupportSession

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)


def session(age_days: float) -> uuid.UUID:
    at = NOW - dt.timedelta(days=age_days)
    row = SupportSession.objects.create(started_at=at, ended_at=at, account_name="a", customer_name="b")
    SessionEvent.objects.create(session_id=row.pk, at=at, kind="note")
    return row.pk


def recording(age_days: float, gigabytes: float = 1, session_id: uuid.UUID | None = None) -> uuid.UUID:
    return Recording.objects.create(
        session_id=session_id or uuid.uuid4(),
        name="r",
        started_at=NOW - dt.timedelta(days=age_days),
        blob_id="0" * 64,
        size_bytes=int(gigabytes * retention.GIGABYTE),
    ).pk


def test_by_default_everything_is_kept():
    recording(10_000, session_id=session(10_000))
    assert not retention.past_time(RetentionSettings(), NOW)
    assert str(retention.past_time(RetentionSettings(), NOW)) == "nothing"


def test_a_session_goes_by_its_end_and_takes_its_recordings_along():
    recording(1, session_id=session(31))
    recording(1, session_id=session(29))
    rule = RetentionSettings(keep_sessions_days=30)
    assert str(retention.past_time(rule, NOW)) == "1 session with 1 line of event log and 1 recording (953.7 MB)"
    assert retention.recordings(rule, NOW) == []  # it goes with its session


def test_recordings_go_by_their_own_age():
    old, kept = recording(31), recording(29)
    assert retention.recordings(RetentionSettings(keep_recordings_days=30), NOW) == [old]
    assert kept


def test_beyond_the_total_the_oldest_go():
    ages = {age: recording(age) for age in (1, 2, 3, 4)}
    assert retention.recordings(RetentionSettings(max_recordings_gigabytes=2), NOW) == [ages[3], ages[4]]
    assert retention.recordings(RetentionSettings(max_recordings_gigabytes=4), NOW) == []


def test_what_goes_by_age_does_not_count_for_the_total():
    old, _ = recording(40, 5), recording(1, 1)
    rule = RetentionSettings(keep_recordings_days=30, max_recordings_gigabytes=1)
    assert retention.recordings(rule, NOW) == [old]
    assert retention.past_time(rule, NOW).size_bytes == 5 * retention.GIGABYTE


PAGE = "/login/appliances/retentionsettings/1/change/"


@pytest.fixture
def administrator(client: Client) -> Client:
    account = Account.objects.create_superuser("root", password="a long enough phrase")
    client.force_login(account, "django.contrib.auth.backends.ModelBackend")
    return client


def wishes(**changes: str) -> dict[str, str]:
    return {"keep_sessions_days": "", "keep_recordings_days": "", "max_recordings_gigabytes": ""} | changes


def test_a_change_that_deletes_something_says_what_and_waits_for_a_tick(administrator: Client):
    recording(5, session_id=session(20_000))
    answer = administrator.post(PAGE, wishes(keep_sessions_days="10000")).content.decode()
    assert "would delete 1 session with 1 line of event log and 1 recording (953.7" in answer
    assert RetentionSettings.load().keep_sessions_days is None
    administrator.post(PAGE, wishes(keep_sessions_days="10000", agreed="on"))
    assert RetentionSettings.load().keep_sessions_days == 10_000
    answer = administrator.get(PAGE).content.decode()
    assert "1 session with 1 line of event log" in answer


def test_a_change_that_deletes_nothing_is_saved_at_once(administrator: Client):
    administrator.post(PAGE, wishes(max_recordings_gigabytes="5"))
    assert RetentionSettings.load().max_recordings_gigabytes == 5


@pytest.mark.parametrize(
    "bad",
    [
        {"keep_sessions_days": "0"},
        {"keep_sessions_days": "-1"},
        {"keep_sessions_days": "x"},
        {"keep_sessions_days": "36501"},
        {"max_recordings_gigabytes": "9" * 30},
        {"keep_sessions_days": "5", "keep_recordings_days": "6"},
    ],
)
def test_what_makes_no_sense_is_refused(administrator: Client, bad: dict[str, str]):
    assert administrator.post(PAGE, wishes(agreed="on", **bad)).status_code == 200
    row = RetentionSettings.load()
    assert (row.keep_sessions_days, row.keep_recordings_days, row.max_recordings_gigabytes) == (None, None, None)


def test_on_a_backup_the_page_is_only_read(administrator: Client):
    from sync.models import RoleJournal

    RoleJournal.load()
    RoleJournal.objects.update(state="b_idle")
    assert administrator.post(PAGE, wishes(keep_sessions_days="5", agreed="on")).status_code == 409
    assert 'name="agreed"' not in administrator.get(PAGE).content.decode()
