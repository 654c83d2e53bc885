"""Establish and break between two real appliances: every refusal names its step and changes nothing."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sync.boxes import KEY, Box, free_port

OTHER_KEY = "Y3NK-Z4AJ-HHXO-6GP5-CQ6T-CC2V-RW6B-QC5Q-PGFH-4WLW-RPS6-Q3DH-WUBA"
NOT_PAIRED = ["none", 0, None]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Box, Box]]:
    folder = tmp_path_factory.mktemp("pair")
    boxes = (
        Box(folder / "a", "127.0.0.1", name="a.example.com"),
        Box(folder / "b", "127.0.0.2", name="b.example.com"),
    )
    try:
        for box in boxes:
            box.set_key(KEY)
            box.start()
        yield boxes
    finally:
        for box in boxes:
            box.close()


@pytest.fixture
def a(pair: tuple[Box, Box]) -> Box:
    return pair[0]


@pytest.fixture
def b(pair: tuple[Box, Box]) -> Box:
    return pair[1]


@pytest.fixture(autouse=True)
def nothing_is_left(pair: tuple[Box, Box]) -> Iterator[None]:
    yield
    for box in pair:
        if box.state() != NOT_PAIRED:
            box.leave()
        box.run("from sync.models import Nonce; Nonce.objects.all().delete()")


def assert_refused(answer: dict[str, Any], step: str, *words: str) -> None:
    assert answer.get("error") == "EstablishRefused", answer
    assert answer["step"] == step, answer
    for word in words:
        assert word in answer["text"], answer
    assert answer["remedy"]


def test_both_are_a_pair_after_establishing(a: Box, b: Box):
    pair_id = a.establish(b)["result"]
    guid_a, guid_b = (
        box.run("from appliances import selectors as s; result = s.this_appliance().guid") for box in (a, b)
    )
    state_a, state_b = a.state(), b.state()
    assert state_a[0].startswith("p_")
    assert state_b[0] == "b_idle"
    assert (state_a[1], state_b[1]) == (0, 1)
    assert state_a[2] == [pair_id, guid_b, b.port, a.port, True, True]
    assert state_b[2] == [pair_id, guid_a, a.port, b.port, False, False]


DIE_BEFORE_IT_IS_DURABLE_HERE = """
import os
from django.db import connections
from sync import relationship
from sync.relationship import ask
connections.close_all()
child = os.fork()
if child == 0:
    ask.act.deliver = lambda *_, **__: os._exit(9)
    relationship.establish(**{entered!r})
_, status = os.waitpid(child, 0)
result = os.waitstatus_to_exitcode(status)
"""


def test_an_establishment_whose_process_died_is_made_anew_at_once(a: Box, b: Box):
    entered = {
        "peer_host": b.address,
        "peer_port": b.port,
        "reverse_host": a.address,
        "reverse_port": a.port,
        "requested_by": "anna",
    }
    assert a.run(DIE_BEFORE_IT_IS_DURABLE_HERE.format(entered=entered)) == 9
    assert [a.state()[0], b.state()[0]] == ["none", "b_idle"]
    assert "result" in a.establish(b)
    assert [a.state()[0], b.state()[0]] == ["p_active", "b_idle"]


ASK = """
from sync.peer.client import PeerClient
from sync.peer.messages import Challenge, ChallengeRequest
with PeerClient.to_peer() as client:
    result = [len(client.ask(ChallengeRequest(), Challenge).challenge) for _ in range(3)]
