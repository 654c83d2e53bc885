"""What is said of one listed address: what its interface has, what is to be done, and the command for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliances.host.interfaces import Interface
from appliances.ip_configuration import Finding, judge, removals
from appliances.models import IPConfig

ETH0 = Interface("eth0", addresses=("192.0.2.50/24",))
WITH = replace(ETH0, addresses=("192.0.2.50/24", "192.0.2.52/32"))
ADD = "ip address add 192.0.2.52/24 dev eth0"
TELL = "arping -U -c 3 -I eth0 192.0.2.52"
DELETE = "ip address del 192.0.2.52/32 dev eth0"


def row(*, enabled: bool = True, interface: str = "eth0", address: str = "192.0.2.52") -> IPConfig:
    return IPConfig(address=address, prefix_length=24, interface=interface, enabled=enabled)


@pytest.mark.parametrize(
    ("enabled", "found", "tone", "state", "commands"),
    [
        (True, WITH, "good", "On eth0", ()),
        (True, ETH0, "bad", "Not on eth0", (ADD,)),
        (False, WITH, "warn", "Still on eth0", (DELETE,)),
        (False, ETH0, "", "Not on eth0", ()),
        (True, replace(WITH, has_carrier=False), "warn", "On eth0, no link", ()),
    ],
)
def test_an_address_of_its_own_is_where_the_list_wants_it(
    enabled: bool, found: Interface, tone: str, state: str, commands: tuple[str, ...]
) -> None:
    finding = judge(row(enabled=enabled), [found], is_shared=False, is_holder=True)
    assert (finding.tone, finding.state, finding.commands) == (tone, state, commands)


@pytest.mark.parametrize(
    ("is_holder", "enabled", "found", "tone", "commands"),
    [
        (True, True, WITH, "good", ()),
        (True, True, ETH0, "bad", (ADD, TELL)),
        (True, False, ETH0, "bad", (ADD, TELL)),
        (True, False, WITH, "warn", ()),
        (False, True, WITH, "bad", (DELETE,)),
        (False, False, WITH, "warn", (DELETE,)),
        (False, True, ETH0, "warn", ()),
        (False, False, ETH0, "", ()),
        (None, True, WITH, "good", ()),
        (None, False, ETH0, "", ()),
    ],
)
def test_a_shared_address_is_where_the_role_wants_it(
    is_holder: bool | None, enabled: bool, found: Interface, tone: str, commands: tuple[str, ...]
) -> None:
    finding = judge(row(enabled=enabled), [found], is_shared=True, is_holder=is_holder)
    assert (finding.tone, finding.commands) == (tone, commands)
    assert bool(finding.advice) == (tone in ("warn", "bad"))


def test_an_address_on_another_interface_is_told() -> None:
    eth1 = Interface("eth1", addresses=("192.0.2.52/24",))
    finding = judge(row(), [ETH0, eth1], is_shared=False)
    assert finding.state == "On eth1, not on eth0"
    assert finding.commands == ("ip address del 192.0.2.52/24 dev eth1", ADD)
    assert removals(row(), [ETH0, eth1]) == ["ip address del 192.0.2.52/24 dev eth1"]


def test_an_interface_that_is_gone_is_told() -> None:
    assert judge(row(interface="eth9"), [ETH0], is_shared=True, is_holder=True).state == "No interface eth9"


def test_an_address_that_another_machine_has_is_told() -> None:
    found = replace(ETH0, unusable=("2001:db8::52/64",))
    finding = judge(row(address="2001:db8::52"), [found], is_shared=True, is_holder=True)
    assert finding == Finding("bad", "Held back", finding.advice)
    assert "another machine" in finding.advice


def test_neighbours_are_not_told_of_an_ipv6_address_by_arp() -> None:
    finding = judge(row(address="2001:db8::52"), [ETH0], is_shared=True, is_holder=True)
    assert finding.commands == ("ip address add 2001:db8::52/24 dev eth0",)


def test_a_strange_interface_name_is_quoted() -> None:
    found = Interface("a;reboot", addresses=("192.0.2.52/24",))
    assert removals(row(), [found]) == ["ip address del 192.0.2.52/24 dev 'a;reboot'"]
