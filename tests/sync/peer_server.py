"""The other appliance as a real web server with TLS on loopback, which answers as the test says."""

from __future__ import annotations

import datetime as dt
import http.server
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from appliances import secrets
from appliances.certificates import make_self_issued, spki_pin
from appliances.choices import State
from appliances.models import Appliance, FailoverRelationship, InterApplianceKey
from appliances.models.relationship import KEY_LABEL
from appliances.services.keys import key_id
from sync.models import RoleJournal
from sync.peer import signing
from sync.peer.signing import Channel, Signer

KEY, PAIR, HERE, THERE = b"K" * 32, "5" * 32, "a" * 32, "b" * 32
ADDRESS = "127.0.0.5"

Handler = Callable[["Peer", bytes], None]


class Peer(http.server.BaseHTTPRequestHandler):
    """The other appliance: proves what it answers with `signer`, as the test says."""

    protocol_version = "HTTP/1.1"
    timeout = 5
    server: Server

    def do_POST(self) -> None:
        self.server.seen.append(self.path)
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.handler(self, body)

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def answer(
        self, body: bytes, *, status: int = 200, signer: Signer | None = None, changes: dict[str, str] | None = None
    ) -> None:
        asked = signing.read_envelope(self.headers)
        headers = (signer or AT_PEER).response(
            asked=asked, method="POST", target=self.path, content_type="application/json", status=status, body=body,
            created=time.time(),
        )  # fmt: skip
        self.plain(body, {**headers, **(changes or {})}, status=status)

    def plain(self, body: bytes, headers: dict[str, str] | None = None, *, status: int = 200) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def stream(self, pieces: list[bytes], *, is_last: bool = False) -> None:
        asked = signing.read_envelope(self.headers)
        headers = AT_PEER.response(
            asked=asked, method="POST", target=self.path, content_type="application/octet-stream", status=200,
            body=None, created=time.time(),
        )  # fmt: skip
        self.send_response(200)
        headers |= {"Content-Type": "application/octet-stream", "Transfer-Encoding": "chunked"}
        if is_last:
            headers["Connection"] = "close"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        for piece in (*pieces, b""):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """A web server with TLS on a loopback address of its own."""

    handler: Handler
    connections = 0
    daemon_threads = False  # whoever still answers when it is closed is waited for: its test has not ended before

    def __init__(self, certificate: Path) -> None:
        super().__init__((ADDRESS, 0), Peer)
        self.seen: list[str] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], address: object) -> None:
        self.connections += 1
        super().process_request(request, address)

    def handle_error(self, *_: object) -> None:
        pass


def channel(own: str, peer: str, direction: str) -> Channel:
    return Channel.of(KEY, pair_id=PAIR, own_guid=own, peer_guid=peer, direction=direction)


AT_PEER = Signer(channel(THERE, HERE, "b-a"), term=1, role="backup")


def certificate(folder: Path) -> tuple[Path, str]:
    """A file with a certificate and its key, and the pin of the key."""
    made = make_self_issued(["peer.example.com"], [ADDRESS], now=dt.datetime.now(dt.UTC))
    path = folder / "web.pem"
    path.write_bytes(made.pem + made.key)
    return path, spki_pin(made.pem)


@contextmanager
def serving(pem: Path, handler: Handler) -> Iterator[Server]:
    """The other appliance answers as `handler` says."""
    server = Server(pem)
    server.handler = handler
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def own_key() -> None:
    """This appliance is HERE and holds the key of the pair."""
    Appliance.objects.create(pk=1, guid=HERE, host_name="site1.example.com")
    InterApplianceKey.objects.create(pk=1, sealed_key=secrets.seal(KEY, KEY_LABEL), key_id=key_id(KEY))


def pair(pair_id: str, port: int, pin: str, state: State = State.P_ACTIVE, *, is_confirmed: bool = True) -> None:
    """This appliance is in a relationship with the server at this port."""
    FailoverRelationship.objects.create(
        pair_id=pair_id,
        peer_guid=THERE,
        peer_name="site2.example.com",
        peer_host=ADDRESS,
        peer_port=port,
        reverse_host="192.0.2.1",
        reverse_port=443,
        peer_pins=[pin],
        is_founding_primary=True,
        is_confirmed=is_confirmed,
    )
    RoleJournal.objects.update_or_create(pk=1, defaults={"state": state})
