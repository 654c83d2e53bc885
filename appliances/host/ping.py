"""Does an address answer? By ICMP where this user may, else by TCP; the answer says which.

A refused TCP connection is an answer: somebody lives there.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

TCP_PORTS = (443, 80, 53, 22)  # what a gateway, a name server or a server nearly always has, or refuses at once
ICMP_ECHO, ICMP_ECHO_REPLY = 8, 0
ICMP6_ECHO, ICMP6_ECHO_REPLY = 128, 129
MOST_AT_ONCE = 8


@dataclass(frozen=True)
class Answer:
    """What became of asking one address: `how` is `ICMP`, or the TCP port that answered; empty if nothing did."""

    address: str
    answered: bool
    how: str


def ask_all(addresses: Iterable[str], *, seconds: float) -> list[Answer]:
    """Ask every address, beside each other, each for at most `seconds`."""
    wanted = list(addresses)
    if not wanted:
        return []
    with ThreadPoolExecutor(max_workers=min(len(wanted), MOST_AT_ONCE)) as pool:
        return list(pool.map(lambda address: ask(address, seconds=seconds), wanted))


def ask(address: str, *, seconds: float) -> Answer:
    """Ask one IP address for at most `seconds`."""
    try:
        is_answered = _icmp(address, seconds)
    except PermissionError:
        return _tcp(address, seconds)
    except OSError:
        is_answered = False
    return Answer(address, is_answered, "ICMP" if is_answered else "")


def _icmp(address: str, seconds: float) -> bool:
    """One echo request.

    Raises:
        PermissionError: this user may open neither an unprivileged nor a raw ICMP socket.
    """
    is_v6 = ipaddress.ip_address(address).version == 6
    family = socket.AF_INET6 if is_v6 else socket.AF_INET
    protocol = socket.getprotobyname("ipv6-icmp") if is_v6 else socket.IPPROTO_ICMP
    with _icmp_socket(family, protocol) as asking:
        asking.settimeout(seconds)
        asking.connect((address, 0))
        token = os.urandom(16)
        head = struct.pack("!BBHHH", ICMP6_ECHO if is_v6 else ICMP_ECHO, 0, 0, os.getpid() & 0xFFFF, 1)
        checksum = 0 if is_v6 else _checksum(head + token)
        asking.send(head[:2] + struct.pack("!H", checksum) + head[4:] + token)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            asking.settimeout(left)
            answer = asking.recv(2048)
            if token in answer and answer.find(bytes([ICMP6_ECHO_REPLY if is_v6 else ICMP_ECHO_REPLY, 0])) >= 0:
                return True
    return False


def _icmp_socket(family: int, protocol: int) -> socket.socket:
    try:
        return socket.socket(family, socket.SOCK_DGRAM, protocol)
    except PermissionError:
        return socket.socket(family, socket.SOCK_RAW, protocol)


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def _tcp(address: str, seconds: float) -> Answer:
    """Whether any of a few ports answers or refuses."""
    for port in TCP_PORTS:
        try:
            with socket.create_connection((address, port), timeout=seconds / len(TCP_PORTS)):
                return Answer(address, True, f"TCP {port}")
        except ConnectionRefusedError:
            return Answer(address, True, f"TCP {port} (refused)")
        except OSError:
            continue
    return Answer(address, False, "")
