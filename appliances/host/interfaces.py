"""The network interfaces of this machine and their addresses, asked of the kernel over netlink."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

NETLINK_ROUTE = 0
RTM_GETADDR, NLMSG_DONE, NLMSG_ERROR = 22, 3, 2
NLM_F_REQUEST_DUMP = 0x301
IFA_ADDRESS, IFA_LOCAL = 1, 2
HEADER, ADDRESS, ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BBBBI"), struct.Struct("=HH")
ANSWER_SECONDS = 2.0  # the kernel answers at once; the limit only keeps a page from waiting for ever


@dataclass(frozen=True)
class Interface:
    """A network interface with its addresses, each as address/prefix."""

    name: str
    addresses: tuple[str, ...]


def interfaces() -> tuple[Interface, ...]:
    """Every interface in the kernel's order; one without addresses has none. Empty where there is no netlink."""
    try:
        found: dict[int, list[str]] = {index: [] for index, _ in socket.if_nameindex()}
        for index, address in _addresses():
            found.setdefault(index, []).append(address)
        return tuple(Interface(socket.if_indextoname(index), tuple(found[index])) for index in sorted(found))
    except (OSError, AttributeError):
        return ()


def _addresses() -> Iterator[tuple[int, str]]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE) as kernel:
        kernel.settimeout(ANSWER_SECONDS)
        request = ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        kernel.send(HEADER.pack(HEADER.size + len(request), RTM_GETADDR, NLM_F_REQUEST_DUMP, 1, 0) + request)
        while True:
            data = kernel.recv(65536)
            while len(data) >= HEADER.size:
                length, kind, *_ = HEADER.unpack_from(data)
                if kind in (NLMSG_DONE, NLMSG_ERROR) or length < HEADER.size:
                    return
                yield from _one(data[HEADER.size : length])
                data = data[(length + 3) & ~3 :]


def _one(body: bytes) -> Iterator[tuple[int, str]]:
    _, prefix, _, _, index = ADDRESS.unpack_from(body)
    found: dict[int, bytes] = {}
    rest = body[ADDRESS.size :]
    while len(rest) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(rest)
        if length < ATTRIBUTE.size:
            break
        found[kind] = rest[ATTRIBUTE.size : length]
        rest = rest[(length + 3) & ~3 :]
    packed = found.get(IFA_LOCAL) or found.get(IFA_ADDRESS)
    if packed and len(packed) in (4, 16):
        yield index, f"{ipaddress.ip_address(packed)}/{prefix}"
