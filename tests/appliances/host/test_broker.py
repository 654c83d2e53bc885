"""Which broker is used, and a real server on a socket."""

from __future__ import annotations

import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from appliances.host import broker

BUNDLED_ONLY = "/nonexistent"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[broker.Broker]:
    chosen = broker.choose(tmp_path, redis_url="", server=broker.find_server(path=BUNDLED_ONLY))
    process = subprocess.Popen(chosen.argv, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 10
    while not (chosen.socket and broker.answers(chosen.socket)):
        assert time.monotonic() < end
        time.sleep(0.02)
    yield chosen
    process.terminate()
    process.wait(10)


def test_a_given_url_is_used_and_nothing_is_started(tmp_path: Path) -> None:
    chosen = broker.choose(tmp_path, redis_url="redis://192.0.2.1/0", server="/usr/bin/redis-server")
    assert (chosen.url, chosen.argv) == ("redis://192.0.2.1/0", ())


def test_a_server_on_the_path_goes_before_the_bundled_one(tmp_path: Path) -> None:
    for name in ("redis-server", "valkey-server"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o700)
        assert broker.find_server(path=str(tmp_path)) == str(program)


def test_without_any_server_the_file_system_is_used_with_a_warning(tmp_path: Path) -> None:
    chosen = broker.choose(tmp_path, redis_url="", server=None)
    assert chosen.url == "filesystem://localhost"
    assert "REDIS_URL" in chosen.warning


def test_the_bundled_server_answers_on_a_socket_that_only_this_user_can_use(server: broker.Broker) -> None:
    assert server.socket is not None
    assert stat.S_IMODE(server.socket.stat().st_mode) == 0o600
    with Redis(unix_socket_path=str(server.socket)) as client:
        assert client.ping()
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("save") == {"save": ""}


def test_nobody_answers_where_no_server_is(tmp_path: Path) -> None:
    assert not broker.answers(tmp_path / "broker.sock")


def test_a_data_folder_with_a_long_path_gets_its_socket_elsewhere_with_a_clear_message(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 25)
    deep.mkdir()
    path = broker.broker_socket(deep)
    assert len(str(path)) <= broker.LONGEST_SOCKET_PATH
    assert path != broker.broker_socket(tmp_path / ("other" * 25))
    message = broker.prepare_socket_folder(deep)
    assert str(deep) in message
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.parent.rmdir()


def test_a_socket_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("open" * 25)
    folder = broker.broker_socket(deep).parent
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(PermissionError, match="0700"):
        broker.prepare_socket_folder(deep)
    folder.rmdir()


@pytest.mark.parametrize(
    ("redis_url", "for_clients"),
    [
        ("redis://:word@127.0.0.1:6379/1", "redis://:word@127.0.0.1:6379/1"),
        ("redis+socket:///run/broker.sock", "unix:///run/broker.sock"),
        ("redis+socket://:word@/run/broker.sock?virtual_host=2", "unix://:word@/run/broker.sock?db=2"),
    ],
)
def test_the_url_of_the_broker_is_understood_by_clients_of_redis_too(redis_url: str, for_clients: str) -> None:
    assert broker.client_url(redis_url) == for_clients
    Redis.from_url(broker.client_url(redis_url)).connection_pool.make_connection()
