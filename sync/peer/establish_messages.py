"""The messages that establish a relationship, and their signatures: no pair exists yet, so no pair keys do.

Each is bound to the nonces and to the public key that the asking side saw on the TLS connection it is sent over, so
that nobody can stand between the two appliances (`sync/README.md`, Security of the wire).
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
from typing import ClassVar

from appliances.services.keys import derive
from sync.peer.messages import Message, render

VERSIONS = ["peer-v1"]
MAC_FIELD = "Peer-Mac"
KEY_ID_FIELD = "Peer-Key-Id"
FORWARD, BACKWARD = "i>r", "r>i"  # from the initiator to the responder, and back


@dataclasses.dataclass(frozen=True)
class Party:
    """Who an appliance is and what it runs."""

    guid: str
    host_name: str
    site_host_name: str
    product: str
    build: str
    schema: str
    pins: list[str]


@dataclasses.dataclass(frozen=True)
class Hello(Message):
    """A to B: let us be a pair. `host` and `port` are how A reaches B, the reverse ones how B shall reach A."""

    path: ClassVar[str] = "hello"
    versions: list[str]
    nonce: str
    party: Party
    host: str
    port: int
    reverse_host: str
    reverse_port: int
    seen_pin: str


@dataclasses.dataclass(frozen=True)
class HelloReply(Message):
    """B to A, after it has called A back: agreed."""

    version: str
    nonce: str
    party: Party


@dataclasses.dataclass(frozen=True)
class CallBack(Message):
    """B to A over the reverse address, while A waits for the reply to its hello: did you say hello? Prove it."""

    path: ClassVar[str] = "call-back"
    hello_nonce: str
    nonce: str
    guid: str
    seen_pin: str


@dataclasses.dataclass(frozen=True)
class CallBackReply(Message):
    """A to B: yes, it is."""

    nonce: str
    guid: str


@dataclasses.dataclass(frozen=True)
class Confirm(Message):
    """A to B, the first message with the keys of the pair: make it durable, then I shall.

    `hello` is the one that B agreed to with `nonce`.
    """

    path: ClassVar[str] = "confirm"
    may_repeat: ClassVar[bool] = True
    hello: Hello
    nonce: str


@dataclasses.dataclass(frozen=True)
class Received:
    """A message of this handshake as it came in: the body and the header fields that are to prove it."""

    body: bytes
    key_id: str
    mac: str


def mac(key: bytes, way: str, kind: str, bound: tuple[str, ...], body: bytes) -> str:
    """The MAC (hex digits) of a message of this handshake; `bound` is what it is tied to beside its body."""
    text = "\n".join(("peer-v1", "establish", way, kind, *bound, hashlib.sha256(body).hexdigest())) + "\n"
    return hmac.digest(derive(key, f"establish|{way}"), text.encode(), "sha256").hex()


def is_genuine(stated: str, computed: str) -> bool:
    """Whether a stated MAC is the computed one, compared in constant time."""
    return hmac.compare_digest(stated.encode(), computed.encode())


def agreement(hello: Hello, nonce: str) -> str:
    """What B remembers of its agreement, as a challenge: the hello and the nonce that it answered with."""
    return hashlib.sha256(render(hello) + nonce.encode()).hexdigest()
