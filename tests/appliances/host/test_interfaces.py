"""The interfaces as the kernel has them: in a network namespace with a cable that can be pulled."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliances.host.interfaces import Interface, interfaces

ROOT = Path(__file__).resolve().parents[3]
READ = "from appliances.host.interfaces import interfaces\nprint(repr(interfaces()))"
SETTLE_SECONDS = 5.0


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30, cwd=ROOT).stdout


class Namespace:
    """A network of its own: `site` and `switch` are the two ends of one cable."""

    def __init__(self, name: str) -> None:
        self.name = name

    def ip(self, *words: str) -> None:
        run("ip", "-n", self.name, *words)

    def read(self) -> dict[str, Interface]:
        """What a process in there reads."""
        said = run("ip", "netns", "exec", self.name, sys.executable, "-c", READ)
        return {interface.name: interface for interface in eval(said, {"Interface": Interface})}

    def settled(self, name: str, *, has_carrier: bool) -> Interface:
        """The interface, as soon as its link is as told: the kernel takes a moment."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while (found := self.read()[name]).has_carrier != has_carrier:
            assert time.monotonic() < deadline, found
        return found


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and the program ip (iproute2) to make a network namespace")
    name = f"failover-test-{os.getpid()}"
    try:
        run("ip", "netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace can be made here: {error.stderr.strip()}")
    try:
        made = Namespace(name)
        made.ip("link", "add", "site", "type", "veth", "peer", "name", "switch")
        made.ip("link", "set", "site", "address", "02:00:5e:00:53:01")
        made.ip("address", "add", "192.0.2.50/24", "dev", "site")
        made.ip("address", "add", "2001:db8::50/64", "dev", "site", "nodad")
        made.ip("link", "set", "site", "up")
        made.ip("link", "set", "switch", "up")
        yield made
    finally:
        run("ip", "netns", "del", name)


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
