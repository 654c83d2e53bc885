"""What the tests of `sync` share: a real broker on a Unix socket, and a real SMTP server on loopback."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import pools
from pytest_django import Settings

from appliances.host import broker
from failover_site.celery import app


@pytest.fixture(scope="session")
def broker_url() -> Iterator[str]:
    """The URL of a running broker of this test session alone."""
    server = broker.find_server()
    if server is None:
        pytest.skip("no Redis-compatible server on this machine")
    with tempfile.TemporaryDirectory(prefix="broker-") as folder:
        path = Path(folder) / broker.SOCKET_NAME
        process = subprocess.Popen(broker.server_argv(server, path, Path(folder)), stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 10
            while not broker.answers(path):
                assert time.monotonic() < deadline, "the broker did not start"
                time.sleep(0.02)
            yield f"redis+socket://{path}"
        finally:
            process.terminate()
            process.wait()


def _forget_connections() -> None:
    """Celery keeps its producers; the next message opens a connection anew."""
    app.amqp._producer_pool = None  # type: ignore[attr-defined]
    app._pool = None  # type: ignore[attr-defined]
    pools.reset()


@pytest.fixture
def running_broker(settings: Settings, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The appliance uses the running broker."""
    monkeypatch.setitem(app.conf, "broker_url", broker_url)  # first: Celery reads the settings once, when it is asked
    settings.REDIS_URL = broker_url
    _forget_connections()
    yield broker_url
    _forget_connections()
