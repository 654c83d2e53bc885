"""What both sides check before they become a pair, each as a refusal that names the step and the remedy."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from django.conf import settings

from appliances import addresses, selectors
from appliances.choices import EstablishStep, Role, State
from appliances.services.certificates import own_pins
from sync import journal
from sync.errors import EstablishRefused
from sync.peer import identity
from sync.peer.establish_messages import Party
from sync.peer.pins import are_pins

HIGHEST_PORT = 65535


@dataclass(frozen=True)
class Addresses:
    """How the asking appliance reaches the other (`host`), and how the other reaches it (`reverse_host`)."""

    host: str
    port: int
    reverse_host: str
    reverse_port: int


def own_party() -> Party:
    """Who this appliance is and what it runs."""
    appliance = selectors.this_appliance()
    return Party(
        guid=appliance.guid,
        host_name=appliance.host_name,
        site_host_name=selectors.site().host_name,
        product=identity.product_version(),
        build=identity.product_build(),
        schema=identity.schema_digest(),
        pins=own_pins(),
    )


def check_addresses(entered: Addresses) -> Addresses:
    """The addresses in their normal form.

    Raises:
        EstablishRefused: FORM: not a host, a port out of range, a refused range, or the site's shared host name.
    """
    found = []
    for host, field in ((entered.host, "new backup site"), (entered.reverse_host, "reverse connection")):
        try:
            found.append(addresses.normal_host(host))
            _check_literal(found[-1])
        except addresses.AddressRefused as error:
            raise EstablishRefused(
                EstablishStep.FORM,
                f"Host name of the {field}: {error}",
                remedy="Enter the appliance's own host name or IP address.",
            ) from error
    for port in (entered.port, entered.reverse_port):
        if not 1 <= port <= HIGHEST_PORT:
            raise EstablishRefused(
                EstablishStep.FORM, f"{port} is not a TLS port.", remedy="Enter a port from 1 to 65535, usually 443."
            )
    checked = Addresses(found[0], entered.port, found[1], entered.reverse_port)
    check_shared_name(checked, selectors.site().host_name)
    if (checked.host, checked.port) == (checked.reverse_host, checked.reverse_port):
        raise EstablishRefused(
            EstablishStep.FORM,
            "Both connections lead to the same address.",
            remedy="The first is that of the other appliance, the reverse one that of this appliance.",
        )
    return checked


def _check_literal(host: str) -> None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return
    if why := addresses.refusal(address, allow_loopback=settings.ALLOW_LOOPBACK_TARGETS):
        raise addresses.AddressRefused(f"{address} is refused as a target: {why}.")


def check_shared_name(entered: Addresses, site_host_name: str) -> None:
    """Nothing, where neither address is the public name that both appliances share; else EstablishRefused (FORM)."""
    shared = site_host_name.strip().rstrip(".").lower()
    for host, field in ((entered.host, "new backup site"), (entered.reverse_host, "reverse connection")):
        if host == shared:
            raise EstablishRefused(
                EstablishStep.FORM,
                f"“{shared}” is the shared host name of the site; it cannot be used for the {field}.",
                remedy="It leads to whichever appliance is primary. Enter the appliance's own host name or IP address.",
            )


def check_party(party: Party) -> None:
    """Nothing, where the other side is another appliance that runs the same; else EstablishRefused."""
    if party.guid == selectors.this_appliance().guid:
        raise connected_to_myself()
    if not are_pins(party.pins):
        raise EstablishRefused(EstablishStep.IDENTITY, "The other appliance states no usable certificate.")
    own = own_party()
    if (party.product, party.build) != (own.product, own.build):
        raise EstablishRefused(
            EstablishStep.VERSION,
            f"The two appliances run different software: {own.host_name} has {own.build}, "
            f"{party.host_name} has {party.build}.",
            remedy="Install the same product version and build on both.",
        )
    if party.schema != own.schema:
        raise EstablishRefused(
            EstablishStep.VERSION,
            "The databases of the two appliances are of different versions.",
            remedy="Finish the upgrade on both appliances.",
        )


def connected_to_myself() -> EstablishRefused:
    """The refusal where the address leads back to the appliance that asks."""
    return EstablishRefused(
        EstablishStep.IDENTITY,
        "The address leads back to this appliance itself.",
        remedy="Enter the own address of the other appliance, not of this one or of the site.",
    )


def check_may_join(peer_guid: str) -> None:
    """Nothing, where the answering appliance may become the backup of this peer; else EstablishRefused (STATE).

    It may where it is in no relationship, or is still the backup of the same appliance, which establishes anew.
    """
    row, state = selectors.relationship(), journal.read()
    if row is None and state.state == State.NONE:
        return
    if row is not None and row.peer_guid == peer_guid and state.role == Role.BACKUP:
        return
    known = f" with {row.peer_name}" if row else ""
    raise EstablishRefused(
        EstablishStep.STATE,
        f"The other appliance is already in a failover relationship{known}, as {state.role.label}.",
        remedy="Break that relationship on the other appliance first.",
    )
