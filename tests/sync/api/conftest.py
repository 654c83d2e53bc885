"""An account of the command API and a way to ask as clients do."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest
from django.http import HttpResponse
from django.test import Client

from appliances.models import Account
from sync import health
from sync.health import Health

PASSWORD = "correct horse battery & <staple>"
NAMESPACE = "{http://www.bomgar.com/namespaces/API/command}"


@pytest.fixture
def administrator(db: None) -> Account:
    return Account.objects.create_superuser("robot", password=PASSWORD, may_use_command_api=True)


@pytest.fixture
def healthy() -> None:
    health.write(Health(True, health.HEALTHY))


@pytest.fixture
def ask(client: Client, administrator: Account) -> Callable[..., ET.Element]:
    """Ask by GET with good credentials: the root of the answer."""

    def send(action: str, **parameters: str) -> ET.Element:
        given = {"action": action, "username": "robot", "password": PASSWORD} | parameters
        return root_of(client.get("/api/command", given))

    return send


def root_of(response: object) -> ET.Element:
    """The root of an answer, which must be a document with status 200."""
    assert isinstance(response, HttpResponse)
    assert response.status_code == 200
    assert response["Content-Type"] == "text/xml; charset=UTF-8"
    assert response.content.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n\n<')
    return ET.fromstring(response.content)


def error_of(response: object) -> str:
    """The text of an error document."""
    root = root_of(response)
    assert root.tag == f"{NAMESPACE}error"
    return root.text or ""
