"""The shared IPs as they are: ticked, listed, enabled, present, linked; each alone."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from appliances import shared_ips
from appliances.host import arp
from appliances.host.interfaces import Interface
from appliances.models import IPConfig, SharedIP
from appliances.shared_ips import describe

ADDRESS = "192.0.2.52"
ETH0 = Interface("eth0", mac="02:00:5e:00:53:01", addresses=("192.0.2.50/24", "192.0.2.52/24"))
ETH1 = Interface("eth1", mac="02:00:5e:00:53:02", addresses=("198.51.100.50/24",))
HERE = "127.0.0.1"


def row(*, enabled: bool = True, interface: str = "eth0") -> IPConfig:
    return IPConfig(address=ADDRESS, prefix_length=24, interface=interface, enabled=enabled)


def test_an_enabled_address_on_its_interface_is_held() -> None:
    found = describe(ADDRESS, row(), [ETH0, ETH1])
    assert found.is_held
    assert found.is_listed
    assert (found.present_on, found.mac, found.has_carrier) == ("eth0", "02:00:5e:00:53:01", True)


def test_an_address_that_is_present_but_not_enabled_is_not_held() -> None:
    found = describe(ADDRESS, row(enabled=False), [ETH0])
    assert found.is_present
    assert not found.is_held


def test_an_enabled_address_that_no_interface_has_is_not_held() -> None:
    found = describe(ADDRESS, row(), [replace(ETH0, addresses=("192.0.2.50/24",))])
    assert found.is_enabled
    assert not found.is_present
    assert not found.is_held


def test_an_address_on_another_interface_than_listed_is_not_held() -> None:
    found = describe(ADDRESS, row(interface="eth1"), [ETH0, ETH1])
    assert found.present_on == "eth0"
    assert not found.is_held


def test_an_address_on_two_interfaces_is_held_by_its_own() -> None:
    found = describe(ADDRESS, row(interface="eth1"), [ETH0, replace(ETH1, addresses=("192.0.2.52/24",))])
    assert found.present_on == "eth1"
    assert found.is_held


def test_a_ticked_address_that_is_not_listed_is_not_held() -> None:
    found = describe(ADDRESS, None, [ETH0])
    assert not found.is_listed
    assert found.present_on == "eth0"
    assert not found.is_held
    absent = describe(ADDRESS, None, [ETH1])
    assert (absent.has_carrier, absent.mac) == (None, "")


@pytest.mark.parametrize(
    ("found", "has_carrier"),
    [([ETH0], True), ([replace(ETH0, has_carrier=False)], False), ([ETH1], False)],
    ids=["link", "no link", "interface gone"],
)
def test_the_link_of_its_interface_is_told(found: list[Interface], has_carrier: bool) -> None:
    assert describe(ADDRESS, row(), found).has_carrier is has_carrier


@pytest.mark.django_db
def test_without_a_tick_there_is_nothing_to_tell() -> None:
    IPConfig.objects.create(address=HERE, prefix_length=8, interface="lo")
    assert shared_ips.read() == ()
    assert shared_ips.have_carrier() is None
    assert not shared_ips.holds_one()


@pytest.mark.django_db
def test_presence_is_asked_of_the_kernel() -> None:
    SharedIP.objects.create(address=HERE)
    SharedIP.objects.create(address="192.0.2.252")
    IPConfig.objects.create(address=HERE, prefix_length=8, interface="lo")
    IPConfig.objects.create(address="192.0.2.252", prefix_length=24, interface="lo")
    by_address = {shared.address: shared for shared in shared_ips.read()}
    assert by_address[HERE].is_held
    assert not by_address["192.0.2.252"].is_present
    assert shared_ips.holds_one()
    assert shared_ips.have_carrier() is True


@pytest.mark.django_db
def test_the_tick_outlives_the_address_in_the_list() -> None:
    SharedIP.objects.create(address=HERE)
    listed = IPConfig.objects.create(address=HERE, prefix_length=8, interface="lo")
    listed.delete()
    assert [(shared.address, shared.is_listed) for shared in shared_ips.read()] == [(HERE, False)]


@pytest.mark.django_db
def test_an_interface_that_is_gone_has_no_link() -> None:
    SharedIP.objects.create(address="192.0.2.252")
    IPConfig.objects.create(address="192.0.2.252", prefix_length=24, interface="nowhere0")
    assert shared_ips.have_carrier() is False


@pytest.mark.django_db
def test_many_shared_ips_are_asked_for_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence takes the time of all questions; a turn of the keeper has less than two seconds for it."""
    for number in range(20):
        address = f"192.0.2.{number + 1}"
        SharedIP.objects.create(address=address)
        IPConfig.objects.create(address=address, prefix_length=24, interface="eth0")

    def holder(address: str, interface: str, own: list[str]) -> str:
        time.sleep(0.1)
        return "02:00:5e:00:53:09" if address == "192.0.2.20" else ""

    monkeypatch.setattr(arp, "holder", holder)
    monkeypatch.setattr(shared_ips, "interfaces", lambda: [replace(ETH0, has_carrier=True)])
    began = time.monotonic()
    assert shared_ips.held_elsewhere() == "02:00:5e:00:53:09"
    assert shared_ips.held_elsewhere(allowed=["02:00:5e:00:53:09"]) == ""
    assert time.monotonic() - began < 2.0, "one after another they take 4 s"
