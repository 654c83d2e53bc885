"""Names, roles and sizes: what is let through and what is refused, with a page that says why."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Permission
from django.contrib.sessions.models import Session
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from appliances import disk, middleware
from appliances.admin.sites import LOGGED_IN_HERE
from appliances.choices import OperationKind, State
from appliances.models import Account, BackupSettings, FailoverRelationship, FileStoreFile, Site
from sync.models import RoleJournal

pytestmark = pytest.mark.django_db


def make_account(name: str = "ada", *, may_switch: bool = False, is_superuser: bool = False) -> Account:
    phrase = "a long enough phrase"
    account = Account.objects.create_user(name, password=phrase, is_staff=True, is_superuser=is_superuser)
    if may_switch:
        account.user_permissions.add(Permission.objects.get(codename="switch_roles"))
    return account


def be(state: State, *, op: OperationKind | None = None, with_data_sync: bool = False) -> None:
    RoleJournal.objects.update_or_create(
        pk=1, defaults={"state": state, "op_kind": op or "", "op_term": 2, "op_final_sync": with_data_sync}
    )
    FailoverRelationship.objects.update_or_create(
        pk=1,
        defaults={
            "peer_name": "site2.example.com",
            "peer_host": "site2.example.com",
            "peer_port": 8443,
            "reverse_host": "10.1.2.3",
            "reverse_port": 8443,
            "is_founding_primary": True,
        },
    )


@pytest.fixture
def admin_client_of_site(client: Client) -> Client:
    client.force_login(make_account("root", is_superuser=True), "django.contrib.auth.backends.ModelBackend")
    return client


# --- Names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["site1.example.com", "SITE1.example.com.", "support.example.com", "support.example.com:8443", "127.0.0.1:8443"],
)
def test_own_names_are_answered(client: Client, settings: Settings, name: str):
    settings.ALLOWED_HOSTS = ["*"]
    assert client.get("/", headers={"host": name}).status_code == 200


def test_further_names_and_the_reverse_address_are_answered(client: Client, settings: Settings):
    settings.ALLOWED_HOSTS = ["*"]
    settings.EXTRA_HOST_NAMES = ["Old.example.org"]
    be(State.P_ACTIVE)
    assert client.get("/", headers={"host": "old.example.org"}).status_code == 200
    assert client.get("/", headers={"host": "10.1.2.3"}).status_code == 200


@pytest.mark.parametrize("name", ["evil.example.net", "10.9.9.9", "a b", "[::1", "x" * 300, "support.example.com@evil"])
@pytest.mark.parametrize("path", ["/", "/login/", "/appliance/", "/nowhere"])
def test_other_names_are_refused_with_a_sentence(client: Client, settings: Settings, name: str, path: str):
    settings.ALLOWED_HOSTS = ["*"]
    answer = client.get(path, headers={"host": name})
    assert answer.status_code == 400
    assert b"does not answer under the name" in answer.content
    assert name.encode() not in answer.content


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.3", 0)) as server, socket.create_connection(server.getsockname()) as caller:
        accepted, _ = server.accept()
        with accepted:
            assert caller
            yield accepted


def test_the_address_that_the_connection_came_to_is_answered(
    client: Client, settings: Settings, connection: socket.socket
):
    settings.ALLOWED_HOSTS = ["*"]
    came_to = {"gunicorn.socket": connection}
    assert client.get("/", headers={"host": "127.0.0.3:8443"}, **came_to).status_code == 200  # type: ignore[arg-type]
    assert client.get("/", headers={"host": "127.0.0.4"}, **came_to).status_code == 400  # type: ignore[arg-type]


def test_a_closed_connection_is_no_reason_to_fail(client: Client, settings: Settings):
    settings.ALLOWED_HOSTS = ["*"]
    closed = socket.socket()
    closed.close()
    came_to = {"gunicorn.socket": closed}
    assert client.get("/", headers={"host": "127.0.0.3"}, **came_to).status_code == 400  # type: ignore[arg-type]


def test_names_are_read_from_the_database_once_for_many_requests(
    client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
):
    client.get("/")
    with django_assert_max_num_queries(3):
        assert client.get("/").status_code == 200


# --- The portal in each role -------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.NONE, State.P_ACTIVE])
def test_a_serving_appliance_shows_the_portal(client: Client, state: State):
    be(state)
    assert client.get("/").status_code == 200


def test_a_backup_says_where_the_primary_is(client: Client):
    be(State.B_IDLE)
    answer = client.get("/")
    assert answer.status_code == 503
    assert answer["Retry-After"] == "30"
    assert b'href="https://site2.example.com:8443/"' in answer.content
    assert b"is the backup" in answer.content


def test_a_backup_offers_no_file(client: Client):
    file = FileStoreFile.objects.create(name="a.txt", blob_id="0" * 64, size_bytes=1, is_public=True)
    be(State.B_IDLE)
    assert client.get(f"/files/{file.pk}/").status_code == 503


@pytest.mark.parametrize(
    ("state", "op"),
    [
        (State.P_DRAINING, OperationKind.DRAIN),
        (State.B_SYNCING, OperationKind.OFFERED),
        (State.B_READY, OperationKind.READY),
        (State.B_YIELDED, OperationKind.YIELDED),
    ],
)
def test_in_a_swap_the_page_comes_back_by_itself(client: Client, state: State, op: OperationKind):
    be(state, op=op, with_data_sync=True)
    answer = client.get("/")
    assert answer.status_code == 503
    assert answer["Refresh"] == answer["Retry-After"] == "3"
    assert b"<script" not in answer.content


def test_a_primary_that_swaps_without_a_data_sync_serves_until_the_other_one_does(client: Client):
    be(State.P_DRAINING, op=OperationKind.DRAIN)
    assert client.get("/").status_code == 200


# --- The consoles in each role -----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", State)
def test_the_consoles_can_be_looked_at_in_every_role(admin_client_of_site: Client, state: State):
    session = admin_client_of_site.session
    session[LOGGED_IN_HERE] = session["_auth_user_id"]
    session.save()
    be(state)
    for path in ("/login/", "/appliance/", "/login/appliances/site/1/change/", "/login/appliances/account/"):
        assert admin_client_of_site.get(path).status_code == 200


@pytest.mark.parametrize("state", [State.B_IDLE, State.P_UNCONFIRMED, State.P_SUPERSEDED])
def test_settings_cannot_be_changed_where_this_appliance_is_not_the_serving_one(
    admin_client_of_site: Client, state: State
):
    site = Site.load()
    be(state)
    answer = admin_client_of_site.post(
        "/login/appliances/site/1/change/", {"host_name": "new.example.com", "name": "New", "portal_text": ""}
    )
    assert answer.status_code == 409
    assert b"Settings are changed on the primary" in answer.content
    site.refresh_from_db()
    assert site.name != "New"


def test_the_refusal_names_the_primary(admin_client_of_site: Client):
    be(State.B_IDLE)
    answer = admin_client_of_site.post("/login/appliances/filestorefile/add/")
    assert b'href="https://site2.example.com:8443/login/"' in answer.content


@pytest.mark.parametrize("console", ["login", "appliance"])
def test_a_password_cannot_be_changed_on_a_backup(admin_client_of_site: Client, console: str):
    be(State.B_IDLE)
    answer = admin_client_of_site.post(f"/{console}/password_change/", {"old_password": "x"})
    assert answer.status_code == 409


@pytest.mark.parametrize("console", ["login", "appliance"])
def test_one_can_log_in_and_out_on_a_backup(client: Client, console: str):
    make_account("root", is_superuser=True)
    be(State.B_IDLE)
    typed = {"username": "root", "password": "a long enough phrase", "next": f"/{console}/"}
    assert client.post(f"/{console}/login/", typed).status_code == 302
    assert client.get(f"/{console}/").status_code == 200
    client.post(f"/{console}/logout/")
    assert client.get(f"/{console}/").status_code == 302


@pytest.mark.parametrize("state", [State.P_DRAINING, State.B_SYNCING, State.B_READY, State.B_YIELDED])
def test_in_a_swap_both_consoles_refuse_writes(admin_client_of_site: Client, state: State):
    be(state, op=OperationKind.DRAIN)
    for path in ("/login/appliances/site/1/change/", "/appliance/password_change/"):
        answer = admin_client_of_site.post(path)
        assert answer.status_code == 409
        assert b"A role change is in progress" in answer.content


def test_while_a_data_sync_comes_first_nobody_can_log_in(client: Client):
    make_account("root", is_superuser=True)
    be(State.P_DRAINING, op=OperationKind.DRAIN, with_data_sync=True)
    typed = {"username": "root", "password": "a long enough phrase"}
    for answer in (client.get("/login/login/"), client.post("/login/login/", typed), client.get("/appliance/")):
        assert answer.status_code == 503
        assert b"A data-sync is in progress" in answer.content
        assert answer["Refresh"] == "3"


def test_while_a_data_sync_comes_first_the_session_of_a_user_is_ended(client: Client):
    client.force_login(make_account(), "django.contrib.auth.backends.ModelBackend")
    be(State.P_DRAINING, op=OperationKind.DRAIN, with_data_sync=True)
    assert client.get("/login/").status_code == 503
    assert not Session.objects.exists()
    be(State.P_ACTIVE)
    assert client.get("/login/").status_code == 302


def test_while_a_data_sync_comes_first_whoever_may_switch_roles_sees_how_it_goes(client: Client):
    client.force_login(make_account(may_switch=True), "django.contrib.auth.backends.ModelBackend")
    be(State.P_DRAINING, op=OperationKind.DRAIN, with_data_sync=True)
    assert client.get("/login/").status_code == 200
    assert client.post("/login/password_change/").status_code == 409


def test_what_stays_on_this_appliance_can_be_changed_on_a_backup():
    from appliances import access

    for name in (
        "failover:sync-now",
        "security:key",
        "failover:backup-settings",
        "appliance:appliances_certificate_add",
    ):
        assert access.is_node_local(name)
    for name in (
        "login:appliances_site_change",
        "login:auth_group_add",
        "login:password_change",
        "appliance:auth_x",
        "",
    ):
        assert not access.is_node_local(name)
    assert BackupSettings._meta.model_name == "backupsettings"


def test_names_that_only_begin_like_a_console_are_the_portal():
    from appliances import access

    assert access.is_console("/login")
    assert access.is_console("/login/x")
    assert access.is_console("/appliance/")
    assert not access.is_console("/loginpage")
    assert not access.is_console("/")


# --- Sizes -------------------------------------------------------------------------------------------------------


def test_nobody_can_fill_the_disk_without_logging_in(client: Client):
    answer = client.post("/login/login/", {"username": "x" * (middleware.MAX_ANONYMOUS_BYTES + 1)})
    assert answer.status_code == 413


def test_an_upload_larger_than_allowed_is_refused_before_it_is_read(admin_client_of_site: Client):
    answer = admin_client_of_site.post(
        "/login/appliances/filestorefile/add/", b"x", "text/plain", CONTENT_LENGTH=str(middleware.MAX_UPLOAD_BYTES + 1)
    )
    assert answer.status_code == 413


def test_an_upload_that_the_disk_has_no_room_for_is_refused_before_it_is_read(
    admin_client_of_site: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(disk, "least_bytes", lambda: 1 << 60)
    answer = admin_client_of_site.post("/login/appliances/filestorefile/add/", {"name": "x" * (2 << 20)})
    assert answer.status_code == 507
    assert b"The disk is full" in answer.content


def test_a_small_file_is_refused_by_a_full_disk_and_a_form_is_not(
    admin_client_of_site: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(disk, "least_bytes", lambda: 1 << 60)
    path = "/login/appliances/filestorefile/add/"
    assert admin_client_of_site.post(path, {"name": "small"}).status_code == 507
    form = "application/x-www-form-urlencoded"
    assert admin_client_of_site.post(path, "name=small", form).status_code == 200


def test_a_length_that_is_no_number_does_no_harm(client: Client):
    assert client.get("/", CONTENT_LENGTH="many").status_code == 200
