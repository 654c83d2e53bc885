"""Writes with names: what is done to what exists on this box."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from appliances import certificates, secrets, selectors
from appliances.models import Certificate

SELF_ISSUED = "Self-issued, made at the first start"


def ensure_default_certificate() -> Certificate:
    """There is a default certificate: the one that was there, else a new self-issued one.

    It covers the appliance's host name, the public host name and every address that the web server listens on.
    """
    with transaction.atomic():
        existing = selectors.default_certificate()
        if existing is not None:
            return existing
        made = certificates.make_self_issued(*_names_and_addresses(), now=timezone.now())
        certificate = Certificate(friendly_name=SELF_ISSUED, pem=made.pem.decode(), is_default=True)
        certificate.sealed_key = secrets.seal(made.key, certificate.key_label)
        certificate.save()
        return certificate


def _names_and_addresses() -> tuple[list[str], list[str]]:
    names = [selectors.this_appliance().host_name, selectors.site().host_name, *settings.EXTRA_HOST_NAMES]
    addresses = []
    for entry in settings.LISTEN:
        host = entry.rpartition(":")[0].strip("[]")
        try:
            if not ipaddress.ip_address(host).is_unspecified:
                addresses.append(host)
        except ValueError:
            if host:
                names.append(host)
    return names, addresses


def own_pins() -> list[str]:
    """The pins (64 hex digits) of every public key that this appliance's web server may present."""
    return sorted({certificates.spki_pin(row.pem.encode()) for row in Certificate.objects.all()})
