"""PeerClient against real servers on loopback: who is believed, and what each failure is called."""

from __future__ import annotations

import io
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.errors import PeerMisbehaved, PeerRefused, PeerSilent, PeerUntrusted
from sync.peer import frames, signing
from sync.peer.client import PeerClient
from sync.peer.connection import PinnedConnection, TimeLimits
from sync.peer.messages import Break, Challenge, ChallengeRequest, Done, Refusal, parse, render
from sync.peer.pace import Pace
from sync.peer.signing import Channel, Signer
from tests.sync.peer_server import ADDRESS, AT_PEER, HERE, PAIR, THERE, Peer, Server, certificate, channel, serving

pytestmark = pytest.mark.django_db(transaction=True)

GOOD = Challenge("c" * 64)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def loopback(settings):
    settings.ALLOW_LOOPBACK_TARGETS = True


@pytest.fixture
def server(certificates: tuple[Path, str]) -> Iterator[Server]:
    with serving(certificates[0], lambda peer, _: peer.answer(render(GOOD))) as server:
        yield server


def client_to(port: int, *pins: str, total: float = 3.0, host: str = ADDRESS) -> PeerClient:
    connection = PinnedConnection(host, port, pins=pins, limits=TimeLimits(connect=1.0, total=total, idle=2.0))
    return PeerClient(connection, channel(HERE, THERE, "a-b"))


@pytest.fixture
def client(server: Server, certificates: tuple[Path, str]) -> Iterator[PeerClient]:
    with client_to(server.server_address[1], certificates[1]) as client:
        yield client


def ask(client: PeerClient) -> Challenge:
    return client.ask(ChallengeRequest(), Challenge)


def test_the_peer_is_believed(client: PeerClient):
    assert ask(client) == GOOD


def test_the_connection_is_kept_open(server: Server, client: PeerClient):
    assert [ask(client) for _ in range(5)] == [GOOD] * 5
    assert server.connections == 1


def test_a_connection_that_died_meanwhile_is_replaced(server: Server, client: PeerClient):
    def answer_and_close(peer: Peer, _: bytes) -> None:
        peer.answer(render(GOOD))
        peer.close_connection = True

    server.handler = answer_and_close
    assert [ask(client) for _ in range(3)] == [GOOD] * 3
    assert server.connections == 3


def test_a_server_with_another_key_gets_not_a_byte(server: Server):
    wrong_pin = client_to(server.server_address[1], "0" * 64)
    with wrong_pin as client, pytest.raises(PeerUntrusted, match="another certificate"):
        ask(client)
    assert server.seen == []


def test_an_address_of_a_refused_range_is_not_connected_to(server: Server, certificates, settings):
    settings.ALLOW_LOOPBACK_TARGETS = False
    with client_to(server.server_address[1], certificates[1]) as client, pytest.raises(PeerUntrusted, match="loopback"):
        ask(client)
    assert server.connections == 0


def test_nobody_listens_is_silence():
    with socket.socket() as unused:
        unused.bind((ADDRESS, 0))
        with client_to(unused.getsockname()[1], "0" * 64) as client, pytest.raises(PeerSilent, match="nothing listens"):
            ask(client)


def test_an_unknown_name_is_silence():
    with client_to(443, "0" * 64, host="peer.invalid") as client, pytest.raises(PeerSilent, match=r"peer\.invalid"):
        ask(client)


def test_a_listener_that_never_speaks_is_silence():
    with socket.create_server((ADDRESS, 0)) as mute:
        started = time.monotonic()
        with client_to(mute.getsockname()[1], "0" * 64) as client, pytest.raises(PeerSilent):
            ask(client)
        assert time.monotonic() - started < 2.5


def hang(peer: Peer, release: threading.Event) -> None:
    release.wait(5)
    peer.close_connection = True


def test_a_peer_that_does_not_answer_in_time_is_silence(server: Server, certificates):
    release = threading.Event()
    server.handler = lambda peer, _: hang(peer, release)
    with client_to(server.server_address[1], certificates[1], total=0.3) as client:
        with pytest.raises(PeerSilent, match="in time"):
            ask(client)
        release.set()
    assert len(server.seen) == 1