"""


def test_each_can_ask_the_other_over_a_kept_open_connection(a: Box, b: Box):
    a.establish(b)
    assert a.run(ASK) == [64, 64, 64]
    assert b.run(ASK) == [64, 64, 64]


def test_breaking_ends_it_on_both(a: Box, b: Box):
    a.establish(b)
    told = a.run(
        "from sync import relationship as r; x = r.break_relationship('anna'); result = [x.peer_told, x.sentence]"
    )
    assert told[0] is True
    assert (a.state()[0], b.state()[0]) == ("none", "none")
    assert a.state()[2] is None
    assert b.state()[2] is None


def test_breaking_on_the_backup_ends_it_on_both(a: Box, b: Box):
    a.establish(b)
    assert b.run("from sync import relationship as r; result = r.break_relationship('bob').peer_told") is True
    assert (a.state()[2], b.state()[2]) == (None, None)


def test_breaking_without_the_peer_says_so_and_the_peer_learns_that_it_is_alone(a: Box, b: Box):
    a.establish(b)
    b.stop_web()
    try:
        told = a.run(
            "from sync import relationship as r; x = r.break_relationship('anna'); result = [x.peer_told, x.sentence]"
        )
    finally:
        b.start()
    assert told[0] is False
    assert "b.example.com could not be told" in told[1]
    assert a.state()[2] is None
    assert b.state()[2] is not None
    assert b.try_run(ASK)["code"] == "no_relationship"


def test_a_relationship_that_only_the_backup_holds_is_established_anew(a: Box, b: Box):
    first = a.establish(b)["result"]
    a.leave()
    second = a.establish(b)["result"]
    assert first != second
    assert b.state()[2][0] == second


SETTLE = """
import datetime as dt
from django.utils import timezone
from appliances.models import FailoverRelationship
from sync import relationship
FailoverRelationship.objects.update(established_at=timezone.now() - dt.timedelta(seconds={age}))
relationship.settle()
"""


def test_the_backup_leaves_by_itself_where_the_primary_did_not_complete(a: Box, b: Box):
    a.establish(b)
    a.leave()
    b.run(SETTLE.format(age=30))
    assert b.state()[2] is not None
    b.run(SETTLE.format(age=61))
    assert b.state()[2] is None


def test_the_backup_stays_where_the_primary_is_merely_silent(a: Box, b: Box):
    a.establish(b)
    a.stop_web()
    try:
        b.run(SETTLE.format(age=3600))
    finally:
        a.start()
    assert b.state()[2][5] is False
    b.run(SETTLE.format(age=3600))
    assert b.state()[2][5] is True


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def refused(a: Box, b: Box) -> Iterator[None]:
    before = (a.state(), b.state())
    yield
    assert (a.state(), b.state()) == before


@pytest.mark.usefixtures("refused")
class TestRefused:
    def test_wrong_key(self, a: Box, b: Box):
        b.set_key(OTHER_KEY)
        try:
            assert_refused(a.establish(b), "key", "different inter-appliance keys")
        finally:
            b.set_key(KEY)

    def test_no_key_on_the_peer(self, a: Box, b: Box):
        b.set_key(None)
        try:
            assert_refused(a.establish(b), "key", "The other appliance has no inter-appliance key")
        finally:
            b.set_key(KEY)

    def test_no_key_here(self, a: Box, b: Box):
        a.set_key(None)
        try:
            assert_refused(a.establish(b), "key", "This appliance has no inter-appliance key")
        finally:
            a.set_key(KEY)

    def test_many_wrong_keys_are_slowed_down_and_a_right_one_a_minute_later_is_not(self, a: Box, b: Box):
        b.set_key(OTHER_KEY)
        for _ in range(5):
            assert_refused(a.establish(b), "key", "different")
        assert_refused(a.establish(b), "key", "Too many attempts")
        b.set_key(KEY)
        b.run(
            "import datetime as dt; from django.db.models import F; from sync.models import Nonce; "
            "tries = Nonce.objects.filter(value__startswith='try|'); "
            "tries.update(expires_at=F('expires_at') - dt.timedelta(seconds=61))"
        )
        assert_refused(a.establish(b, reverse_port=free_port(a.address)), "call_back")

    def test_wrong_port(self, a: Box, b: Box):
        assert_refused(a.establish(b, peer_port=free_port(b.address)), "tcp", "nothing listens")

    @pytest.mark.parametrize("port", [0, -1, 65536])
    def test_no_port(self, a: Box, b: Box, port: int):
        assert_refused(a.establish(b, peer_port=port), "form", "not a TLS port")

    def test_a_port_without_tls(self, a: Box, b: Box):
        with web_server(None) as port:
            assert_refused(a.establish(b, peer_host="127.0.0.3", peer_port=port), "tls")

    def test_another_web_server(self, a: Box, b: Box):
        with web_server(b.folder) as port:
            assert_refused(a.establish(b, peer_host="127.0.0.3", peer_port=port), "identity", "not an appliance")

    def test_unknown_name(self, a: Box, b: Box):
        assert_refused(a.establish(b, peer_host="backup.invalid"), "name_lookup", "backup.invalid")

    @pytest.mark.parametrize(
        "host", ["", "two words", "http://b", "a/b", "169.254.1.1", "224.0.0.1", "0.0.0.0", "1.2.3"]
    )
    def test_no_host(self, a: Box, b: Box, host: str):
        assert_refused(a.establish(b, peer_host=host), "form")
        assert_refused(a.establish(b, reverse_host=host), "form")

    def test_own_address(self, a: Box, b: Box):
        answer = a.establish(b, peer_host=a.address, peer_port=a.port, reverse_port=a.port + 1)
        assert_refused(answer, "identity", "leads back to this appliance")

    def test_own_address_in_both_fields(self, a: Box, b: Box):
        assert_refused(a.establish(b, peer_host=a.address, peer_port=a.port), "form", "same address")

    @pytest.mark.parametrize("field", ["peer_host", "reverse_host"])
    def test_shared_name(self, a: Box, b: Box, field: str):
        assert_refused(a.establish(b, **{field: "Support.Example.COM."}), "form", "shared host name")

    def test_reverse_port_that_nobody_listens_on(self, a: Box, b: Box):
        assert_refused(a.establish(b, reverse_port=free_port(a.address)), "call_back", "could not call back")

    def test_reverse_address_of_another_machine(self, a: Box, b: Box):
        with web_server(b.folder) as port:
            answer = a.establish(b, reverse_host="127.0.0.3", reverse_port=port)
        assert_refused(answer, "call_back", "another certificate")

    def test_other_build(self, a: Box, b: Box, tmp_path: Path):
        c = Box(tmp_path / "c", "127.0.0.4", name="c.example.com", settings="tests.sync.other_build")
        try:
            c.set_key(KEY)
            c.start()
            assert_refused(a.establish(c), "version", "1.0.1", "c.example.com")
            assert c.state() == NOT_PAIRED
        finally:
            c.close()


def test_a_peer_that_is_paired_already_refuses_and_stays(a: Box, b: Box):
    a.establish(b)
    b.run(
        "from appliances.models import FailoverRelationship as F; F.objects.update(peer_guid='0' * 32, peer_name='c')"
    )
    a.leave()
    before = b.state()
    assert_refused(a.establish(b), "state", "already in a failover relationship with c")
    assert b.state() == before


def test_a_primary_does_not_become_backup_because_its_old_peer_asks(a: Box, b: Box):
    a.establish(b)
    b.leave()
    assert_refused(b.establish(a), "state", "as Primary")
    assert b.state()[2] is None


def test_a_paired_appliance_does_not_ask(a: Box, b: Box):
    a.establish(b)
    before = a.state()
    assert_refused(a.establish(b), "state", "already")
    assert a.state() == before


class _Quiet(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        pass


class web_server:
    """Some web server on 127.0.0.3, with the certificate in `folder` or without TLS."""

    def __init__(self, folder: Path | None) -> None:
        self.server = _Server(("127.0.0.3", 0), _Quiet)
        if folder:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(folder / "web.pem", folder / "web.key")
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)

    def __enter__(self) -> int:
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        return int(self.server.server_address[1])

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
