"""What may be entered on the Failover page, and the reason beside the field."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from sync.forms import EstablishForm

pytestmark = pytest.mark.django_db
GOOD = {"peer_host": "10.0.4.12", "peer_port": "443", "reverse_host": "site1.example.com", "reverse_port": "443"}


@pytest.mark.parametrize(
    "host", ["10.0.4.12", "site2", "SITE2.example.com.", "[fd00::2]", "fd00::2", "xn--mller-kva.de"]
)
def test_hosts_that_are_usable(host: str) -> None:
    assert EstablishForm({**GOOD, "peer_host": host}).errors == {}


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("", "required"),
        ("https://site2", "without https://"),
        ("site2:443", "port belongs"),
        ("support.example.com", "shared host name"),
        ("SUPPORT.example.com.", "shared host name"),
        ("10.0.4", "neither"),
        ("-bad-.example", "neither"),
        ("a b", "neither"),
        ("x" * 300, "at most"),
        ("\x00", "Null"),
        ("..", "neither"),
    ],
)
def test_hosts_that_are_refused_with_a_reason(host: str, reason: str) -> None:
    assert reason in str(EstablishForm({**GOOD, "peer_host": host}).errors["peer_host"])


@pytest.mark.parametrize("port", ["0", "65536", "-1", "x", ""])
def test_ports_that_are_refused(port: str) -> None:
    assert "peer_port" in EstablishForm({**GOOD, "peer_port": port}).errors


@pytest.mark.parametrize("port", ["0", "70000", "x"])
def test_a_port_that_is_none_is_told_what_a_port_is(port: str) -> None:
    assert EstablishForm({**GOOD, "peer_port": port}).errors["peer_port"] == [
        "A TLS port is a whole number from 1 to 65535."
    ]


def test_the_own_address_in_both_groups_is_told_beside_the_first(settings: Settings) -> None:
    settings.LISTEN = ["10.0.4.11:443"]
    errors = EstablishForm({**GOOD, "peer_host": "10.0.4.11", "reverse_host": "10.0.4.11"}).errors
    assert list(errors) == ["peer_host"]
    assert "address of this appliance itself" in str(errors["peer_host"])


def test_the_address_of_the_peer_in_both_groups_is_told_beside_the_second(settings: Settings) -> None:
    settings.LISTEN = ["10.0.4.11:443"]
    errors = EstablishForm({**GOOD, "peer_host": "10.0.4.12", "reverse_host": "10.0.4.12"}).errors
    assert list(errors) == ["reverse_host"]
    assert errors["reverse_host"] == ["This is the other appliance's address. Enter that of this appliance."]
