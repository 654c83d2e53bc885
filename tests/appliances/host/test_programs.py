"""The programs of one appliance, and the addresses they listen on."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from appliances.host import broker
from appliances.host.programs import WORKERS, answers_tls, appliance_programs, is_free, split_address
from failover_site.celery import QUEUES


def programs(chosen: broker.Broker, data_dir: Path) -> list[str]:
    return [program.name for program in appliance_programs(chosen, data_dir=data_dir, listen=["127.0.0.1:8443"])]


def test_every_queue_has_a_worker_and_there_is_exactly_one_beat(tmp_path: Path) -> None:
    assert set(WORKERS) == set(QUEUES)
    names = programs(broker.choose(tmp_path, redis_url="", server="/usr/bin/redis-server"), tmp_path)
    assert names == ["broker", "role", "web", "beat", "sync", "hooks", "mail"]


def test_no_broker_is_started_where_one_is_given(tmp_path: Path) -> None:
    assert "broker" not in programs(broker.choose(tmp_path, redis_url="redis://192.0.2.1", server=None), tmp_path)


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:8443", ("127.0.0.1", 8443)), ("[::1]:443", ("::1", 443)), ("a.example:1", ("a.example", 1))],
)
def test_an_address_is_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    assert split_address(text) == address


@pytest.mark.parametrize("text", ["8443", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", ":8443", "127.0.0.1:70000"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="address with a port"):
        split_address(text)


def test_an_address_that_somebody_listens_on_is_not_free_and_answers_no_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert not is_free(address)
        server.close()
        assert is_free(address)
        assert not answers_tls(address)


def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    with pytest.raises(OSError, match="assign"):
        is_free("192.0.2.1:8443")
