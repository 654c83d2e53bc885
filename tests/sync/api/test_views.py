"""The command API by user name and password, as its clients use it."""

from __future__ import annotations

import logging
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pytest
from axes.models import AccessAttempt
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from appliances.models import Account, ApiConfiguration
from sync.api import parameters
from sync.api.commands import COMMANDS, Command
from tests.sync.api.conftest import NAMESPACE, PASSWORD, error_of, root_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("healthy")]

GOOD = {"action": "check_health", "username": "robot", "password": PASSWORD}
FORM = "application/x-www-form-urlencoded"
HEALTH = f"{NAMESPACE}health_check"


@pytest.mark.parametrize("path", ["/api/command", "/api/command.ns"])
@pytest.mark.usefixtures("administrator")
class TestWaysToAsk:
    def test_by_get(self, client: Client, path: str):
        assert root_of(client.get(path, GOOD)).tag == HEALTH

    def test_by_form(self, client: Client, path: str):
        assert root_of(client.post(path, urlencode(GOOD), content_type=FORM)).tag == HEALTH

    def test_by_multipart_with_a_bare_question_mark(self, client: Client, path: str):
        assert root_of(client.post(f"{path}?", GOOD)).tag == HEALTH

    def test_with_parameters_in_any_order(self, client: Client, path: str):
        backwards = urlencode(list(GOOD.items())[::-1])
        assert root_of(client.get(f"{path}?{backwards}")).tag == HEALTH

    def test_with_the_action_in_the_url_and_the_rest_in_the_body(self, client: Client, path: str):
        rest = {name: value for name, value in GOOD.items() if name != "action"}
        assert root_of(client.post(f"{path}?action=check_health", rest)).tag == HEALTH

    @pytest.mark.parametrize("accept", ["application/json", "nonsense", "text/html;q=0", ""])
    def test_whatever_the_client_accepts(self, client: Client, path: str, accept: str):
        assert root_of(client.get(path, GOOD | {"format": "json"}, headers={"accept": accept})).tag == HEALTH

    def test_without_session_or_csrf_token(self, path: str):
        response = Client(enforce_csrf_checks=True).post(path, GOOD)
        assert root_of(response).tag == HEALTH
        assert not response.cookies


@pytest.mark.usefixtures("administrator")
def test_the_headers_are_those_that_clients_know(client: Client):
    response = client.get("/api/command", GOOD, secure=True)
    assert response["Content-Type"] == "text/xml; charset=UTF-8"
    assert response["Cache-Control"] == ("must-revalidate, no-cache, no-store, post-check=0, pre-check=0, private")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Length"] == str(len(response.content))
    assert response["Strict-Transport-Security"].startswith("max-age=")


@pytest.mark.usefixtures("administrator")
class TestWrongCredentials:
    @pytest.mark.parametrize(
        "changed",
        [
            {"password": "wrong"},
            {"password": ""},
            {"username": "nobody"},
            {"username": ""},
            {"username": "robot\0"},
            {"username": "x" * 5000},
            {"password": "x" * 5000},
            {"username": "Ünï\u2028\ud7ff"},
        ],
    )
    def test_are_answered_with_an_error_document(self, client: Client, changed: dict[str, str]):
        assert "Invalid credentials" in error_of(client.get("/api/command", GOOD | changed))

    @pytest.mark.parametrize("missing", ["username", "password"])
    def test_include_missing_ones(self, client: Client, missing: str):
        given = {name: value for name, value in GOOD.items() if name != missing}
        assert "Invalid credentials" in error_of(client.get("/api/command", given))

    def test_include_an_account_that_is_not_active(self, client: Client):
        Account.objects.update(is_active=False)
        assert "Invalid credentials" in error_of(client.get("/api/command", GOOD))

    def test_are_throttled_with_the_same_answer(self, client: Client, settings):
        answers = {error_of(client.get("/api/command", GOOD | {"password": "wrong"})) for _ in range(10)}
        assert len(answers) == 1
        assert error_of(client.get("/api/command", GOOD)) == answers.pop()

    def test_count_together_with_those_of_the_pages(self, client: Client):
        for _ in range(10):
            client.get("/api/command", GOOD | {"password": "wrong"})
        attempt = AccessAttempt.objects.get()
        assert (attempt.username, attempt.failures_since_start) == ("robot", 10)

    def test_are_forgotten_after_good_ones(self, client: Client):
        client.get("/api/command", GOOD | {"password": "wrong"})
        root_of(client.get("/api/command", GOOD))
        assert not AccessAttempt.objects.exists()

    def test_leave_no_password_anywhere(self, client: Client, caplog: pytest.LogCaptureFixture):
        with caplog.at_level(logging.DEBUG):
            client.get("/api/command", GOOD | {"password": "canary-1"})
            client.post("/api/command", GOOD | {"password": "canary-2"})
            client.post("/api/command", urlencode(GOOD | {"password": "canary-3"}), content_type=FORM)
            client.get("/api/command", GOOD | {"password": "canary-4", "action": "unknown"})
        assert "canary" not in caplog.text
        assert "canary" not in str(list(AccessAttempt.objects.values()))


