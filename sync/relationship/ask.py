"""Establish: the side where an administrator pressed the button. It becomes the primary."""

from __future__ import annotations

import fcntl
import http.client
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import transaction

from appliances import selectors
from appliances.choices import EstablishStep, State
from appliances.models import FailoverRelationship
from appliances.services.keys import inter_appliance_secret, key_id
from sync import act, journal
from sync.errors import EstablishRefused, PeerError, PeerMisbehaved, PeerSilent, PeerUntrusted, SyncError
from sync.peer import establish_messages as em
from sync.peer import nonces
from sync.peer.client import MOUNT, PeerClient
from sync.peer.connection import PinnedConnection, TimeLimits, classified
from sync.peer.messages import MAX_MESSAGE_BYTES, Break, Done, Refusal, parse, render
from sync.peer.signing import DIRECTIONS, JSON_TYPE, Channel, pair_id_of
from sync.relationship.checks import Addresses, check_addresses, check_party, own_party
from sync.relationship.leave import unsettled_seconds
from sync.rules.events import Establish

HELLO_SECONDS = 20.0  # the other side connects back meanwhile: twice 3 s to connect and 5 s to answer
CONFIRM_SECONDS = 8.0
CONFIRM_TRIES = 2
LOCK_NAME = "establishing.lock"

REMEDIES = {
    EstablishStep.NAME_LOOKUP: "Check the host name, or enter the IP address.",
    EstablishStep.TCP: "Check the address, the port, and that no firewall is in between and the other appliance runs.",
    EstablishStep.TLS: "Check that the port is the TLS port of the other appliance, usually 443.",
    EstablishStep.KEY: "Enter the same inter-appliance key on both appliances (Management > Security).",
    EstablishStep.IDENTITY: "Check that the host and port are those of the other appliance.",
    EstablishStep.FORM: "Enter the other appliance's own host name or IP address.",
}

log = logging.getLogger(__name__)


def establish(
    *, peer_host: str, peer_port: int, reverse_host: str, reverse_port: int, requested_by: str
) -> FailoverRelationship:
    """The relationship with the appliance at `peer_host`, durable on both sides; this one is the primary.

    Must not run inside a transaction: the other side calls back while this waits, and another process answers.

    Raises:
        EstablishRefused: it names the step and the remedy; nothing was changed on either appliance.
    """
    entered = check_addresses(Addresses(peer_host, peer_port, reverse_host, reverse_port))
    key = inter_appliance_secret()
    if key is None:
        raise EstablishRefused(
            EstablishStep.KEY,
            "This appliance has no inter-appliance key.",
            remedy="Generate one on one appliance and enter it on the other (Management > Security).",
        )
    if selectors.relationship() is not None or journal.read().state != State.NONE:
        raise EstablishRefused(
            EstablishStep.STATE,
            "This appliance is already in a failover relationship.",
            remedy="Break it first.",
        )
    limits = TimeLimits(total=HELLO_SECONDS)
    connection = PinnedConnection(entered.host, entered.port, pins=None, limits=limits)
    try:
        with _one_at_a_time():
            hello, reply = _say_hello(connection, key, entered)
            return _confirm(connection, key, hello, reply, requested_by)
    finally:
        connection.close()


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two establishments at once would each believe to have won. What a process that died held is free at once."""
    try:
        lock = os.open(settings.DATA_DIR / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EstablishRefused(
            EstablishStep.STATE,
            f"This appliance cannot write to its data folder: {error.strerror or error}.",
            remedy="Free some space on its disk, or see why it takes no writes, and try again.",
        ) from error
    with open(lock, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EstablishRefused(
                EstablishStep.STATE, "Somebody else is establishing a relationship right now.", remedy="Wait a minute."
            ) from error
        yield


def _say_hello(connection: PinnedConnection, key: bytes, entered: Addresses) -> tuple[em.Hello, em.HelloReply]:
    """The other side's agreement: it holds the key, runs the same, and has reached this appliance."""
    try:
        connection.connect()
    except (PeerSilent, PeerUntrusted) as error:
        raise EstablishRefused(error.step, error.message, remedy=REMEDIES.get(error.step, "")) from error
    hello = em.Hello(
        versions=em.VERSIONS,
        nonce=nonces.new_nonce(),
        party=own_party(),
        host=entered.host,
        port=entered.port,
        reverse_host=entered.reverse_host,
        reverse_port=entered.reverse_port,
        seen_pin=connection.seen_pin,
    )
    nonces.remember_challenge(hello.nonce)
    body = render(hello)
    try:
        status, mac, answer = post(
            connection, em.Hello.path, body, em.mac(key, em.FORWARD, "hello", (), body), key_id(key)
        )
    except PeerError as error:
        step = EstablishStep.TCP if isinstance(error, PeerSilent) else EstablishStep.IDENTITY
        raise EstablishRefused(step, error.message, remedy=REMEDIES[step]) from error
    finally:
        nonces.spend_challenge(hello.nonce)
    return hello, _read_reply(key, hello, status, mac, answer)


def post(connection: PinnedConnection, path: str, body: bytes, mac: str, kid: str) -> tuple[int, str, bytes]:
    """Status, MAC field and body of the answer to a message of the handshake.

    Raises:
        PeerSilent, PeerMisbehaved: no answer, or not an answer in HTTP of an acceptable size.
    """
    headers = {em.MAC_FIELD: mac, em.KEY_ID_FIELD: kid, "Content-Type": JSON_TYPE}
    try:
        connection.start_question(connection.limits.total)
        connection.request("POST", MOUNT + path, body, headers)
        response = connection.getresponse()
        answer = response.read(MAX_MESSAGE_BYTES + 1)
        response.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise classified(error, f"{connection.host}:{connection.port}") from error
    if len(answer) > MAX_MESSAGE_BYTES:
        connection.close()
        raise PeerMisbehaved("The answer is too large.")
    return response.status, response.headers.get(em.MAC_FIELD, ""), answer


