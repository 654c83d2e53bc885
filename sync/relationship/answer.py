"""Establish: the side that is asked. It becomes the backup."""

from __future__ import annotations

import datetime as dt
import http
import logging
import os

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from appliances import selectors
from appliances.choices import EstablishStep
from appliances.models import FailoverRelationship
from appliances.services.certificates import own_pins
from appliances.services.keys import inter_appliance_secret, key_id
from sync import act, journal
from sync.errors import EstablishRefused, MessageRefused, PeerError, PeerMisbehaved
from sync.models import Nonce
from sync.peer import establish_messages as em
from sync.peer import nonces
from sync.peer.accept import Sender
from sync.peer.connection import PinnedConnection, TimeLimits
from sync.peer.messages import Done, Refusal, parse, render
from sync.peer.signing import pair_id_of
from sync.relationship.ask import post
from sync.relationship.checks import (
    Addresses,
    check_addresses,
    check_may_join,
    check_party,
    connected_to_myself,
    own_party,
)
from sync.relationship.leave import leave
from sync.rules.events import Establish
from sync.rules.facts import header_of

FAILED_TRIES = 5  # with a wrong key, from one source within a minute; then one a minute
TRY_LIFE = dt.timedelta(minutes=10)
TRY_WINDOW = dt.timedelta(minutes=1)

log = logging.getLogger(__name__)


def answer_hello(received: em.Received, source: str) -> tuple[int, bytes, str]:
    """Status, body and MAC of the answer to a hello; the appliance that sent it has been called back then.

    Raises:
        MessageRefused: `no_key`, `key_differs`, `bad_mac`, `slow_down` or `replayed`: nothing was proved.
    """
    if not _may_try(source):
        raise MessageRefused(
            "slow_down", "Too many attempts with a wrong key. One attempt a minute is accepted now.", status=429
        )
    try:
        key = _proved_key(received, em.FORWARD, "hello")
    except MessageRefused:
        _note_failed_try(source)
        raise
    hello = parse(em.Hello, received.body)
    if not nonces.is_nonce(hello.nonce) or not nonces.spend_nonce(f"h{hello.nonce}"):
        raise MessageRefused("replayed", "The message was received before.", status=409)
    try:
        _check_hello(hello)
        nonce = _call_back(key, hello)
    except EstablishRefused as error:
        status, body = error.http_status, render(_refusal(error))
        log.warning("hello refused", extra={"step": error.step.value, "source": source, "why": error.message})
    else:
        nonces.remember_challenge(em.agreement(hello, nonce))
        status, body = http.HTTPStatus.OK.value, render(em.HelloReply(em.VERSIONS[0], nonce, own_party()))
    bound = (hello.nonce, hello.seen_pin, str(status))
    return status, body, em.mac(key, em.BACKWARD, "hello-reply", bound, body)


def answer_call_back(received: em.Received) -> tuple[int, bytes, str]:
    """Status, body and MAC of the answer to a call back: yes, this appliance has just said hello.

    Raises:
        MessageRefused: it has not, or the caller proves nothing.
    """
    key = _proved_key(received, em.BACKWARD, "call-back")
    message = parse(em.CallBack, received.body)
    if message.seen_pin not in own_pins():
        raise MessageRefused("other_certificate", "The certificate seen is none of this appliance's.")
    if message.guid == selectors.this_appliance().guid:
        raise MessageRefused("reflected", "The message was sent by this appliance itself.")
    if not nonces.spend_challenge(message.hello_nonce):
        raise MessageRefused("unknown_hello", "This appliance has not said hello just now.", status=409)
    body = render(em.CallBackReply(message.nonce, selectors.this_appliance().guid))
    return http.HTTPStatus.OK.value, body, em.mac(key, em.FORWARD, "call-back-reply", (message.nonce,), body)


