"""The pins: SHA-256 digests of the public keys that the web server of an appliance may present."""

from __future__ import annotations

import logging
import re

from django.db import transaction

from appliances.models import FailoverRelationship

MAXIMUM_PINS = 16  # one a certificate; a list without a limit would let the peer fill the row

_PIN = re.compile(r"[0-9a-f]{64}")

log = logging.getLogger(__name__)


def are_pins(pins: list[str]) -> bool:
    """Whether this is a list of pins as an appliance may state it."""
    return 0 < len(pins) <= MAXIMUM_PINS and all(_PIN.fullmatch(pin) for pin in pins)


def learn(pair_id: str, pins: list[str]) -> bool:
    """The peer of this pair stated its pins over the authenticated channel: keep them; True where they changed."""
    if not are_pins(pins):
        return False
    with transaction.atomic():
        row = FailoverRelationship.objects.select_for_update().filter(pk=1, pair_id=pair_id).first()
        if row is None or sorted(row.peer_pins) == sorted(pins):
            return False
        before, row.peer_pins = row.peer_pins, pins
        row.save(update_fields=["peer_pins"])
    log.warning("peer's certificates changed", extra={"before": before, "after": pins})
    return True
