"""What all pages of records have in common: they open, within a query budget, and no bad input breaks them."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from appliances import blobs
from appliances.choices import SessionEventKind, State
from appliances.models import Account, FileStoreFile, Recording, SessionEvent, SupportSession
from sync.models import RoleJournal

pytestmark = pytest.mark.django_db

# The frame: session, account, role, relationship, appliance, site, rights; then the page's own few.
QUERY_BUDGET = 16
LISTS = ("account", "filestorefile", "supportsession", "recording")
APPEND_ONLY = ("supportsession", "recording")
SETTINGS = ("site", "emailconfiguration", "apiconfiguration")


@pytest.fixture
def administrator(client: Client) -> Client:
    account = Account.objects.create_superuser("root", password="a long enough phrase")
    client.force_login(account, "django.contrib.auth.backends.ModelBackend")
    return client


def fill(count: int) -> SupportSession:
    blob = blobs.store([b"RIFF"])
    session = SupportSession(started_at=timezone.now(), account_name="Ada", customer_name="Front desk")
    for number in range(count):
        Account.objects.create(username=f"account{number}", is_staff=True)
        Group.objects.create(name=f"group {number}")
        FileStoreFile.objects.create(name=f"file {number}.txt", blob_id=blob.blob_id, size_bytes=4)
        session = SupportSession.objects.create(
            started_at=timezone.now() - dt.timedelta(days=number), account_name="Ada", customer_name=f"Desk {number}"
        )
        SessionEvent.objects.create(
            session_id=session.pk, at=session.started_at, kind=SessionEventKind.CHAT, who="Ada", text="<b>hello</b>"
        )
        Recording.objects.create(
            session_id=session.pk,
            name=f"recording {number}.wav",
            started_at=session.started_at,
            duration=dt.timedelta(minutes=2),
            blob_id=blob.blob_id,
            size_bytes=4,
            content_type="audio/wav",
        )
    return session


def path_of(model: str) -> str:
    return f"/login/appliances/{model}/"


@pytest.mark.parametrize("path", [*(path_of(model) for model in LISTS), "/login/auth/group/"])
def test_a_list_is_paged_and_keeps_to_the_query_budget(
    administrator: Client, path: str, django_assert_max_num_queries: DjangoAssertNumQueries
):
    fill(60)
    administrator.get("/login/")  # makes the rows that are made at their first use
    with django_assert_max_num_queries(QUERY_BUDGET):
        answer = administrator.get(path)
    assert answer.status_code == 200
    assert answer.context["cl"].result_count >= 60
    assert len(answer.context["cl"].result_list) == 50


@pytest.mark.parametrize("model", LISTS)
@pytest.mark.parametrize(
    "query",
    [
        "q=%00",
        "q=" + "x" * 5000,
        "q='\"%3Cscript%3E",
        "p=99999999999999999999",
        "p=-1",
        "p=x",
        "o=99.-99.x",
        "started_at__year=0",
        "started_at__year=99999999999999999999",
        "started_at__year=2026&started_at__month=13&started_at__day=32",
        "started_at__gte=yesterday",
        "is_active__exact=maybe",
        "password__startswith=a",
        "nothing=1",
        "all=1",
        "_facets=1",
        "_to_field=password",
        "_popup=1",
    ],
)
def test_no_query_breaks_a_list(administrator: Client, model: str, query: str):
    fill(2)
    assert administrator.get(f"{path_of(model)}?{query}").status_code in {200, 302, 400}


@pytest.mark.parametrize("model", [*LISTS, *SETTINGS])
@pytest.mark.parametrize(
    "key", ["0", "-1", "999999999999999999999999", "x", "_2F_2E_2E", "00000000-0000-0000-0000-000000000000"]
)
def test_no_key_breaks_a_page(administrator: Client, model: str, key: str):
    for page in ("change", "history", "delete"):
        assert administrator.get(f"{path_of(model)}{key}/{page}/").status_code in {302, 403, 404}


@pytest.mark.parametrize("model", APPEND_ONLY)
def test_what_has_happened_is_neither_added_nor_changed_nor_deleted(administrator: Client, model: str):
    fill(1)
    row = {"supportsession": SupportSession, "recording": Recording}[model]._default_manager.get()
    assert administrator.get(f"{path_of(model)}add/").status_code == 403
    assert administrator.post(f"{path_of(model)}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    administrator.post(f"{path_of(model)}{row.pk}/change/", {"customer_name": "other", "name": "other"})
    administrator.post(path_of(model), {"action": "delete_selected", "_selected_action": [str(row.pk)], "post": "yes"})
    row.refresh_from_db()
    assert "other" not in str(row)


@pytest.mark.parametrize("model", SETTINGS)
def test_settings_open_directly_in_their_form(administrator: Client, model: str):
    answer = administrator.get(path_of(model), follow=True)
    assert answer.status_code == 200
    assert answer.request["PATH_INFO"] == f"{path_of(model)}1/change/"
    assert administrator.get(f"{path_of(model)}add/").status_code == 403
    assert administrator.post(f"{path_of(model)}1/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("model", [*LISTS, *SETTINGS])
def test_on_a_backup_the_pages_can_be_looked_at_only(administrator: Client, model: str):
    fill(1)
    RoleJournal.objects.update_or_create(pk=1, defaults={"state": State.B_IDLE})
    assert administrator.get(path_of(model), follow=True).status_code == 200
    assert administrator.get(f"{path_of(model)}add/").status_code == 403
    if model in SETTINGS:
        assert b'type="submit"' not in administrator.get(f"{path_of(model)}1/change/").content.split(b"<main")[1]


@pytest.mark.parametrize("model", [*LISTS, *SETTINGS])
def test_an_account_without_rights_sees_nothing(client: Client, model: str):
    fill(1)
    account = Account.objects.create_user("ada", password="a long enough phrase", is_staff=True)
    client.force_login(account, "django.contrib.auth.backends.ModelBackend")
    assert client.get(path_of(model), follow=True).status_code == 403


def test_a_page_that_is_not_there_is_no_error(administrator: Client):
    assert administrator.get(f"/login/appliances/supportsession/{uuid.uuid4()}/change/").status_code == 302
