"""Who answers at an address, asked on a wire between two networks of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from appliances.host import arp
from tests.namespaces import Namespace, namespaces, run

OTHER = "02:00:5e:00:53:02"


@pytest.fixture(scope="module")
def wire() -> Iterator[tuple[Namespace, Namespace]]:
    """Two machines on one wire; the second has 192.0.2.52."""
    with namespaces("asks", "has") as (asks, has):
        asks.ip("link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", has.name)
        asks.ip("address", "add", "192.0.2.50/24", "dev", "wire")
        has.ip("link", "set", "wire", "address", OTHER)
        has.ip("address", "add", "192.0.2.52/24", "dev", "wire")
        for network in (asks, has):
            network.ip("link", "set", "wire", "up")
        asks.settled("wire", has_carrier=True)
        yield asks, has


def ask(network: Namespace, address: str, interface: str = "wire", own: str = "[]") -> str:
    code = f"from appliances.host.arp import holder\nprint(repr(holder({address!r}, {interface!r}, {own}, wait=0.1)))"
    return run(*network.prefix, sys.executable, "-c", code).strip()


def test_the_machine_that_has_it_is_named(wire: tuple[Namespace, Namespace]) -> None:
    asks, has = wire
    assert ask(asks, "192.0.2.52") == repr(OTHER)
    assert ask(asks, "192.0.2.99") == "''"
    assert ask(has, "192.0.2.52") == "''"  # what asks does not answer itself
    assert ask(asks, "192.0.2.52", own=repr([OTHER])) == "''"


def test_asking_claims_nothing(wire: tuple[Namespace, Namespace]) -> None:
    asks, has = wire
    ask(asks, "192.0.2.52")
    assert "192.0.2." not in run("ip", "-n", has.name, "neigh", "show", "dev", "wire")


@pytest.mark.parametrize(
    ("address", "interface"), [("2001:db8::1", "wire"), ("192.0.2.52", "lo"), ("192.0.2.52", "no")]
)
def test_what_cannot_be_asked_is_not_known(wire: tuple[Namespace, Namespace], address: str, interface: str) -> None:
    assert ask(wire[0], address, interface) == "None"


def test_without_the_right_it_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("socket.socket", refused)
    assert arp.holder("192.0.2.52", "lo", []) is None