def test_a_peer_that_drips_its_answer_is_silence_after_the_total_time(server: Server, certificates):
    def drip(peer: Peer, _: bytes) -> None:
        peer.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _step in range(40):
            peer.wfile.write(b"X-Slow: 1\r\n")
            time.sleep(0.05)

    server.handler = drip
    started = time.monotonic()
    with client_to(server.server_address[1], certificates[1], total=0.5) as client, pytest.raises(PeerSilent):
        ask(client)
    assert time.monotonic() - started < 1.5


def test_a_broken_connection_is_silence(server: Server, client: PeerClient):
    server.handler = lambda peer, _: setattr(peer, "close_connection", True)
    with pytest.raises(PeerSilent, match="broke the connection off"):
        ask(client)


def test_a_plain_web_server_is_not_trusted():
    with socket.create_server((ADDRESS, 0)) as plain:

        def speak() -> None:
            connection, _ = plain.accept()
            with connection:
                connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                connection.recv(2000)

        thread = threading.Thread(target=speak)
        thread.start()
        with client_to(plain.getsockname()[1], "0" * 64) as client, pytest.raises(PeerUntrusted, match="TLS"):
            ask(client)
        thread.join()


@pytest.mark.parametrize(
    "signer",
    [
        Signer(Channel.of(b"X" * 32, pair_id=PAIR, own_guid=THERE, peer_guid=HERE, direction="b-a"), 1, "backup"),
        Signer(channel("d" * 32, HERE, "b-a"), 1, "backup"),
        Signer(channel(HERE, HERE, "b-a"), 1, "backup"),
        Signer(channel(THERE, HERE, "a-b"), 1, "backup"),
    ],
    ids=["other key", "other appliance", "this appliance", "other direction"],
)
def test_an_answer_of_somebody_else_is_not_trusted(server: Server, client: PeerClient, signer: Signer):
    server.handler = lambda peer, _: peer.answer(render(GOOD), signer=signer)
    with pytest.raises(PeerUntrusted):
        ask(client)


def test_an_echo_is_not_trusted(server: Server, client: PeerClient):
    def echo(peer: Peer, body: bytes) -> None:
        peer.plain(body, {name: str(peer.headers[name]) for name in signing.FIELDS})

    server.handler = echo
    with pytest.raises(PeerUntrusted):
        ask(client)


def test_the_answer_to_an_earlier_question_is_not_trusted(server: Server, client: PeerClient):
    earlier: list[dict[str, str]] = []

    def replay(peer: Peer, _: bytes) -> None:
        asked = signing.read_envelope(peer.headers)
        headers = AT_PEER.response(
            asked=asked, method="POST", target=peer.path, content_type="application/json", status=200,
            body=render(GOOD), created=time.time(),
        )  # fmt: skip
        earlier.append(headers)
        peer.plain(render(GOOD), earlier[0])

    server.handler = replay
    assert ask(client) == GOOD
    with pytest.raises(PeerUntrusted, match="another request"):
        ask(client)


def test_a_changed_body_is_not_trusted(server: Server, client: PeerClient):
    server.handler = lambda peer, _: peer.answer(render(GOOD), changes={"Peer-Term": "9"})
    with pytest.raises(PeerUntrusted, match="signature"):
        ask(client)


def test_a_signed_refusal_carries_its_code(server: Server, client: PeerClient):
    server.handler = lambda peer, _: peer.answer(render(Refusal("not_idle", "Busy.", "Wait.")), status=409)
    with pytest.raises(PeerRefused, match="Busy") as refused:
        ask(client)
    assert (refused.value.peer_code, refused.value.status, refused.value.remedy) == ("not_idle", 409, "Wait.")


def test_an_unsigned_hint_that_the_keys_differ_is_an_alert(server: Server, client: PeerClient):
    server.handler = lambda peer, _: peer.plain(render(Refusal("key_differs", "Keys differ.")), status=403)
    with pytest.raises(PeerUntrusted, match="Keys differ"):
        ask(client)


@pytest.mark.parametrize("status", [200, 302, 404, 500, 503])
def test_an_unsigned_page_is_misbehaviour_or_not_trusted(server: Server, client: PeerClient, status: int):
    server.handler = lambda peer, _: peer.plain(b"<html>", {"Location": "https://elsewhere.invalid/"}, status=status)
    with pytest.raises(PeerUntrusted if status == 200 else PeerMisbehaved):
        ask(client)
    assert len(server.seen) == 1


def test_an_endless_answer_is_cut(server: Server, client: PeerClient):
    server.handler = lambda peer, _: peer.answer(b" " * (1024 * 1024 + 2))
    with pytest.raises(PeerMisbehaved, match="larger"):
        ask(client)


