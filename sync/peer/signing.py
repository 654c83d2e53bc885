"""The signed envelope of every message between the two appliances: the texts, the MACs, and what they are bound to.

Pure: no clock, no database, no socket. `sync/README.md`, Security of the wire, says what each part is for.

The two directions have different keys, so that nothing that one appliance sent can be sent back to it. `a-b` is from
the founding primary to the founding backup, whatever their roles are now.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Protocol, Self

from appliances.services.keys import derive, key_id
from sync.errors import MessageRefused
from sync.peer.frames import Seal
from sync.peer.messages import PROTOCOL

JSON_TYPE = "application/json"
STREAM_TYPE = "application/octet-stream"
STREAM = "stream"
DIRECTIONS = ("a-b", "b-a")
NO_CHALLENGE = "-"
PAIR_ID_BYTES = 16

_HEX32, _HEX64, _NUMBER = r"[0-9a-f]{32}", r"[0-9a-f]{64}", r"-?\d{1,19}"
FIELDS = {
    "Peer-Protocol": re.escape(PROTOCOL),
    "Peer-Direction": "a-b|b-a",
    "Peer-Pair": _HEX32,
    "Peer-From": _HEX32,
    "Peer-To": _HEX32,
    "Peer-Created": r"\d{1,12}\.\d{3}",
    "Peer-Nonce": _HEX32,
    "Peer-Term": _NUMBER,
    "Peer-Role": "none|primary|backup",
    "Peer-Key-Id": "[0-9a-f]{16}",
    "Peer-Challenge": rf"{NO_CHALLENGE}|{_HEX64}",
    "Peer-Body": rf"whole|{STREAM}|{STREAM}:{_HEX64}",
    "Peer-Mac": _HEX64,
}
_PATTERNS = {name: re.compile(pattern, re.ASCII) for name, pattern in FIELDS.items()}


class Headers(Protocol):
    """HTTP header fields, found by name whatever its case."""

    def get(self, name: str, /) -> str | None:
        """The value of a field, or None where it is missing."""
        ...


@dataclass(frozen=True)
class Channel:
    """The two keys of a pair as one side holds them, and who speaks to whom."""

    pair_id: str
    own_guid: str
    peer_guid: str
    direction: str
    key_id: str
    sending_key: bytes
    receiving_key: bytes

    @classmethod
    def of(cls, key: bytes, *, pair_id: str, own_guid: str, peer_guid: str, direction: str) -> Self:
        """The channel of a pair, derived from the inter-appliance key. `direction` is that of what this side sends."""
        salt = bytes.fromhex(pair_id)
        return cls(
            pair_id=pair_id,
            own_guid=own_guid,
            peer_guid=peer_guid,
            direction=direction,
            key_id=key_id(key),
            sending_key=derive(key, f"pair|{direction}", salt=salt),
            receiving_key=derive(key, f"pair|{opposite(direction)}", salt=salt),
        )


@dataclass(frozen=True)
class Envelope:
    """The signed head of a request or a response, as it stands in the HTTP header fields."""

    direction: str
    pair_id: str
    sender: str
    receiver: str
    created: str
    nonce: str
    term: int
    role: str
    key_id: str
    challenge: str
    body: str
    mac: str = ""

    def headers(self) -> dict[str, str]:
        """The HTTP header fields."""
        values = (PROTOCOL, self.direction, self.pair_id, self.sender, self.receiver, self.created, self.nonce)
        more = (str(self.term), self.role, self.key_id, self.challenge, self.body, self.mac)
        return dict(zip(FIELDS, (*values, *more), strict=True))


def opposite(direction: str) -> str:
    """The other direction."""
    return DIRECTIONS[1 - DIRECTIONS.index(direction)]


def pair_id_of(key: bytes, nonce_a: str, nonce_b: str) -> str:
    """The id of the pair that was made with these two nonces (hex digits)."""
    salt = bytes.fromhex(nonce_a) + bytes.fromhex(nonce_b)
    return derive(key, "pair", salt=salt, length=PAIR_ID_BYTES).hex()


def read_envelope(headers: Headers) -> Envelope:
    """The envelope in HTTP header fields (looked up by the names in `FIELDS`).

    Raises:
        MessageRefused: `unsigned` or `bad_header`.
    """
    values = []
    for name, pattern in _PATTERNS.items():
        value = headers.get(name)
        if value is None:
            raise MessageRefused("unsigned", f"The header field {name} is missing.", status=401)
        if not pattern.fullmatch(value):
            raise MessageRefused("bad_header", f"The header field {name} is not acceptable.", status=400)
        values.append(value)
    _, direction, pair_id, sender, receiver, created, nonce, term, role, kid, challenge, body, mac = values
    return Envelope(direction, pair_id, sender, receiver, created, nonce, int(term), role, kid, challenge, body, mac)


@dataclass(frozen=True)
class Signer:
    """Signs what this side sends over a channel, with its term and role of this moment."""

    channel: Channel
    term: int
    role: str

    def request(
        self,
        *,
        method: str,
        target: str,
        content_type: str,
        body: bytes | None,
        created: float,
        nonce: str,
        challenge: str | None = None,
        stream_head: bytes = b"",
    ) -> dict[str, str]:
        """The header fields of a request; `body` is None for a streamed one, whose first frame is `stream_head`."""
        body_field = "whole" if body is not None else f"{STREAM}:{hashlib.sha256(stream_head).hexdigest()}"
        envelope = self._envelope(created, nonce, challenge or NO_CHALLENGE, body_field)
        text = request_text(envelope, method=method, target=target, content_type=content_type, body=body)
        return self._sealed(envelope, text)

    def response(
        self,
        *,
        asked: Envelope,
        method: str,
        target: str,
        content_type: str,
        status: int,
        body: bytes | None,
        created: float,
    ) -> dict[str, str]:
        """The header fields of the response to `asked`; `body` is None for a streamed one."""
        envelope = self._envelope(created, asked.nonce, NO_CHALLENGE, "whole" if body is not None else STREAM)
        text = response_text(
            envelope, method=method, target=target, content_type=content_type, status=status, body=body
        )
        return self._sealed(envelope, text)

    def _envelope(self, created: float, nonce: str, challenge: str, body: str) -> Envelope:
        channel = self.channel
        return Envelope(
            direction=channel.direction,
            pair_id=channel.pair_id,
            sender=channel.own_guid,
            receiver=channel.peer_guid,
            created=f"{created:.3f}",
            nonce=nonce,
            term=self.term,
            role=self.role,
            key_id=channel.key_id,
            challenge=challenge,
            body=body,
        )

    def _sealed(self, envelope: Envelope, text: str) -> dict[str, str]:
        mac = hmac.digest(self.channel.sending_key, text.encode(), "sha256").hex()
        return {**envelope.headers(), "Peer-Mac": mac}


def request_text(envelope: Envelope, *, method: str, target: str, content_type: str, body: bytes | None) -> str:
    """What the MAC of a request is computed over."""
    return _text("request", envelope, method, target, content_type, body, ())


def response_text(
    envelope: Envelope, *, method: str, target: str, content_type: str, status: int, body: bytes | None
) -> str:
    """What the MAC of a response is computed over; its nonce is that of the request."""
    return _text("response", envelope, method, target, content_type, body, (str(status),))


def _text(
    what: str,
    envelope: Envelope,
    method: str,
    target: str,
    content_type: str,
    body: bytes | None,
    more: tuple[str, ...],
) -> str:
    lines = (
        PROTOCOL,
        what,
        envelope.direction,
        envelope.pair_id,
        envelope.sender,
        envelope.receiver,
        method,
        target,
        content_type,
        envelope.body if body is None else hashlib.sha256(body).hexdigest(),
        envelope.created,
        envelope.nonce,
        str(envelope.term),
        envelope.role,
        envelope.key_id,
        envelope.challenge,
        *more,
    )
    if any("\n" in line or "\r" in line for line in lines):
        raise MessageRefused("bad_header", "A field of the head holds a line break.", status=400)
    return "\n".join(lines) + "\n"


def is_genuine(text: str, mac: str, key: bytes) -> bool:
    """Whether the MAC (hex digits) is that of the text, compared in constant time."""
    return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256"), bytes.fromhex(mac))


def check_response(
    channel: Channel,
    headers: Headers,
    *,
    nonce: str,
    method: str,
    target: str,
    content_type: str,
    status: int,
    body: bytes | None,
) -> Envelope:
    """The envelope of a genuine response to the request with this nonce.

    Raises:
        MessageRefused: `unsigned`, `bad_header`, `key_differs`, `bad_mac`, `reflected`, `wrong_appliance` or
            `other_request`.
    """
    envelope = read_envelope(headers)
    if not hmac.compare_digest(envelope.key_id, channel.key_id):
        raise MessageRefused("key_differs", "The peer holds another inter-appliance key.")
    text = response_text(envelope, method=method, target=target, content_type=content_type, status=status, body=body)
    if (envelope.body == STREAM) != (body is None) or not is_genuine(text, envelope.mac, channel.receiving_key):
        raise MessageRefused("bad_mac", "The signature of the answer is wrong.")
    check_parties(channel, envelope)
    if not hmac.compare_digest(envelope.nonce, nonce):
        raise MessageRefused("other_request", "The answer belongs to another request.")
    return envelope


def check_parties(channel: Channel, envelope: Envelope) -> None:
    """Nothing, where the envelope comes from the peer of the channel and is meant for this appliance.

    Raises:
        MessageRefused: `reflected`, `wrong_appliance` or `other_pair`.
    """
    if envelope.direction != opposite(channel.direction) or envelope.sender == channel.own_guid:
        raise MessageRefused("reflected", "The message was sent by this appliance itself.")
    if (envelope.receiver, envelope.sender) != (channel.own_guid, channel.peer_guid):
        raise MessageRefused("wrong_appliance", "The message is not of this pair of appliances.")
    if envelope.pair_id != channel.pair_id:
        raise MessageRefused("other_pair", "The message belongs to another failover relationship.")


def seal_of(key: bytes, kind: str, nonce: str) -> Seal:
    """What closes a stream: `kind` is `request` or `response`."""
    return Seal(key=key, kind=kind, nonce=nonce)