class TestPermission:
    @pytest.mark.parametrize("fields", [{"may_use_command_api": False}, {"is_superuser": False}])
    @pytest.mark.parametrize("action", ["check_health", "get_appliances", "set_failover_role"])
    def test_needs_both_the_box_and_administrator_rights(
        self, client: Client, administrator: Account, fields: dict[str, bool], action: str
    ):
        Account.objects.update(**fields)
        assert "may not use the command API" in error_of(client.get("/api/command", GOOD | {"action": action}))

    def test_is_not_needed_to_ask_what_is_permitted(self, client: Client, administrator: Account):
        Account.objects.update(is_superuser=False)
        root = root_of(client.get("/api/command", GOOD | {"action": "get_api_info"}))
        assert root.find(f"{NAMESPACE}permissions/{NAMESPACE}permission[@name='perm_command']").text == "deny"  # type: ignore[union-attr]

    def test_is_refused_to_all_while_the_xml_api_is_switched_off(self, client: Client, administrator: Account):
        ApiConfiguration.objects.create(enable_xml_api=False)
        assert error_of(client.get("/api/command", GOOD)) == "The XML API is not enabled on this site."


@pytest.mark.usefixtures("administrator")
class TestBadInput:
    @pytest.mark.parametrize("action", ["nonsense", "Check_Health", "\x00", "x" * 10000, "<a>", "../check_health"])
    def test_an_unknown_action(self, client: Client, action: str):
        assert error_of(client.get("/api/command", GOOD | {"action": action})) == "The action is not known."

    @pytest.mark.parametrize("action", [None, ""])
    def test_a_missing_action(self, client: Client, action: str | None):
        given = {name: value for name, value in (GOOD | {"action": action}).items() if value is not None}
        assert error_of(client.get("/api/command", given)) == "The parameter action is missing."

    def test_no_parameters_at_all(self, client: Client):
        assert "Invalid credentials" in error_of(client.get("/api/command?"))

    @pytest.mark.parametrize("name", parameters.KNOWN)
    def test_a_parameter_given_twice(self, client: Client, name: str):
        answer = error_of(client.get(f"/api/command?{urlencode(GOOD)}&{name}=1&{name}=1"))
        assert answer == f"The parameter {name} was given more than once."

    def test_a_parameter_in_the_url_and_in_the_body(self, client: Client):
        answer = error_of(client.post("/api/command?action=check_health", GOOD))
        assert answer == "The parameter action was given more than once."

    def test_a_file_as_parameter(self, client: Client):
        given = {**GOOD, "password": SimpleUploadedFile("password.txt", b"x")}
        assert error_of(client.post("/api/command", given)) == "The parameter password must be a text."

    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            ("application/json", b'{"action": "check_health"}'),
            ("text/plain", b"action=check_health"),
            ("", b"x"),
            ("multipart/form-data", b"x"),
            ("multipart/form-data; boundary=", b"x"),
            ("multipart/form-data; boundary=a", b"--a\r\nContent-Disposition: form-data; name=\xff\r\n\r\nx"),
            ("multipart/form-data; boundary=\xe9", b"x"),
            (f"{FORM}; charset=base64", b"action=check_health"),
            (f"{FORM}; charset=utf-16", b"action=check_health"),
            (f"{FORM}; charset=nonsense", b"\xff\xfe=\xff"),
            (FORM, b"\xff\xfe\x00=&&==&%zz=%"),
            (FORM, b"a=1&" * 10000),
            (FORM, b"x" * 70000),
        ],
    )
    def test_a_body_that_cannot_be_read(self, client: Client, kind: str, body: bytes):
        assert error_of(client.generic("POST", "/api/command", body, content_type=kind))

    @pytest.mark.parametrize("charset", ["base64", "utf-16", "utf-7", "hex", "nonsense"])
    def test_an_odd_encoding_of_a_query(self, client: Client, charset: str):
        root_of(client.get("/api/command", GOOD, content_type=f"{FORM}; charset={charset}"))

    @pytest.mark.parametrize(
        "query", ["%ff%fe=%00", "&&&", "=", "a" * 20000, "action=%ed%a0%80", "&".join("a=1" for _ in range(3000))]
    )
    def test_an_odd_query(self, client: Client, query: str):
        assert error_of(client.generic("GET", "/api/command", QUERY_STRING=query))

    @pytest.mark.parametrize("length", ["x", "-1", "1" * 30])
    def test_a_length_that_is_none(self, client: Client, length: str):
        assert error_of(client.generic("POST", "/api/command", b"", content_type=FORM, CONTENT_LENGTH=length))

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
    def test_another_method(self, client: Client, method: str):
        response = client.generic(method, "/api/command")
        assert response.status_code == 405
        assert ET.fromstring(response.content).text == "Use GET or POST."

    def test_no_page_is_found_with_a_slash_at_the_end(self, client: Client):
        assert client.get("/api/command/", GOOD).status_code == 404


def test_a_change_is_not_made_by_head(client: Client, administrator: Account):
    assert client.head("/api/command", GOOD | {"action": "set_failover_role", "role": "backup"}).status_code == 405
    assert client.head("/api/command", GOOD).status_code == 200


@pytest.mark.usefixtures("administrator")
def test_a_failure_nobody_thought_of_is_an_error_document(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(*_: object) -> ET.Element:
        raise RuntimeError("disk I/O error")

    monkeypatch.setitem(COMMANDS, "fail", Command(fail))
    answer = error_of(client.get("/api/command", GOOD | {"action": "fail"}))
    assert answer == "The command failed for an unexpected reason; the log of the appliance says more."
    assert "disk I/O error" in caplog.text
    assert PASSWORD not in caplog.text
