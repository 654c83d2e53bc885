"""Certificates as values: make a self-issued one, take the pin of one. Bytes in, bytes out; no database.

A pin is the SHA-256 digest of a certificate's SubjectPublicKeyInfo: it names the key pair, so it stays the same when a
certificate is renewed with the same key.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
from collections.abc import Iterable
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_FOR = dt.timedelta(days=3650)  # nobody renews a self-issued certificate by hand; the peer pins the key
CLOCK_MARGIN = dt.timedelta(days=2)  # a box whose clock is behind must not find its own certificate "not yet valid"
LONGEST_COMMON_NAME = 64


class SelfIssued(NamedTuple):
    """A certificate and its private key, both PEM; the key is not encrypted and must be sealed before it is kept."""

    pem: bytes
    key: bytes


def make_self_issued(host_names: Iterable[str], addresses: Iterable[str], *, now: dt.datetime) -> SelfIssued:
    """A new self-issued certificate (ECDSA P-256) for these names and addresses; the first name is its subject.

    Raises:
        ValueError: no name at all, or an address that is none.
    """
    names = list(dict.fromkeys(host_names))
    if not names:
        raise ValueError("a certificate needs a host name")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:LONGEST_COMMON_NAME])])
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in dict.fromkeys(addresses)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_MARGIN)
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return SelfIssued(
        pem=certificate.public_bytes(Encoding.PEM),
        key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def spki_pin(pem: str | bytes) -> str:
    """The pin of the first certificate in `pem`: 64 hex digits.

    Raises:
        ValueError: no certificate in it.
    """
    return _pin(x509.load_pem_x509_certificate(pem.encode() if isinstance(pem, str) else pem))


def spki_pin_of_der(der: bytes) -> str:
    """The pin of a certificate as a TLS connection shows it: 64 hex digits.

    Raises:
        ValueError: not a certificate.
    """
    return _pin(x509.load_der_x509_certificate(der))


def _pin(certificate: x509.Certificate) -> str:
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()
