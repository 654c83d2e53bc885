"""The ticks of the shared IPs: which addresses of this appliance move with the role."""

from __future__ import annotations

from collections.abc import Collection

from django.core.exceptions import ValidationError
from django.db import transaction

from appliances import shared_ips
from appliances.ip_configuration import UNKNOWN, unique_addresses
from appliances.models import SharedIP


def tick_shared_ips(wanted: Collection[str]) -> tuple[list[str], list[str]]:
    """Exactly the `wanted` addresses are ticked on this appliance; those that were added, and those taken away.

    Raises:
        ValidationError: an address is not offered, or is or may be the one at which the peer reaches this appliance.
    """
    unique = unique_addresses()  # before the transaction: a name server may take its time
    with transaction.atomic():
        offered = {choice.address: choice for choice in shared_ips.choices(unique or ())}
        for address in wanted:
            if address not in offered:
                raise ValidationError(
                    "An address is not listed here any more. Add it in Networking > IP Configuration first."
                )
            if offered[address].is_unique:
                raise ValidationError(
                    f"{address} is the address at which the peer reaches this appliance. It stays here in every role: "
                    "a shared IP has to be another one."
                )
        ticked = {address for address, choice in offered.items() if choice.is_ticked}
        added, removed = sorted(set(wanted) - ticked), sorted(ticked - set(wanted))
        if added and unique is None:
            raise ValidationError(UNKNOWN)
        SharedIP.objects.filter(address__in=removed).delete()
        SharedIP.objects.bulk_create(SharedIP(address=address) for address in added)
    return added, removed
