"""Site, e-mail and API configuration in the console."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.test import Client

from appliances.models import Account, ApiConfiguration, EmailConfiguration, FailoverRelationship, Site
from tests.appliances import smtp

pytestmark = pytest.mark.django_db

SITE = "/login/appliances/site/1/change/"
MAIL = "/login/appliances/emailconfiguration/1/change/"
API = "/login/appliances/apiconfiguration/1/change/"

Callbacks = Callable[..., AbstractContextManager[list[Callable[[], Any]]]]


@pytest.fixture
def administrator(client: Client) -> Client:
    account = Account.objects.create_superuser("root", password="a long enough phrase")
    client.force_login(account, "django.contrib.auth.backends.ModelBackend")
    return client


def mail(**changes: str) -> dict[str, str]:
    return {
        "from_address": "support@example.com",
        "relay_host": "smtp.example.com",
        "relay_port": "587",
        "encryption": "starttls",
        "username": "support",
        "admin_contacts": "a@example.com",
        "new_password": "",
    } | changes


def test_the_site_is_saved_and_the_form_stays_open(administrator: Client):
    answer = administrator.post(
        SITE, {"host_name": "Help.Example.org.", "name": "Help", "portal_text": "Hi"}, follow=True
    )
    assert answer.request["PATH_INFO"] == SITE
    assert "Site configuration saved." in answer.content.decode()
    assert Site.load().host_name == "help.example.org"


@pytest.mark.parametrize(
    "name",
    ["", "-a.example", "a..b", "a b", "http://x", "1.2.3.4", "::1", "x" * 64, "ünicode.example", "a_b", "a/b", "\0"],
)
def test_what_is_no_host_name_is_refused(administrator: Client, name: str):
    answer = administrator.post(SITE, {"host_name": name, "name": "Help", "portal_text": ""})
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors["host_name"]
    assert Site.load().host_name == "support.example.com"


@pytest.mark.parametrize("name", ["site1.example.com", "site2.example.com", "SITE2.example.com"])
def test_the_own_name_of_an_appliance_is_not_the_public_one(administrator: Client, name: str):
    FailoverRelationship.objects.create(
        peer_name="site2.example.com",
        peer_host="10.0.0.2",
        peer_port=443,
        reverse_host="10.0.0.1",
        reverse_port=443,
        is_founding_primary=True,
    )
    answer = administrator.post(SITE, {"host_name": name, "name": "Help", "portal_text": ""})
    assert b"own name of one appliance" in answer.content


def test_the_password_goes_in_and_never_comes_out(administrator: Client):
    administrator.post(MAIL, mail(new_password="geheim & lang"))
    assert EmailConfiguration.load().password == "geheim & lang"
    page = administrator.get(MAIL).content.decode()
    assert "geheim" not in page
    assert "A password is set." in page


def test_left_empty_the_password_stays_until_it_is_removed(administrator: Client):
    administrator.post(MAIL, mail(new_password="geheim"))
    administrator.post(MAIL, mail(username="other"))
    assert EmailConfiguration.load().password == "geheim"
    administrator.post(MAIL, mail(remove_password="on"))
    assert EmailConfiguration.load().password == ""
    page = administrator.get(MAIL).content.decode()
    assert "No password is set." in page
    assert "leave this empty to keep it" not in page, "there is none to keep"
    assert re.search(r'<input[^>]+name="remove_password"[^>]+disabled', page), "there is none to remove"


def test_setting_and_removing_the_password_at_once_is_refused(administrator: Client):
    administrator.post(MAIL, mail(new_password="geheim"))
    answer = administrator.post(MAIL, mail(new_password="x", remove_password="on"))
    assert b"Either type a new password or remove the present one." in answer.content


def test_contacts_are_separate_addresses_each_once(administrator: Client):
    administrator.post(MAIL, mail(admin_contacts=" a@example.com, b@example.com\ta@example.com "))
    assert EmailConfiguration.load().recipients == ["a@example.com", "b@example.com"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("admin_contacts", "a@example.com nobody"),
        ("admin_contacts", "x" * 3000),
        ("relay_host", "smtp example"),
        ("relay_host", "user@smtp.example.com"),
        ("relay_port", "0"),
        ("relay_port", "65536"),
        ("relay_port", "x"),
        ("relay_port", "99999999999999999999"),
        ("encryption", "rot13"),
        ("from_address", "nobody"),
        ("from_address", "a@example.com\r\nBcc: x@example.com"),
        ("new_password", "x" * 201),
    ],
)
def test_bad_values_are_named_at_their_field(administrator: Client, field: str, value: str):
    answer = administrator.post(MAIL, mail(**{field: value}))
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors[field]


def test_a_port_that_is_none_is_told_what_a_port_is(administrator: Client):
    answer = administrator.post(MAIL, mail(relay_port="65536"))
    assert answer.context["adminform"].form.errors["relay_port"] == ["A port is a whole number from 1 to 65535."]


def test_a_relay_may_be_an_address(administrator: Client):
    for typed, kept in (("10.0.0.25", "10.0.0.25"), ("2001:DB8::25", "2001:db8::25"), ("", "")):
        administrator.post(MAIL, mail(relay_host=typed))
        assert EmailConfiguration.load().relay_host == kept


@pytest.mark.django_db(transaction=True)  # it is sent once what was typed is committed
def test_a_test_mail_is_sent_by_what_was_just_typed(administrator: Client, settings):
    settings.ALLOW_LOOPBACK_TARGETS = True
    with smtp.running() as (mailbox, port):
        typed = mail(relay_host="127.0.0.1", relay_port=str(port), encryption="none", username="", _test="")
        administrator.post(MAIL, typed)
    assert [message["Subject"] for message in mailbox.mails] == ["[site1.example.com] Test mail"]
    shown = administrator.get(MAIL).content.decode()
    assert "Email configuration saved." in shown
    assert "The mail server took a test mail to a@example.com." in shown


@pytest.mark.django_db(transaction=True)
def test_why_a_test_mail_was_not_sent_is_told(administrator: Client, settings):
    settings.ALLOW_LOOPBACK_TARGETS = True
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    administrator.post(MAIL, mail(relay_host="127.0.0.1", relay_port=port, _test=""))
    shown = administrator.get(MAIL).content.decode()
    assert f"The test mail was not sent. 127.0.0.1:{port} did not take the mail: Connection refused" in shown


def test_saving_alone_sends_no_mail(administrator: Client, django_capture_on_commit_callbacks: Callbacks):
    with django_capture_on_commit_callbacks() as callbacks:
        administrator.post(MAIL, mail())
    assert callbacks == []


def test_the_xml_api_is_switched(administrator: Client):
    administrator.post(API, {})
    assert not ApiConfiguration.load().enable_xml_api
    administrator.post(API, {"enable_xml_api": "on"})
    assert ApiConfiguration.load().enable_xml_api
