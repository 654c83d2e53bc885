"""Where this appliance connects to, and where it does not."""

from __future__ import annotations

import ipaddress

import pytest

from appliances import addresses
from appliances.addresses import AddressRefused, NameUnknown

REFUSED = [
    "0.0.0.0", "0.0.0.1", "0.255.255.255", "169.254.0.1", "169.254.169.254", "224.0.0.1", "239.255.255.250",
    "240.0.0.1", "255.255.255.255", "::", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "ff02::1", "ff0e::1",
    "::ffff:0.0.0.0", "::ffff:169.254.169.254", "::ffff:224.0.0.1", "::ffff:255.255.255.255", "64:ff9b::a9fe:a9fe",
    "64:ff9b::0.0.0.0", "2002:a9fe:a9fe::1", "2002:e000:1::1", "::169.254.1.1", "::2",
]  # fmt: skip
LOOPBACK = ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1"]
ALLOWED = [
    "10.0.0.1", "172.16.5.4", "192.168.1.1", "100.64.0.1", "8.8.8.8", "fd00::1", "2001:db8::1", "2606:4700::1",
    "::ffff:10.0.0.1", "64:ff9b::a00:1",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
@pytest.mark.parametrize("allow_loopback", [False, True])
def test_refused_range(address: str, allow_loopback: bool):
    assert addresses.refusal(ipaddress.ip_address(address), allow_loopback=allow_loopback)


@pytest.mark.parametrize("address", LOOPBACK)
def test_loopback_is_refused_unless_allowed(address: str):
    assert addresses.refusal(ipaddress.ip_address(address), allow_loopback=False)
    assert addresses.refusal(ipaddress.ip_address(address), allow_loopback=True) is None


@pytest.mark.parametrize("address", ALLOWED)
def test_allowed_range(address: str):
    assert addresses.refusal(ipaddress.ip_address(address), allow_loopback=False) is None


@pytest.mark.parametrize(
    "host",
    ["", " ", ".", "a..b", "-a.example.com", "a b", "http://a", "a/b", "a:443", "a" * 64, "a." * 127 + "ab",
     "ä.example", "0x7f.1", "0x7f000001", "2130706433", "127.1", "1.2.3", "1.2.3.256", "1.2.3.4.5", "a\x00b", "[::1"],
)  # fmt: skip
def test_what_is_no_host(host: str):
    with pytest.raises(AddressRefused):
        addresses.normal_host(host)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (" Backup.Example.COM. ", "backup.example.com"),
        ("[2001:DB8:0::1]", "2001:db8::1"),
        ("10.1.2.3", "10.1.2.3"),
        ("site2", "site2"),
        ("3com.example", "3com.example"),
    ],
)
def test_a_host_is_kept_in_its_normal_form(typed: str, kept: str):
    assert addresses.normal_host(typed) == kept


def test_a_name_that_leads_to_a_refused_address_is_refused():
    with pytest.raises(AddressRefused, match="loopback"):
        addresses.resolve("localhost", 443, allow_loopback=False)


def test_a_name_is_resolved_to_addresses():
    found = addresses.resolve("localhost", 443, allow_loopback=True)
    assert {target.address for target in found} <= {"127.0.0.1", "::1"}
    assert all(target.port == 443 for target in found)


def test_an_unknown_name():
    with pytest.raises(NameUnknown):
        addresses.resolve("nowhere.invalid", 443, allow_loopback=False)
