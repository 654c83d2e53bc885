"""The interfaces as the kernel has them: in a network namespace with a cable that can be pulled."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from appliances.host.interfaces import interfaces
from tests.namespaces import SETTLE_SECONDS, Namespace, namespaces


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    """`site` and `switch` are the two ends of one cable."""
    with namespaces("cable") as (made,):
        made.ip("link", "add", "site", "type", "veth", "peer", "name", "switch")
        made.ip("link", "set", "site", "address", "02:00:5e:00:53:01")
        made.ip("address", "add", "192.0.2.50/24", "dev", "site")
        made.ip("address", "add", "2001:db8::50/64", "dev", "site", "nodad")
        made.ip("link", "set", "site", "up")
        made.ip("link", "set", "switch", "up")
        yield made


def test_an_interface_is_read_with_link_and_addresses(namespace: Namespace) -> None:
    found = namespace.settled("site", has_carrier=True)
    assert found.mac == "02:00:5e:00:53:01"
    assert found.is_up
    assert not found.is_loopback
    assert {"192.0.2.50/24", "2001:db8::50/64"} <= set(found.addresses)
    assert found.has("192.0.2.50")
    assert not found.has("192.0.2.5")


def test_a_pulled_cable_is_seen(namespace: Namespace) -> None:
    namespace.ip("link", "set", "switch", "down")
    found = namespace.settled("site", has_carrier=False)
    assert found.is_up
    assert found.has("192.0.2.50")
    namespace.ip("link", "set", "switch", "up")
    namespace.settled("site", has_carrier=True)


def test_an_address_that_comes_and_goes_is_seen(namespace: Namespace) -> None:
    namespace.ip("address", "add", "192.0.2.52/24", "dev", "site")
    assert namespace.read()["site"].has("192.0.2.52")
    namespace.ip("address", "del", "192.0.2.52/24", "dev", "site")
    assert not namespace.read()["site"].has("192.0.2.52")


def test_an_address_that_another_machine_has_is_not_in_use(namespace: Namespace) -> None:
    namespace.ip("address", "add", "2001:db8::52/64", "dev", "switch", "nodad")
    namespace.ip("address", "add", "2001:db8::52/64", "dev", "site")
    deadline = time.monotonic() + SETTLE_SECONDS
    while "2001:db8::52/64" not in namespace.read()["site"].unusable:
        assert time.monotonic() < deadline
    assert not namespace.read()["site"].has("2001:db8::52")


def test_an_interface_that_is_off_and_without_addresses_is_listed(namespace: Namespace) -> None:
    namespace.ip("link", "add", "spare", "type", "veth", "peer", "name", "unused")
    found = namespace.read()["spare"]
    assert not found.is_up
    assert not found.has_carrier
    assert found.addresses == ()


def test_the_loopback_of_this_machine_is_there() -> None:
    loopback = next(interface for interface in interfaces() if interface.is_loopback)
    assert loopback.is_up
    assert loopback.has("127.0.0.1")
