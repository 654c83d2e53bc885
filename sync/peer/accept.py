"""Accept or refuse a message from outside: the checks of the answering side, in their order.

    header fields -> key id -> MAC -> parties and direction -> freshness or challenge -> nonce

The nonce is spent last, so that a forged message cannot burn one.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from django.utils import timezone

from appliances import selectors
from appliances.models import FailoverRelationship
from appliances.services.keys import inter_appliance_secret, key_id
from sync import journal
from sync.errors import MessageRefused
from sync.models import PeerView
from sync.peer import nonces, signing
from sync.peer.signing import NO_CHALLENGE, STREAM, Channel, Envelope, Headers, Signer

FRESH_SECONDS = 300.0


class ClockRefused(MessageRefused):
    """The time of the message is too far from the time here; it is accepted with this challenge."""

    def __init__(self, challenge: str) -> None:
        super().__init__("clock", "The clocks of the two appliances differ too much.", status=401)
        self.challenge = challenge


@dataclass(frozen=True)
class Request:
    """What arrived: everything that the signature is bound to. `body` is None for a streamed one."""

    headers: Headers
    method: str
    target: str
    content_type: str
    body: bytes | None


@dataclass(frozen=True)
class Sender:
    """A sender who has proved to hold the inter-appliance key; `channel` is that of the pair it claims."""

    channel: Channel
    envelope: Envelope
    key: bytes

    def signer(self) -> Signer:
        """Signs the answer, with the term and role of this moment."""
        state = journal.read()
        return Signer(self.channel, term=state.term, role=state.role.value)


def prove(request: Request) -> Sender:
    """The sender of a genuine message: it holds the key, and the message is meant for this appliance.

    Raises:
        MessageRefused: `unsigned`, `bad_header`, `no_key`, `key_differs` or `bad_mac`. Who sent it is unknown then.
    """
    envelope = signing.read_envelope(request.headers)
    key = inter_appliance_secret()
    if key is None:
        raise MessageRefused("no_key", "The peer has no inter-appliance key.")
    if not hmac.compare_digest(envelope.key_id, key_id(key)):
        raise MessageRefused("key_differs", "The two appliances hold different inter-appliance keys.")
    channel = Channel.of(
        key,
        pair_id=envelope.pair_id,
        own_guid=selectors.this_appliance().guid,
        peer_guid=envelope.sender,
        direction=signing.opposite(envelope.direction),
    )
    text = signing.request_text(
        envelope,
        method=request.method,
        target=request.target,
        content_type=request.content_type,
        body=request.body,
    )
    is_stream = envelope.body.startswith(STREAM)
    if is_stream != (request.body is None) or not signing.is_genuine(text, envelope.mac, channel.receiving_key):
        raise MessageRefused("bad_mac", "The signature of the message is wrong.")
    return Sender(channel, envelope, key)


def check_pair(sender: Sender) -> FailoverRelationship:
    """The relationship that the message belongs to.

    Raises:
        MessageRefused: `no_relationship`, `reflected`, `wrong_appliance` or `other_pair`.
    """
    row = selectors.relationship()
    if row is None:
        raise MessageRefused("no_relationship", "The peer is in no failover relationship.", status=409)
    if row.pair_id != sender.envelope.pair_id:
        raise MessageRefused("other_pair", "The peer is in another failover relationship.", status=409)
    signing.check_parties(channel_of(row, sender.key), sender.envelope)
    return row


def check_receiver(sender: Sender) -> None:
    """Nothing, where the message is meant for this appliance and comes from another one.

    Raises:
        MessageRefused: `reflected` or `wrong_appliance`.
    """
    signing.check_parties(sender.channel, sender.envelope)


def check_freshness(sender: Sender, *, needs_challenge: bool) -> None:
    """Nothing, where the message is accepted for the first time and is fresh or uses a challenge of this appliance.

    Raises:
        ClockRefused: its time is too far away; it may be repeated with the challenge in the error.
        MessageRefused: `challenge_needed`, `bad_challenge` or `replayed`.
    """
    envelope = sender.envelope
    if envelope.challenge != NO_CHALLENGE:
        if not nonces.spend_challenge(envelope.challenge):
            raise MessageRefused("bad_challenge", "The challenge is unknown, used or too old.", status=401)
    elif needs_challenge:
        raise MessageRefused("challenge_needed", "This message needs a challenge.", status=401)
    elif abs(float(envelope.created) - timezone.now().timestamp() - clock_offset()) > FRESH_SECONDS:
        raise ClockRefused(nonces.give_challenge())
    if not nonces.spend_nonce(envelope.nonce):
        raise MessageRefused("replayed", "The message was received before.", status=409)


def channel_of(row: FailoverRelationship, key: bytes) -> Channel:
    """The channel of the relationship as this appliance holds it."""
    return Channel.of(
        key,
        pair_id=row.pair_id,
        own_guid=selectors.this_appliance().guid,
        peer_guid=row.peer_guid,
        direction=signing.DIRECTIONS[0] if row.is_founding_primary else signing.DIRECTIONS[1],
    )


def clock_offset() -> float:
    """How many seconds the peer's clock was ahead of this one when it last answered STATUS; 0 where unknown."""
    view = PeerView.objects.filter(pk=1).first()
    clock = view.status.get("clock") if view else None
    if view is None or view.answered_at is None or not isinstance(clock, int | float):
        return 0.0
    return float(clock) - view.answered_at.timestamp()
