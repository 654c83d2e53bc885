"""The frame of the two consoles: log-in, tabs, Status pages, error pages, the content security policy."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf import settings
from django.test import Client, RequestFactory
from django.views import defaults

from appliances.admin.tabs import CONSOLE_TABS, Tab, visible_tabs
from appliances.choices import Role, State
from appliances.host.interfaces import interfaces
from appliances.models import Account
from failover_site.urls import urlpatterns
from sync.models import RoleJournal

pytestmark = pytest.mark.django_db
INLINE = re.compile(r"<style|<[^>]+\s(style|on[a-z]+)\s*=|<script(?![^>]*\ssrc=)")


@pytest.fixture
def anybody() -> Client:
    return Client(SERVER_NAME="site1.example.com")


@pytest.fixture
def admin(anybody: Client) -> Client:
    account = Account.objects.create_superuser("admin", password="correct horse")
    anybody.force_login(account, backend="django.contrib.auth.backends.ModelBackend")
    return anybody


@pytest.fixture
def reader() -> Client:
    client = Client(SERVER_NAME="site1.example.com")
    account = Account.objects.create_user("reader", password="x", is_staff=True)
    client.force_login(account, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.mark.parametrize("console", ["login", "appliance"])
def test_each_console_has_its_own_log_in_page(console: str, anybody: Client) -> None:
    assert anybody.get(f"/{console}/").headers["Location"] == f"/{console}/login/?next=/{console}/"
    html = anybody.get(f"/{console}/login/").content.decode()
    assert ("Appliance administration: network" in html) == (console == "appliance")
    assert "site1.example.com" in html
    assert not INLINE.search(html)


def test_logging_in_leads_to_the_status_page(anybody: Client) -> None:
    Account.objects.create_superuser("admin", password="correct horse")
    wrong = anybody.post("/login/login/", {"username": "admin", "password": "no"})
    assert "Please enter the correct" in wrong.content.decode()
    right = anybody.post("/login/login/", {"username": "admin", "password": "correct horse", "next": "/login/"})
    assert right.headers["Location"] == "/login/"
    assert anybody.get("/login/").status_code == 200


def test_too_many_attempts_are_refused_with_a_page(anybody: Client) -> None:
    for _ in range(10):
        response = anybody.post("/login/login/", {"username": "admin", "password": "no"})
    assert response.status_code == 429
    assert "Too many attempts" in response.content.decode()


@pytest.mark.parametrize("user_name", ["\x00", "x" * 5000, "", "' OR 1=1"])
def test_any_user_name_is_answered_by_a_page(user_name: str, anybody: Client) -> None:
    assert anybody.post("/login/login/", {"username": user_name, "password": "x"}).status_code == 200


def test_the_appliance_console_is_for_administrators_only(reader: Client) -> None:
    assert reader.get("/login/").status_code == 200
    assert reader.get("/appliance/").status_code == 302
    assert "is logged in, but may not use this page" in reader.get("/appliance/login/").content.decode()


def test_the_appliance_console_asks_for_its_own_log_in(admin: Client) -> None:
    assert admin.get("/login/").status_code == 200
    asked = admin.get("/appliance/", follow=True).content.decode()
    assert "This console asks for its own log-in." in asked
    assert log_in_at_appliance(admin).headers["Location"] == "/appliance/"
    assert admin.get("/appliance/").status_code == 200
    assert admin.get("/login/").status_code == 200
    admin.post("/appliance/logout/")
    assert admin.get("/appliance/").status_code == 302
    assert admin.get("/login/").status_code == 302


def test_who_has_not_all_rights_cannot_log_in_at_the_appliance_console(anybody: Client) -> None:
    Account.objects.create_user("reader", password="correct horse", is_staff=True)
    refused = log_in_at_appliance(anybody, "reader")
    assert refused.status_code == 200
    assert "Please enter the correct" in refused.content.decode()
    assert anybody.get("/login/").status_code == 302


def test_both_log_in_pages_say_that_the_accounts_are_the_same(anybody: Client) -> None:
    assert "asks for a log-in of its own" in anybody.get("/login/login/").content.decode()
    assert "The accounts are the same" in anybody.get("/appliance/login/").content.decode()


def log_in_at_appliance(client: Client, name: str = "admin") -> Any:
    """What the log-in page of the appliance console answers."""
    return client.post("/appliance/login/", {"username": name, "password": "correct horse", "next": "/appliance/"})


def test_the_appliance_status_shows_the_machine(admin: Client) -> None:
    log_in_at_appliance(admin)
    html = admin.get("/appliance/").content.decode()
    for part in ("Appliance id", "build-", "free of", "Network interfaces"):
        assert part in html
    assert not INLINE.search(html)


def test_the_interfaces_are_those_of_the_kernel() -> None:
    found = {interface.name: interface.addresses for interface in interfaces()}
    assert "127.0.0.1/8" in found["lo"]


def test_a_tab_is_shown_in_its_roles_with_its_permission_and_once_its_page_is_there() -> None:
    administrator = Account.objects.create_superuser("a", password="x")
    reader = Account.objects.create_user("r", password="x", is_staff=True)
    on_primary = [tab.label for tab in visible_tabs("login", Role.PRIMARY, administrator, "/login/")]
    on_backup = [tab.label for tab in visible_tabs("login", Role.BACKUP, administrator, "/login/")]
    for_reader = [tab.label for tab in visible_tabs("login", Role.PRIMARY, reader, "/login/")]
    assert on_primary == ["Status", "My Account", "Users & Security", "Reports", "Public Portals", "Management"]
    assert on_backup == ["Status", "My Account", "Reports", "Management"]
    assert for_reader == ["Status", "My Account", "Management"]


def test_exactly_one_tab_and_sub_tab_is_current() -> None:
    administrator = Account.objects.create_superuser("a", password="x")
    tabs = visible_tabs("login", Role.NONE, administrator, "/login/management/failover/break/")
    assert [tab.label for tab in tabs if tab.is_current] == ["Management"]
    assert [child.label for tab in tabs for child in tab.children if child.is_current] == ["Failover"]


def test_every_tab_that_is_shown_leads_to_a_page(admin: Client) -> None:
    log_in_at_appliance(admin)
    for console in CONSOLE_TABS:
        for tab in visible_tabs(console, Role.NONE, Account.objects.get(), f"/{console}/"):
            for url in {tab.url, *(child.url for child in tab.children)}:
                response = admin.get(url, follow=True)
                assert response.status_code == 200, url
                assert not INLINE.search(response.content.decode()), url


def test_every_url_name_of_a_tab_belongs_to_a_mounted_console() -> None:
    def names(tabs: tuple[Tab, ...]) -> list[str]:
        return [name for tab in tabs for name in [tab.url_name, *names(tab.children)] if name]

    assert {name.partition(":")[0] for console in CONSOLE_TABS.values() for name in names(console)} <= {
        "login",
        "appliance",
        "failover",
        "security",
    }
    assert urlpatterns


def test_pages_that_are_not_there_answer_inside_the_frame(admin: Client) -> None:
    response = admin.get("/login/no/such/page/")
    assert response.status_code == 404
    assert "There is no such page" in response.content.decode()
    assert 'aria-label="Main"' in response.content.decode()


@pytest.mark.parametrize("path", ["/no/such/page/", "/api/nothing", "/files/nothing/"])
def test_whoever_is_not_logged_in_is_not_told_name_or_role_where_there_is_no_page(anybody: Client, path: str) -> None:
    RoleJournal.objects.create(state=State.P_ACTIVE)
    response = anybody.get(path, follow=True)
    text = response.content.decode()
    assert response.status_code == 404
    assert "There is no such page" in text
    assert not any(word in text for word in (settings.HOST_NAME, "Primary", 'data-role="primary"', 'aria-label="Main"'))


def test_the_page_of_a_server_error_needs_nothing(rf: RequestFactory, django_assert_num_queries: object) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        for response in (defaults.server_error(rf.get("/")), defaults.bad_request(rf.get("/"), ValueError())):
            assert "Nothing was changed" in response.content.decode() or "log" in response.content.decode()
            assert not INLINE.search(response.content.decode())


def test_a_form_without_its_token_is_refused_by_a_page() -> None:
    client = Client(SERVER_NAME="site1.example.com", enforce_csrf_checks=True)
    response = client.post("/login/login/", {"username": "a", "password": "b"})
    assert response.status_code == 403
    assert "Please send that again" in response.content.decode()


def test_every_answer_carries_the_policy(anybody: Client) -> None:
    for path in ("/login/", "/login/login/", "/nowhere", "/static/none.css"):
        assert "default-src 'none'" in anybody.get(path).headers["Content-Security-Policy"], path
