"""Self-issued certificates and pins."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from appliances import certificates

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def test_a_self_issued_certificate_names_its_hosts_and_addresses() -> None:
    made = certificates.make_self_issued(["site1.example.com", "support.example.com"], ["127.0.0.1", "::1"], now=NOW)
    certificate = x509.load_pem_x509_certificate(made.pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["site1.example.com", "support.example.com"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_its_validity_begins_before_now_so_that_a_slow_clock_accepts_it() -> None:
    certificate = x509.load_pem_x509_certificate(certificates.make_self_issued(["site1"], [], now=NOW).pem)
    assert certificate.not_valid_before_utc < NOW - dt.timedelta(days=1)
    assert certificate.not_valid_after_utc > NOW + dt.timedelta(days=365)


def test_key_and_certificate_belong_together(tmp_path: Path) -> None:
    made = certificates.make_self_issued(["site1"], [], now=NOW)
    (tmp_path / "both.pem").write_bytes(made.key + made.pem)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "both.pem")


def test_a_certificate_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="host name"):
        certificates.make_self_issued([], ["127.0.0.1"], now=NOW)


def test_the_pin_is_the_same_for_pem_and_der_and_differs_between_keys() -> None:
    one, other = (certificates.make_self_issued(["site1"], [], now=NOW).pem for _ in range(2))
    der = x509.load_pem_x509_certificate(one).public_bytes(Encoding.DER)
    assert certificates.spki_pin(one) == certificates.spki_pin(one.decode()) == certificates.spki_pin_of_der(der)
    assert certificates.spki_pin(one) != certificates.spki_pin(other)
    assert len(certificates.spki_pin(one)) == 64


def test_what_is_no_certificate_is_refused() -> None:
    with pytest.raises(ValueError, match=r"(?i)pem"):
        certificates.spki_pin("nothing")
