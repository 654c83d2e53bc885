"""Which addresses this appliance may connect to, and the one place where names are looked up for it.

A name is looked up once and the connection goes to the address that was judged, so that a name which changes in
between leads nowhere else. Private ranges (RFC 1918, ULA) are allowed: appliances live there.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from dataclasses import dataclass

from django.conf import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LOOKUP_SECONDS = 3.0
MAXIMUM_NAME = 253

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*", re.IGNORECASE)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_IPV4_COMPATIBLE = ipaddress.ip_network("::/96")
_SITE_LOCAL = ipaddress.ip_network("fec0::/10")


class AddressRefused(Exception):
    """This appliance does not connect there; the text says why."""


class NameUnknown(Exception):
    """The name leads to no address."""


@dataclass(frozen=True)
class Target:
    """An address that was judged, ready for a socket."""

    family: socket.AddressFamily
    address: str
    port: int


def normal_host(text: str) -> str:
    """A host as it is kept and compared: lower case, no final dot, no brackets, IP addresses in their short form.

    Raises:
        AddressRefused: neither a host name nor an IP address.
    """
    host = text.strip().rstrip(".").lower()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    labels = host.split(".")
    if not host or len(host) > MAXIMUM_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise AddressRefused(f"“{text}” is neither a host name nor an IP address.")
    if _NUMBER.fullmatch(labels[-1]):
        raise AddressRefused(f"“{text}” is written like an IP address, but is none.")
    return host


def refusal(address: Address, *, allow_loopback: bool) -> str | None:
    """Why this appliance does not connect to an address, or None where it may."""
    address = _meant(address)
    if address.is_unspecified or address in _THIS_NETWORK:
        return "it is not the address of one machine"
    if address.is_loopback:
        return None if allow_loopback else "it is a loopback address: it leads back to this machine"
    if address.is_link_local or address in _SITE_LOCAL:
        return "it is a link-local address"
    if address.is_multicast:
        return "it is a multicast address"
    if address.is_reserved or address in _IPV4_COMPATIBLE:
        return "it is in a reserved range"
    return None


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 address carries, where it carries one."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None) or address
    return address


def resolve(
    host: str, port: int, *, allow_loopback: bool | None = None, seconds: float = LOOKUP_SECONDS
) -> list[Target]:
    """The addresses of a host that may be connected to, in the order in which to try them.

    Raises:
        AddressRefused: not a host, or every address of it is in a refused range.
        NameUnknown: the name leads to no address.
        TimeoutError: the name servers did not answer in time.
    """
    name = normal_host(host)
    allowed = settings.ALLOW_LOOPBACK_TARGETS if allow_loopback is None else allow_loopback
    targets, refused = [], ""
    for address in _look_up(name, seconds):
        why = refusal(address, allow_loopback=allowed)
        if why:
            refused = refused or f"{address} is refused as a target: {why}."
            continue
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        targets.append(Target(family, str(address), port))
    if not targets:
        raise AddressRefused(refused)
    return targets


def _look_up(name: str, seconds: float) -> list[Address]:
    """Every address of a name; one literal address stands for itself. The system's resolver knows no time limit."""
    try:
        return [ipaddress.ip_address(name)]
    except ValueError:
        pass
    found: list[Address] = []
    errors: list[Exception] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            found.extend(ipaddress.ip_address(answer[4][0]) for answer in answers)
        except (OSError, ValueError) as error:
            errors.append(error)

    thread = threading.Thread(target=ask, name="name-lookup", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"The name servers did not answer for “{name}” within {seconds:g} s.")
    if errors or not found:
        raise NameUnknown(f"The name “{name}” leads to no address.") from (errors[0] if errors else None)
    return list(dict.fromkeys(found))