def test_a_clock_refusal_is_repeated_with_the_challenge(server: Server, client: PeerClient):
    def answer(peer: Peer, _: bytes) -> None:
        if peer.headers["Peer-Challenge"] == "d" * 64:
            peer.answer(render(GOOD))
        else:
            peer.answer(render(Refusal("clock", "Clocks differ.", challenge="d" * 64)), status=401)

    server.handler = answer
    assert ask(client) == GOOD


def test_a_message_that_needs_a_challenge_fetches_one(server: Server, client: PeerClient):
    used: list[str] = []

    def answer(peer: Peer, _: bytes) -> None:
        used.append(peer.headers["Peer-Challenge"])
        peer.answer(render(GOOD if peer.path.endswith("challenge") else Refusal("no", "No.")),
                    status=200 if peer.path.endswith("challenge") else 409)  # fmt: skip

    server.handler = answer
    with pytest.raises(PeerRefused):
        client.ask(Break("over"), Done)
    with pytest.raises(PeerRefused):
        client.ask(Break("over"), Done, challenge="e" * 64)
    assert used == ["-", GOOD.challenge, "e" * 64]


PAYLOADS = [b"a" * frames.MAX_FRAME_BYTES, b"", b"tail"]


def pieces_of(peer: Peer, payloads: list[bytes]) -> list[bytes]:
    nonce = signing.read_envelope(peer.headers).nonce
    return list(frames.write(payloads, signing.seal_of(AT_PEER.channel.sending_key, "response", nonce)))


def test_a_stream_arrives_and_the_connection_stays_usable(server: Server, client: PeerClient):
    server.handler = lambda peer, _: peer.stream(pieces_of(peer, PAYLOADS))
    for _ in range(2):
        with client.open_stream(ChallengeRequest()) as payloads:
            assert [bytes(payload) for payload in payloads] == PAYLOADS
    assert server.connections == 1


def test_a_stream_with_which_the_peer_closes_the_connection_arrives_at_its_pace(server: Server, client: PeerClient):
    """A web server that keeps many connections open, or ends, says so with the head of its answer."""
    payloads = [os.urandom(60_000), os.urandom(40_000)]
    server.handler = lambda peer, _: peer.stream(pieces_of(peer, payloads), is_last=True)
    client.pace = Pace(lambda: 200_000.0, lambda: None)
    began = time.monotonic()
    with client.open_stream(ChallengeRequest()) as got:
        assert [bytes(one) for one in got] == payloads
    assert time.monotonic() - began > 0.3, "no faster than allowed"
    with client.open_stream(ChallengeRequest()) as got:
        assert [bytes(one) for one in got] == payloads


def test_a_stream_that_is_not_read_to_its_end_closes_the_connection(server: Server, client: PeerClient):
    server.handler = lambda peer, _: peer.stream(pieces_of(peer, PAYLOADS))
    with client.open_stream(ChallengeRequest()) as payloads:
        next(payloads)
    assert client.connection.sock is None


def test_a_stream_without_its_closing_signature_is_noticed(server: Server, client: PeerClient):
    server.handler = lambda peer, _: peer.stream(pieces_of(peer, PAYLOADS)[:-1])
    with pytest.raises(PeerMisbehaved, match="cut off"), client.open_stream(ChallengeRequest()) as payloads:
        list(payloads)


def test_a_refused_stream_is_a_refusal(server: Server, client: PeerClient):
    server.handler = lambda peer, _: peer.answer(render(Refusal("not_source", "No.")), status=409)
    with pytest.raises(PeerRefused, match="No"), client.open_stream(ChallengeRequest()):
        pass


def test_a_sent_stream_arrives(server: Server, client: PeerClient):
    got: list[bytes] = []

    def take(peer: Peer, body: bytes) -> None:
        if peer.path.endswith("challenge"):
            return peer.answer(render(GOOD))
        nonce = signing.read_envelope(peer.headers).nonce
        seal = signing.seal_of(AT_PEER.channel.receiving_key, "request", nonce)
        got.extend(bytes(payload) for payload in frames.read(io.BytesIO(body).read, seal))
        return peer.answer(render(GOOD))

    server.handler = take
    assert client.send_stream(Break("head"), iter(PAYLOADS), Challenge) == GOOD
    assert parse(Break, got[0]) == Break("head")
    assert got[1:] == PAYLOADS
