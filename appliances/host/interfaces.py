"""The network interfaces of this machine, their links and their addresses, asked of the kernel over netlink."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

NETLINK_ROUTE = 0
RTM_NEWLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR = 16, 18, 20, 22
NLMSG_DONE, NLMSG_ERROR = 3, 2
NLM_F_REQUEST_DUMP = 0x301
IFA_ADDRESS, IFA_LOCAL = 1, 2
IFLA_ADDRESS, IFLA_IFNAME = 1, 3
IFF_UP, IFF_LOOPBACK, IFF_LOWER_UP = 0x1, 0x8, 0x10000
# An IPv6 address that is still being checked, or that somebody else turned out to have: the kernel does not use it.
IFA_F_DADFAILED, IFA_F_TENTATIVE = 0x08, 0x40
HEADER, ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=HH")
ADDRESS, LINK = struct.Struct("=BBBBI"), struct.Struct("=BxHiII")
ANSWER_SECONDS = 2.0  # the kernel answers at once; the limit only keeps a page from waiting for ever


@dataclass(frozen=True)
class Interface:
    """A network interface as it is now.

    `mac` is empty where it has none; `has_carrier` tells whether its link is up, `is_up` whether it is switched on.
    `addresses` are those in use, each as address/prefix; `unusable` those that the kernel holds back, because they are
    still being checked or because another machine has them.
    """

    name: str
    mac: str = ""
    is_up: bool = True
    has_carrier: bool = True
    is_loopback: bool = False
    addresses: tuple[str, ...] = ()
    unusable: tuple[str, ...] = ()

    def has(self, address: str) -> bool:
        """Whether it has this address, written in its short form, whatever the prefix."""
        return bool(self.written(address))

    def written(self, address: str) -> str:
        """This address with the prefix that it has here, as address/prefix; "" if it does not have it."""
        return next((own for own in self.addresses if own.partition("/")[0] == address), "")


def interfaces() -> tuple[Interface, ...]:
    """Every interface in the kernel's order; one without addresses has none. Empty where there is no netlink."""
    try:
        links = {index: (flags, found) for index, flags, found in _links()}
        own: dict[int, list[str]] = {index: [] for index in links}
        unusable: dict[int, list[str]] = {index: [] for index in links}
        for index, flags, address in _addresses():
            where = unusable if flags & (IFA_F_DADFAILED | IFA_F_TENTATIVE) else own
            where.setdefault(index, []).append(address)
    except (OSError, AttributeError):
        return ()
    return tuple(
        Interface(
            name=found.get(IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace"),
            mac=found.get(IFLA_ADDRESS, b"").hex(":"),
            is_up=bool(flags & IFF_UP),
            has_carrier=bool(flags & IFF_LOWER_UP),
            is_loopback=bool(flags & IFF_LOOPBACK),
            addresses=tuple(own[index]),
            unusable=tuple(unusable[index]),
        )
        for index, (flags, found) in sorted(links.items())
    )


def _links() -> Iterator[tuple[int, int, dict[int, bytes]]]:
    """Number, flags and attributes of each interface."""
    for body in _dump(RTM_GETLINK, RTM_NEWLINK, LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        _, _, index, flags, _ = LINK.unpack_from(body)
        yield index, flags, _attributes(body[LINK.size :])


def _addresses() -> Iterator[tuple[int, int, str]]:
    """The interface's number, the flags and address/prefix of each address."""
    for body in _dump(RTM_GETADDR, RTM_NEWADDR, ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        _, prefix, flags, _, index = ADDRESS.unpack_from(body)
        found = _attributes(body[ADDRESS.size :])
        packed = found.get(IFA_LOCAL) or found.get(IFA_ADDRESS)
        if packed and len(packed) in (4, 16):
            yield index, flags, f"{ipaddress.ip_address(packed)}/{prefix}"


def _dump(ask: int, answer: int, request: bytes) -> Iterator[bytes]:
    """The body of each message of kind `answer` that the kernel lists for the question `ask`."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE) as kernel:
        kernel.settimeout(ANSWER_SECONDS)
        kernel.send(HEADER.pack(HEADER.size + len(request), ask, NLM_F_REQUEST_DUMP, 1, 0) + request)
        while True:
            data = kernel.recv(1 << 18)
            while len(data) >= HEADER.size:
                length, kind, *_ = HEADER.unpack_from(data)
                if kind in (NLMSG_DONE, NLMSG_ERROR) or length < HEADER.size:
                    return
                if kind == answer:
                    yield data[HEADER.size : length]
                data = data[(length + 3) & ~3 :]


def _attributes(rest: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(rest) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(rest)
        if length < ATTRIBUTE.size:
            break
        found[kind] = rest[ATTRIBUTE.size : length]
        rest = rest[(length + 3) & ~3 :]
    return found
