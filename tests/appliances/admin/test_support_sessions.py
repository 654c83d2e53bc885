"""Support sessions and recordings in the console."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from appliances import blobs
from appliances.choices import SessionEventKind, State
from appliances.models import Account, Recording, SessionEvent, SupportSession
from sync.models import RoleJournal

pytestmark = pytest.mark.django_db

STARTED = dt.datetime(2026, 3, 1, 9, 30, tzinfo=dt.UTC)
LIST = "/login/appliances/supportsession/"


@pytest.fixture
def administrator(client: Client) -> Client:
    account = Account.objects.create_superuser("root", password="a long enough phrase")
    client.force_login(account, "django.contrib.auth.backends.ModelBackend")
    return client


def make_session(customer: str = "Front desk", started: dt.datetime = STARTED, events: int = 2) -> SupportSession:
    session = SupportSession.objects.create(
        started_at=started, ended_at=started + dt.timedelta(minutes=12), account_name="Ada", customer_name=customer
    )
    SessionEvent.objects.bulk_create(
        SessionEvent(
            session_id=session.pk,
            at=started + dt.timedelta(seconds=number),
            kind=SessionEventKind.CHAT,
            who="Ada",
            text=f"line {number} <script>",
        )
        for number in range(events)
    )
    return session


def make_recording(session: SupportSession, content_type: str = "audio/wav") -> Recording:
    stored = blobs.store([b"0123456789"])
    return Recording.objects.create(
        session_id=session.pk,
        name="desk.wav",
        started_at=session.started_at,
        duration=dt.timedelta(minutes=2),
        blob_id=stored.blob_id,
        size_bytes=stored.size_bytes,
        content_type=content_type,
    )


def test_sessions_are_found_by_customer_and_by_day(administrator: Client):
    make_session("Harbour depot")
    make_session("Night shift", STARTED - dt.timedelta(days=400))
    found = administrator.get(f"{LIST}?q=harbour").content.decode()
    assert "Harbour depot" in found
    assert "Night shift" not in found
    found = administrator.get(f"{LIST}?started_at__year=2025").content.decode()
    assert "Night shift" in found
    assert "Harbour depot" not in found


def test_a_session_shows_its_event_log_and_its_recordings(administrator: Client):
    session = make_session()
    recording = make_recording(session)
    page = administrator.get(f"{LIST}{session.pk}/change/").content.decode()
    assert "line 1 &lt;script&gt;" in page
    assert "0:12:00" in page
    assert f"/login/appliances/recording/{recording.pk}/change/" in page


def test_a_long_event_log_is_paged_within_the_query_budget(
    administrator: Client, django_assert_max_num_queries: DjangoAssertNumQueries
):
    session = make_session(events=1200)
    administrator.get("/login/")  # makes the rows that are made at their first use
    with django_assert_max_num_queries(14):
        first = administrator.get(f"{LIST}{session.pk}/change/")
    assert len(first.context["events"].object_list) == 500
    last = administrator.get(f"{LIST}{session.pk}/change/?page=3")
    assert len(last.context["events"].object_list) == 200
    assert administrator.get(f"{LIST}{session.pk}/change/?page=x%00").status_code == 200


def test_a_session_that_is_not_here_leads_back_to_the_list(administrator: Client):
    answer = administrator.get(f"{LIST}{uuid.uuid4()}/change/", follow=True)
    assert "is not on this appliance" in answer.content.decode()


def test_a_recording_plays_in_the_page_and_can_be_searched_within(administrator: Client):
    recording = make_recording(make_session())
    page = administrator.get(f"/login/appliances/recording/{recording.pk}/change/").content.decode()
    play_url = f"/login/appliances/recording/{recording.pk}/content/?play=1"
    assert f'<audio controls preload="metadata" src="{play_url}">' in page
    answer = administrator.get(play_url, headers={"range": "bytes=4-"})
    assert answer.status_code == 206
    assert answer["Content-Type"] == "audio/wav"
    assert answer.getvalue() == b"456789"


def test_a_recording_of_a_format_that_browsers_do_not_play_can_be_saved(administrator: Client):
    recording = make_recording(make_session(), "application/x-thing")
    page = administrator.get(f"/login/appliances/recording/{recording.pk}/change/").content.decode()
    assert "cannot be played in the page" in page
    answer = administrator.get(f"/login/appliances/recording/{recording.pk}/content/")
    assert answer["Content-Disposition"] == 'attachment; filename="desk.wav"'
    assert answer.getvalue() == b"0123456789"


def test_recordings_can_be_heard_on_a_backup_too(administrator: Client):
    recording = make_recording(make_session())
    RoleJournal.objects.update_or_create(pk=1, defaults={"state": State.B_IDLE})
    assert administrator.get(f"/login/appliances/recording/{recording.pk}/content/").getvalue() == b"0123456789"


def test_who_may_see_sessions_but_no_recordings_sees_none(client: Client):
    account = Account.objects.create_user("ada", password="a long enough phrase", is_staff=True)
    account.user_permissions.add(Permission.objects.get(codename="view_supportsession"))
    client.force_login(account, "django.contrib.auth.backends.ModelBackend")
    session = make_session()
    recording = make_recording(session)
    assert "desk.wav" not in client.get(f"{LIST}{session.pk}/change/").content.decode()
    assert client.get(f"/login/appliances/recording/{recording.pk}/content/").status_code == 403
    assert client.get(f"/login/appliances/recording/{recording.pk}/change/").status_code == 403


def test_content_needs_a_log_in(client: Client):
    recording = make_recording(make_session())
    assert client.get(f"/login/appliances/recording/{recording.pk}/content/").status_code == 302