def _read_reply(key: bytes, hello: em.Hello, status: int, mac: str, answer: bytes) -> em.HelloReply:
    bound = (hello.nonce, hello.seen_pin, str(status))
    is_proved = em.is_genuine(mac, em.mac(key, em.BACKWARD, "hello-reply", bound, answer))
    if status != http.HTTPStatus.OK:
        raise _refused_by_peer(answer, status)
    if not is_proved:
        raise EstablishRefused(
            EstablishStep.KEY,
            "What answered could not prove to hold the inter-appliance key.",
            remedy=REMEDIES[EstablishStep.KEY],
        )
    try:
        reply = parse(em.HelloReply, answer)
    except PeerMisbehaved as error:
        raise EstablishRefused(EstablishStep.VERSION, "The other appliance speaks another protocol.") from error
    check_party(reply.party)
    if reply.version not in em.VERSIONS or not nonces.is_nonce(reply.nonce):
        raise EstablishRefused(EstablishStep.VERSION, "The other appliance speaks another protocol.")
    if hello.seen_pin not in reply.party.pins:
        raise EstablishRefused(
            EstablishStep.TLS,
            "The certificate seen is none of the other appliance's: something stands between the two.",
            remedy="Connect the two without a TLS proxy in between.",
        )
    return reply


def _refused_by_peer(answer: bytes, status: int) -> EstablishRefused:
    """What a refusal means here. It may be unsigned: it is only ever a reason to stop."""
    try:
        refusal = parse(Refusal, answer)
    except PeerMisbehaved:
        step = EstablishStep.IDENTITY
        message = f"Something answered (status {status}), but not an appliance of this product."
        return EstablishRefused(step, message, remedy=REMEDIES[step])
    if refusal.step in EstablishStep.values:
        return EstablishRefused(EstablishStep(refusal.step), refusal.message, remedy=refusal.remedy)
    step = (
        EstablishStep.KEY if refusal.code in {"no_key", "key_differs", "bad_mac", "slow_down"} else EstablishStep.STATE
    )
    return EstablishRefused(step, refusal.message, remedy=refusal.remedy or REMEDIES.get(step, ""))


def _confirm(
    connection: PinnedConnection, key: bytes, hello: em.Hello, reply: em.HelloReply, requested_by: str
) -> FailoverRelationship:
    """Durable there, then here. If it cannot become durable here in time, the other side is told to leave again."""
    pair_id = pair_id_of(key, hello.nonce, reply.nonce)
    channel = Channel.of(
        key,
        pair_id=pair_id,
        own_guid=hello.party.guid,
        peer_guid=reply.party.guid,
        direction=DIRECTIONS[0],
    )
    connection.pins = reply.party.pins
    connection.limits = TimeLimits(total=CONFIRM_SECONDS)
    client = PeerClient(connection, channel)
    started = time.monotonic()
    try:
        _send_confirm(client, em.Confirm(hello, reply.nonce))
        if time.monotonic() - started > unsettled_seconds() / 2:
            raise EstablishRefused(EstablishStep.TCP, "The last step took too long.", remedy="Try again.")
        return _make_durable(hello, reply, pair_id, requested_by)
    except Exception:
        _take_back(client)
        raise


def _send_confirm(client: PeerClient, message: em.Confirm) -> None:
    for tries_left in reversed(range(CONFIRM_TRIES)):
        try:
            client.ask(message, Done)
        except PeerSilent as error:
            if not tries_left:
                raise EstablishRefused(
                    EstablishStep.TCP,
                    "The other appliance stopped answering at the last step.",
                    remedy="Try again. Should it believe to be paired, it leaves by itself once it reaches this one.",
                ) from error
        except SyncError as error:
            remedy = error.remedy or "Try again."
            raise EstablishRefused(EstablishStep.STATE, error.message, remedy=remedy) from error
        else:
            return


def _make_durable(hello: em.Hello, reply: em.HelloReply, pair_id: str, requested_by: str) -> FailoverRelationship:
    with transaction.atomic():
        if selectors.relationship() is not None:
            raise EstablishRefused(EstablishStep.STATE, "This appliance is already in a failover relationship.")
        row = FailoverRelationship.objects.create(
            pk=1,
            pair_id=pair_id,
            peer_guid=reply.party.guid,
            peer_name=reply.party.host_name,
            peer_host=hello.host,
            peer_port=hello.port,
            reverse_host=hello.reverse_host,
            reverse_port=hello.reverse_port,
            peer_pins=reply.party.pins,
            is_founding_primary=True,
        )
        outcome = act.deliver(
            Establish(parity=0), evidence={"peer_name": reply.party.host_name, "requested_by": requested_by}
        )
        if outcome.is_refused:
            raise EstablishRefused(EstablishStep.STATE, outcome.refusal)
    log.info("relationship established", extra={"pair_id": pair_id, "peer": reply.party.guid, "role": "primary"})
    return row


def _take_back(client: PeerClient) -> None:
    """Tell the other side to leave, as well as it goes; `settle` does it there where this fails."""
    try:
        client.ask(Break("Establishing the relationship was not completed."), Done)
    except SyncError as error:
        log.warning("establishment not taken back", extra={"code": error.code, "why": str(error)})
