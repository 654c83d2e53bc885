"""What the web server presents, with real handshakes."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from appliances import certificates, secrets
from appliances.models import Certificate
from appliances.services.certificates import ensure_default_certificate
from failover_site import tls

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    left.settimeout(5)
    right.settimeout(5)
    with closing(left), closing(right):
        yield left, right


def presented_pin(server: ssl.SSLContext, pair: tuple[socket.socket, socket.socket], **versions: ssl.TLSVersion) -> str:
    """The pin of what `server` presents to a client that allows these versions."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    for name, version in versions.items():
        setattr(client, name, version)

    def serve() -> None:
        try:
            server.wrap_socket(pair[0], server_side=True, suppress_ragged_eofs=True).close()
        except OSError:
            pair[0].close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(pair[1]) as connection:
            der = connection.getpeercert(binary_form=True)
            assert der
            return certificates.spki_pin_of_der(der)
    finally:
        thread.join(5)


def test_the_certificate_is_presented_from_memory(pair: tuple[socket.socket, socket.socket]) -> None:
    made = certificates.make_self_issued(["site1.example.com"], [], now=NOW)
    assert presented_pin(tls.make_context(made.pem, made.key), pair) == certificates.spki_pin(made.pem)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
def test_versions_before_1_2_are_refused(pair: tuple[socket.socket, socket.socket]) -> None:
    made = certificates.make_self_issued(["site1.example.com"], [], now=NOW)
    context = tls.make_context(made.pem, made.key)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    with pytest.raises(OSError):  # noqa: PT011  (OpenSSL's words differ between its versions)
        presented_pin(context, pair, maximum_version=ssl.TLSVersion.TLSv1_1)


@pytest.mark.django_db
def test_the_context_is_kept_until_the_default_certificate_changes() -> None:
    ensure_default_certificate()
    presented = tls.DefaultCertificate()
    first = presented.context()
    assert presented.context() is first

    made = certificates.make_self_issued(["new.example.com"], [], now=NOW)
    newer = Certificate(friendly_name="new", pem=made.pem.decode(), is_default=True)
    newer.sealed_key = secrets.seal(made.key, newer.key_label)
    newer.save()
    presented.expire()
    assert presented.context() is not first


@pytest.mark.django_db
def test_a_certificate_that_cannot_be_opened_leaves_the_last_good_one_in_use(caplog: pytest.LogCaptureFixture) -> None:
    certificate = ensure_default_certificate()
    presented = tls.DefaultCertificate()
    first = presented.context()
    broken = Certificate(friendly_name="broken", pem=certificate.pem, sealed_key=b"\x01" + bytes(60), is_default=True)
    broken.save()
    presented.expire()
    assert presented.context() is first
    assert "stays in use" in caplog.text
