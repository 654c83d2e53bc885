"""What the web server presents: the default certificate, its key in memory only.

The private key is never a file: it is unsealed from the database into memory, and given to OpenSSL through an anonymous
memory file. A new default certificate is presented within CERTIFICATE_SECONDS.
"""

from __future__ import annotations

import logging
import os
import ssl
import threading
import time

from django.db import Error

from appliances import secrets, selectors
from appliances.services.certificates import ensure_default_certificate

CERTIFICATE_SECONDS = 5.0  # how long a certificate is presented before the database is asked for a newer one

log = logging.getLogger(__name__)


class DefaultCertificate:
    """The TLS context of the default certificate, made anew when that changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self._certificate_id: object = None
        self._checked_at = -CERTIFICATE_SECONDS

    def context(self) -> ssl.SSLContext:
        """The context to use for a new connection; the last good one while the database cannot be read."""
        with self._lock:
            if self._context is None or time.monotonic() - self._checked_at > CERTIFICATE_SECONDS:
                try:
                    self._refresh()
                except (Error, secrets.SecretUnreadable) as error:
                    if self._context is None:
                        raise
                    why = f"{type(error).__name__}: {error}"[:300]
                    log.warning("certificate not read, the last one stays in use", extra={"why": why})
                self._checked_at = time.monotonic()
            assert self._context is not None
            return self._context

    def expire(self) -> None:
        """The next connection asks the database again."""
        self._checked_at = -CERTIFICATE_SECONDS

    def _refresh(self) -> None:
        certificate = selectors.default_certificate() or ensure_default_certificate()
        if certificate.pk == self._certificate_id and self._context is not None:
            return
        key = secrets.unseal(bytes(certificate.sealed_key), certificate.key_label)
        self._context = make_context(certificate.pem.encode(), key)
        self._certificate_id = certificate.pk


def make_context(pem: bytes, key: bytes) -> ssl.SSLContext:
    """A server context, TLS 1.2 or newer, for this certificate and key; neither touches the disk."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    file = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(file, key + b"\n" + pem)
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
    return context
