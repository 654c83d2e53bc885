"""Nonces of the handshake that are no hex digits, from a side that holds the key."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection
from django.test import Client

from appliances.choices import EstablishStep
from appliances.services.keys import key_id
from sync import relationship
from sync.errors import EstablishRefused
from sync.peer import establish_messages as em
from sync.peer.messages import parse, render
from sync.peer.signing import Channel, Signer
from sync.relationship.checks import own_party
from tests.sync.peer_server import ADDRESS, HERE, KEY, PAIR, THERE, Peer, certificate, own_key, serving
from tests.sync.test_peer_views import send, signed

pytestmark = pytest.mark.django_db(transaction=True)

NO_HEX = ["z" * 32, "é" * 32, "0x" * 16, " " * 32, "A" * 32]


def party(guid: str, pin: str) -> em.Party:
    own = own_party()
    return em.Party(guid, "site2.example.com", own.site_host_name, own.product, own.build, own.schema, [pin])


@pytest.mark.parametrize("nonce", NO_HEX)
def test_a_reply_to_hello_with_a_nonce_that_is_no_hex_is_refused(nonce: str, tmp_path: Path, settings) -> None:
    settings.ALLOW_LOOPBACK_TARGETS = True
    pem, pin = certificate(tmp_path)

    def handler(peer: Peer, body: bytes) -> None:
        hello = parse(em.Hello, body)
        reply = render(em.HelloReply(em.VERSIONS[0], nonce, party(THERE, pin)))
        connection.close()
        bound = (hello.nonce, hello.seen_pin, "200")
        peer.plain(reply, {em.MAC_FIELD: em.mac(KEY, em.BACKWARD, "hello-reply", bound, reply)})

    own_key()
    with serving(pem, handler) as server, pytest.raises(EstablishRefused) as caught:
        relationship.establish(
            peer_host=ADDRESS,
            peer_port=server.server_address[1],
            reverse_host="192.0.2.1",
            reverse_port=443,
            requested_by="anna",
        )
    assert caught.value.step == EstablishStep.VERSION


def hello(nonce: str) -> em.Hello:
    return em.Hello(em.VERSIONS, nonce, party(THERE, "c" * 64), ADDRESS, 443, "192.0.2.1", 443, "d" * 64)


@pytest.mark.parametrize("nonce", NO_HEX)
def test_a_hello_with_a_nonce_that_is_no_hex_is_refused(nonce: str) -> None:
    own_key()
    body = render(hello(nonce))
    headers = {em.MAC_FIELD: em.mac(KEY, em.FORWARD, "hello", (), body), em.KEY_ID_FIELD: key_id(KEY)}
    answer = Client().post("/peer/v1/hello", body, content_type="application/json", headers=headers, secure=True)
    assert (answer.status_code, answer.json()["code"]) == (409, "replayed")


@pytest.mark.parametrize("nonce", NO_HEX)
def test_a_confirm_with_a_nonce_that_is_no_hex_is_refused(nonce: str) -> None:
    own_key()
    for message in (em.Confirm(hello(nonce), "e" * 32), em.Confirm(hello("e" * 32), nonce)):
        channel = Channel.of(KEY, pair_id=PAIR, own_guid=THERE, peer_guid=HERE, direction="a-b")
        stranger = Signer(channel, term=0, role="none")
        answer = send(*signed(stranger, message))
        assert (answer.status_code, answer.json()["code"]) == (409, "not_agreed")
