"""The other appliance of the tests ends with the test that began it: what it still answers is over by then."""

from __future__ import annotations

import threading
from pathlib import Path

from pytest_django import Settings

from sync.peer.connection import PinnedConnection, TimeLimits
from tests.sync.peer_server import ADDRESS, Peer, certificate, serving


def test_nothing_is_answered_any_more_once_it_is_closed(tmp_path: Path, settings: Settings) -> None:
    settings.ALLOW_LOOPBACK_TARGETS = True
    pem, pin = certificate(tmp_path)
    asked, done = threading.Event(), threading.Event()

    def slow(peer: Peer, _: bytes) -> None:
        asked.set()
        threading.Event().wait(0.2)
        done.set()

    with serving(pem, slow) as server:
        connection = PinnedConnection(ADDRESS, server.server_address[1], pins=[pin], limits=TimeLimits())
        connection.connect()
        connection.request("POST", "/", b"")
        asked.wait(5)
        connection.close()
    assert done.is_set()