def answer_confirm(message: em.Confirm, sender: Sender) -> Done:
    """The relationship is durable here: this appliance is the backup, and knows it unconfirmed until the peer speaks.

    Raises:
        MessageRefused: nothing was agreed with this sender within the last minute.
        EstablishRefused: the state of this appliance has changed since.
    """
    hello = message.hello
    if not (nonces.is_nonce(hello.nonce) and nonces.is_nonce(message.nonce)):
        raise MessageRefused("not_agreed", "Nothing was agreed with this appliance just now.", status=409)
    pair_id = pair_id_of(sender.key, hello.nonce, message.nonce)
    if (pair_id, hello.party.guid) != (sender.channel.pair_id, sender.channel.peer_guid):
        raise MessageRefused("wrong_appliance", "The agreement was made with another appliance.")
    row = selectors.relationship()
    if row is not None and row.pair_id == pair_id:
        return Done(header_of(journal.read()))
    if not nonces.spend_challenge(em.agreement(hello, message.nonce)):
        raise MessageRefused("not_agreed", "Nothing was agreed with this appliance just now.", status=409)
    with transaction.atomic():
        check_may_join(hello.party.guid)
        row = selectors.relationship()
        if row is not None:
            leave(row.pair_id, "The same peer establishes the relationship anew.")
        FailoverRelationship.objects.create(
            pk=1,
            pair_id=pair_id,
            peer_guid=hello.party.guid,
            peer_name=hello.party.host_name,
            peer_host=hello.reverse_host,
            peer_port=hello.reverse_port,
            reverse_host=hello.host,
            reverse_port=hello.port,
            peer_pins=hello.party.pins,
            is_founding_primary=False,
            is_confirmed=False,
        )
        outcome = act.deliver(Establish(parity=1), evidence={"peer_name": hello.party.host_name})
        if outcome.is_refused:
            raise EstablishRefused(EstablishStep.STATE, outcome.refusal)
    log.info("relationship established", extra={"pair_id": pair_id, "peer": hello.party.guid, "role": "backup"})
    return Done(header_of(journal.read()))


def _proved_key(received: em.Received, way: str, kind: str) -> bytes:
    """The inter-appliance key, where the message proves that its sender holds it too."""
    key = inter_appliance_secret()
    if key is None:
        raise MessageRefused("no_key", "The other appliance has no inter-appliance key.")
    if not em.is_genuine(received.mac, em.mac(key, way, kind, (), received.body)):
        if received.key_id != key_id(key):
            raise MessageRefused("key_differs", "The two appliances hold different inter-appliance keys.")
        raise MessageRefused("bad_mac", "The signature of the message is wrong.")
    return key


def _tries(source: str) -> Q:
    return Q(value__startswith=f"try|{source}|")


def _may_try(source: str) -> bool:
    now = timezone.now()
    remembered = Nonce.objects.filter(_tries(source), expires_at__gt=now)
    in_window = remembered.filter(expires_at__gt=now + TRY_LIFE - TRY_WINDOW).count()
    return in_window < (FAILED_TRIES if remembered.count() < FAILED_TRIES else 1)


def _note_failed_try(source: str) -> None:
    Nonce.objects.create(value=f"try|{source}|{os.urandom(6).hex()}", expires_at=timezone.now() + TRY_LIFE)


def _check_hello(hello: em.Hello) -> None:
    """Everything that this side can check by itself; the texts are for the administrator of the asking side."""
    if hello.party.guid == selectors.this_appliance().guid:
        raise connected_to_myself()
    if hello.seen_pin not in own_pins():
        raise EstablishRefused(
            EstablishStep.TLS,
            "The certificate seen is none of the other appliance's: something stands between the two.",
            remedy="Connect the two without a TLS proxy in between.",
        )
    if em.VERSIONS[0] not in hello.versions:
        raise EstablishRefused(EstablishStep.VERSION, "The other appliance speaks another protocol.")
    check_addresses(Addresses(hello.host, hello.port, hello.reverse_host, hello.reverse_port))
    check_party(hello.party)
    check_may_join(hello.party.guid)


def _call_back(key: bytes, hello: em.Hello) -> str:
    """The nonce of this side, once the asking appliance was reached over the reverse address and proved to be it."""
    where = f"{hello.reverse_host}:{hello.reverse_port}"
    connection = PinnedConnection(hello.reverse_host, hello.reverse_port, pins=hello.party.pins, limits=TimeLimits())
    try:
        connection.connect()
        nonce = nonces.new_nonce()
        message = em.CallBack(hello.nonce, nonce, selectors.this_appliance().guid, connection.seen_pin)
        body = render(message)
        stated = em.mac(key, em.BACKWARD, "call-back", (), body)
        status, mac, answer = post(connection, em.CallBack.path, body, stated, key_id(key))
        if status != http.HTTPStatus.OK:
            raise PeerMisbehaved(f"What answers there refused the call back (status {status}).")
        if not em.is_genuine(mac, em.mac(key, em.FORWARD, "call-back-reply", (nonce,), answer)):
            raise PeerMisbehaved("What answers there could not prove to be the asking appliance.")
        if parse(em.CallBackReply, answer) != em.CallBackReply(nonce, hello.party.guid):
            raise PeerMisbehaved("What answers there is not the asking appliance.")
    except PeerError as error:
        raise EstablishRefused(
            EstablishStep.CALL_BACK,
            f"The other appliance could not call back at {where}. {error.message}",
            remedy="Check the reverse connection details: the other appliance must reach this one at that address.",
        ) from error
    finally:
        connection.close()
    return nonce


def _refusal(error: EstablishRefused) -> Refusal:
    return Refusal(error.code, error.message, error.remedy, error.step.value)
