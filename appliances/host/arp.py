"""Who else answers at an IPv4 address of this network: asked by ARP, without claiming the address (RFC 5227, 2.1.1)."""

from __future__ import annotations

import ipaddress
import socket
import struct
import time
from collections.abc import Collection

ETHERTYPE_ARP = 0x0806
ETHERNET = struct.Struct("!6s6sH")
ARP = struct.Struct("!HHBBH6s4s6s4s")
ETHERNET_HARDWARE, IPV4_PROTOCOL, REQUEST = 1, 0x0800, 1
BROADCAST, NOBODY = b"\xff" * 6, b"\0" * 6
PROBES = 3
PROBE_SECONDS = 0.3  # a machine on the same segment answers within a millisecond; RFC 5227 waits for slow ones


def holder(address: str, interface: str, own_macs: Collection[str], *, wait: float = PROBE_SECONDS) -> str | None:
    """The MAC of another machine that has `address` on the network of `interface`; "" if none answers.

    Takes less than a millisecond where somebody answers, else `PROBES * wait` seconds. `own_macs` are those of this
    machine. None where it cannot be asked: without the right (CAP_NET_RAW), for IPv6, or on an interface without
    hardware addresses or without a link.
    """
    try:
        wanted = ipaddress.IPv4Address(address).packed
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE_ARP)) as wire:
            wire.bind((interface, ETHERTYPE_ARP))
            mac = wire.getsockname()[4]
            if len(mac) != 6 or mac == NOBODY:
                return None
            own = {bytes.fromhex(text.replace(":", "")) for text in own_macs} | {mac}
            for _ in range(PROBES):
                wire.send(_probe(mac, wanted))
                found = _answer(wire, wanted, own, time.monotonic() + wait)
                if found:
                    return found.hex(":")
    except (OSError, ValueError, AttributeError):
        return None
    return ""


def _probe(mac: bytes, wanted: bytes) -> bytes:
    """The question, with no sender address: nobody who reads it learns anything."""
    question = ARP.pack(ETHERNET_HARDWARE, IPV4_PROTOCOL, 6, 4, REQUEST, mac, bytes(4), NOBODY, wanted)
    return ETHERNET.pack(BROADCAST, mac, ETHERTYPE_ARP) + question


def _answer(wire: socket.socket, wanted: bytes, own: set[bytes], until: float) -> bytes | None:
    """The hardware address of the first frame that says to come from `wanted`, and not from this machine."""
    while (left := until - time.monotonic()) > 0:
        wire.settimeout(left)
        try:
            frame = wire.recv(2048)
        except TimeoutError:
            return None
        if len(frame) < ETHERNET.size + ARP.size:
            continue
        _, protocol, _, _, _, sender, address, _, _ = ARP.unpack_from(frame, ETHERNET.size)
        if protocol == IPV4_PROTOCOL and address == wanted and sender not in own:
            return bytes(sender)
    return None
