"""What may be entered on the Failover page, and the reason beside the field."""

from __future__ import annotations

import datetime as dt

import pytest
from pytest_django import Settings

from appliances.models import BackupSettings
from sync.backup_settings import BackupSettingsForm
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


def test_the_interval_is_a_number_and_a_unit() -> None:
    form = BackupSettingsForm({"every": "2", "unit": "hours"}, instance=BackupSettings.load())
    assert form.is_valid()
    saved = form.save()
    assert (saved.data_sync_interval, saved.enable_backup_operations) == (dt.timedelta(hours=2), False)


@pytest.mark.parametrize(("every", "unit"), [("0", "minutes"), ("8", "days"), ("x", "hours"), ("5", "years"), ("", "")])
def test_intervals_that_are_refused(every: str, unit: str) -> None:
    assert not BackupSettingsForm({"every": every, "unit": unit}, instance=BackupSettings.load()).is_valid()


def arming(**fields: str) -> BackupSettingsForm:
    values = {"every": "15", "unit": "minutes", "enable_automatic_failover": "on", "timeout_seconds": "60", **fields}
    return BackupSettingsForm(values, instance=BackupSettings.load())


@pytest.mark.django_db
def test_automatic_failover_is_armed_with_a_test_ip_or_with_the_risk_accepted() -> None:
    bare = arming()
    assert "its own cut line" in bare.errors["connectivity_test_ips"][0]
    assert arming(accept_no_test_ips="on").is_valid()
    watched = arming(connectivity_test_ips="192.0.2.1, 2001:db8::1  192.0.2.1")
    assert watched.is_valid(), watched.errors
    saved = watched.save()
    assert saved.test_ips == ["192.0.2.1", "2001:db8::1"]
    assert saved.primary_timeout.total_seconds() == 60


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("gateway", "not an IP address"),
        ("127.0.0.1", "loopback"),
        ("169.254.1.1", "link-local"),
        ("0.0.0.0", "one machine"),
    ],
)
def test_a_test_ip_that_tells_nothing_is_refused(typed: str, reason: str) -> None:
    assert reason in arming(connectivity_test_ips=typed).errors["connectivity_test_ips"][0]


@pytest.mark.django_db
@pytest.mark.parametrize("seconds", ["9", "86401", "-1", "ten"])
def test_a_timeout_out_of_bounds_is_refused(seconds: str) -> None:
    assert arming(timeout_seconds=seconds, accept_no_test_ips="on").errors["timeout_seconds"]
