"""The default certificate of an appliance."""

from __future__ import annotations

import pytest
from cryptography import x509
from pytest_django import Settings

from appliances import secrets, selectors
from appliances.services import certificates as services

pytestmark = pytest.mark.django_db


def test_the_first_start_makes_a_certificate_and_the_second_keeps_it() -> None:
    first = services.ensure_default_certificate()
    assert services.ensure_default_certificate() == first
    assert selectors.default_certificate() == first
    assert len(services.own_pins()) == 1


def test_its_private_key_is_sealed_in_the_database() -> None:
    certificate = services.ensure_default_certificate()
    assert b"PRIVATE KEY" not in bytes(certificate.sealed_key)
    assert b"PRIVATE KEY" in secrets.unseal(bytes(certificate.sealed_key), certificate.key_label)


def test_it_covers_the_addresses_that_the_web_server_listens_on(settings: Settings) -> None:
    settings.LISTEN = ["192.0.2.7:443", "[2001:db8::7]:443", "0.0.0.0:8443", "box.example.com:443"]
    certificate = x509.load_pem_x509_certificate(services.ensure_default_certificate().pem.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7", "2001:db8::7"]
    assert "box.example.com" in names.get_values_for_type(x509.DNSName)


def test_an_appliance_without_a_certificate_has_no_pins() -> None:
    assert services.own_pins() == []
