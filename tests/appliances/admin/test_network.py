"""Networking > IP Configuration in the console of the appliance."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from pytest_django import Settings

from appliances import addresses
from appliances.admin.network import MOST_ADDRESSES, prefix_length
from appliances.host.interfaces import interfaces
from appliances.models import Account, FailoverRelationship, IPConfig, SharedIP

pytestmark = pytest.mark.django_db

LIST = "/appliance/appliances/ipconfig/"
ADD = f"{LIST}add/"


@pytest.fixture(autouse=True)
def loopback_is_an_interface(settings: Settings) -> None:
    """Every machine has one, so that the tests need no other."""
    settings.ALLOW_LOOPBACK_TARGETS = True


@pytest.fixture
def administrator() -> Client:
    client = Client(SERVER_NAME="site1.example.com")
    Account.objects.create_superuser("root", password="a long enough phrase")
    client.post("/appliance/login/", {"username": "root", "password": "a long enough phrase", "next": "/appliance/"})
    return client


def entered(**changes: str) -> dict[str, str]:
    return {"address": "192.0.2.52", "mask": "255.255.255.0", "interface": "lo", "enabled": "on"} | changes


def text(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode())).replace("&#x27;", "'")


def pair(**fields: str) -> None:
    FailoverRelationship.objects.create(
        **{
            "pair_id": "a" * 32,
            "peer_guid": "b" * 32,
            "peer_name": "site2.example.com",
            "peer_host": "192.0.2.51",
            "peer_port": 443,
            "reverse_host": "192.0.2.50",
            "reverse_port": 443,
            "is_founding_primary": True,
        }
        | fields
    )


def listed(address: str, *, enabled: bool = True, interface: str = "lo") -> IPConfig:
    return IPConfig.objects.create(address=address, prefix_length=24, interface=interface, enabled=enabled)


def test_the_page_needs_the_log_in_of_this_console() -> None:
    client = Client(SERVER_NAME="site1.example.com")
    client.force_login(
        Account.objects.create_superuser("root", password="x"), "django.contrib.auth.backends.ModelBackend"
    )
    assert client.get(LIST).status_code == 302
    assert client.post(f"{LIST}1/switch/").status_code == 302


def test_the_page_shows_the_interfaces_and_says_what_it_cannot_do(administrator: Client) -> None:
    page = text(administrator.get(LIST))
    assert "NO_NETWORK_RIGHTS" in page
    assert "No address is listed yet" in page
    for interface in interfaces():
        assert interface.name in page
        assert all(address in page for address in interface.addresses)


def test_an_address_is_listed_and_compared_with_its_interface(administrator: Client) -> None:
    answer = administrator.post(ADD, entered(), follow=True)
    assert answer.request["PATH_INFO"] == LIST
    assert "192.0.2.52/24 is in the list." in text(answer)
    assert "Not on lo" in text(answer)
    assert "ip address add 192.0.2.52/24 dev lo" in text(answer)
    administrator.post(ADD, entered(address="127.0.0.1", mask="8"))
    assert "On lo" in text(administrator.get(LIST))
    assert LogEntry.objects.count() == 2


def test_ipv6_is_kept_in_its_short_form(administrator: Client) -> None:
    administrator.post(ADD, entered(address="2001:DB8:0::0052", mask="64"))
    assert str(IPConfig.objects.get()) == "2001:db8::52/64"
    again = administrator.post(ADD, entered(address="2001:db8:0:0::52", mask="64"))
    assert "This address is in the list already." in text(again)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"address": "192.0.2.256"}, "Enter a valid IPv4 or IPv6 address"),
        ({"address": "support.example.com"}, "Enter a valid IPv4 or IPv6 address"),
        ({"address": ""}, "This field is required"),
        ({"address": "192.0.2.0"}, "is the address of the network 192.0.2.0/24 itself"),
        ({"address": "192.0.2.255"}, "is the broadcast address of the network 192.0.2.0/24"),
        ({"address": "2001:db8::", "mask": "64"}, "is the address of the network 2001:db8::/64 itself"),
        ({"address": "0.0.0.0"}, "it is not the address of one machine"),
        ({"address": "224.0.0.5"}, "it is a multicast address"),
        ({"address": "169.254.1.1"}, "it is a link-local address"),
        ({"address": "fe80::1", "mask": "64"}, "it is a link-local address"),
        ({"address": "255.255.255.255"}, "cannot be an address of this appliance"),
        ({"address": "::ffff:192.0.2.7", "mask": "64"}, "Enter it as IPv4 address: 192.0.2.7"),
        ({"mask": "33"}, "a prefix length from 1 to 32"),
        ({"mask": "0"}, "a prefix length from 1 to 32"),
        ({"mask": "255.0.255.0"}, "Enter a subnet mask such as 255.255.255.0"),
        ({"mask": "0.0.0.0"}, "Enter a subnet mask such as 255.255.255.0"),
        ({"mask": "²4"}, "Enter a subnet mask such as 255.255.255.0"),
        ({"address": "2001:db8::1", "mask": "255.255.255.0"}, "a prefix length from 1 to 128"),
        ({"interface": "nowhere0"}, "Select a valid choice"),
    ],
)
def test_what_cannot_be_an_address_is_refused(administrator: Client, changes: dict[str, str], says: str) -> None:
    assert says in text(administrator.post(ADD, entered(**changes)))
    assert not IPConfig.objects.exists()


def test_loopback_is_for_trials_on_one_machine(administrator: Client, settings: Settings) -> None:
    settings.ALLOW_LOOPBACK_TARGETS = False
    page = text(administrator.post(ADD, entered(address="127.0.0.2", mask="8")))
    assert "it is a loopback address" in page
    assert "lo is not one of the available choices" in page


@pytest.mark.parametrize(
    ("mask", "version", "length"),
    [("24", 4, 24), ("255.255.255.252", 4, 30), ("255.255.255.255", 4, 32), ("32", 4, 32), ("128", 6, 128)],
)
def test_a_mask_is_a_number_or_a_dotted_mask(mask: str, version: int, length: int) -> None:
    assert prefix_length(mask, version) == length


def test_the_address_of_the_peer_is_refused(administrator: Client) -> None:
    pair()
    assert "is the address of site2.example.com" in text(administrator.post(ADD, entered(address="192.0.2.51")))


def test_the_list_has_an_end(administrator: Client) -> None:
    for last in range(1, MOST_ADDRESSES + 1):
        listed(f"192.0.2.{last}")
    page = text(administrator.post(ADD, entered(address="192.0.2.99")))
    assert f"at most {MOST_ADDRESSES} addresses" in page


def test_an_address_is_disabled_and_enabled(administrator: Client) -> None:
    row = listed("192.0.2.52")
    page = text(administrator.post(f"{LIST}{row.pk}/switch/", {"enabled": "0"}, follow=True))
    assert "192.0.2.52/24 is disabled in this list." in page
    assert not IPConfig.objects.get().enabled
    administrator.post(f"{LIST}{row.pk}/switch/", {"enabled": "1"})
    assert IPConfig.objects.get().enabled
    assert administrator.get(f"{LIST}{row.pk}/switch/").status_code == 405


def test_an_address_is_changed(administrator: Client) -> None:
    row = listed("192.0.2.52")
    page = administrator.get(f"{LIST}{row.pk}/change/").content.decode()
    assert 'value="24"' in page
    administrator.post(f"{LIST}{row.pk}/change/", entered(mask="25"))
    assert IPConfig.objects.get().prefix_length == 25


def test_an_address_whose_interface_is_gone_can_still_be_changed(administrator: Client) -> None:
    row = listed("192.0.2.52", interface="nowhere0")
    assert "nowhere0 (not there now)" in text(administrator.get(f"{LIST}{row.pk}/change/"))
    assert administrator.post(f"{LIST}{row.pk}/change/", entered(interface="nowhere0", mask="26")).status_code == 302


def test_what_is_listed_by_a_click_beside_an_interface_is_filled_in(administrator: Client) -> None:
    page = administrator.get(f"{ADD}?address=192.0.2.9/25&interface=lo").content.decode()
    assert 'value="192.0.2.9"' in page
    assert 'value="25"' in page


def test_an_address_is_removed_after_a_question(administrator: Client) -> None:
    row = listed("127.0.0.1")
    SharedIP.objects.create(address="127.0.0.1")
    asked = text(administrator.get(f"{LIST}{row.pk}/delete/"))
    assert "It is a shared IP." in asked
    assert "ip address del 127.0.0.1/8 dev lo" in asked
    assert "is no longer in this list" in text(administrator.post(f"{LIST}{row.pk}/delete/", follow=True))
    assert not IPConfig.objects.exists()
    assert SharedIP.objects.get().address == "127.0.0.1"


@pytest.mark.parametrize("reverse_host", ["192.0.2.50", "127.0.0.1", "localhost"])
@pytest.mark.parametrize("how", ["switch", "change", "delete"])
def test_the_unique_address_stays(administrator: Client, reverse_host: str, how: str) -> None:
    address = "127.0.0.1" if reverse_host == "localhost" else reverse_host
    pair(reverse_host=reverse_host)
    row = listed(address)
    data = entered(address=address)
    data.pop("enabled")
    answer = text(administrator.post(f"{LIST}{row.pk}/{how}/", data if how == "change" else {}, follow=True))
    assert f"{address} is the address at which the peer reaches this appliance" in answer
    assert IPConfig.objects.get().enabled


@pytest.mark.parametrize("how", ["switch", "change", "delete"])
def test_while_the_name_of_this_appliance_is_not_found_no_address_is_given_up(
    administrator: Client, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The name server is away; and whoever asks it while a transaction is open holds up the whole appliance."""
    pair(reverse_host="site1.invalid")
    row, asked = listed("192.0.2.50"), []
    depth = len(connection.savepoint_ids)

    def away(*_: object, **__: object) -> None:
        asked.append(len(connection.savepoint_ids) - depth)
        raise addresses.NameUnknown

    monkeypatch.setattr(addresses, "resolve", away)
    data = entered(address="192.0.2.50")
    data.pop("enabled")
    path = f"{LIST}{row.pk}/{how}/"
    answer = text(administrator.post(path, data if how == "change" else {}, follow=how != "change"))
    assert "leads to no address now" in answer
    assert asked[0] == 0, "within no transaction"
    assert IPConfig.objects.get().enabled


def test_the_unique_address_is_not_replaced_by_another(administrator: Client) -> None:
    pair()
    row = listed("192.0.2.50")
    page = text(administrator.post(f"{LIST}{row.pk}/change/", entered(address="192.0.2.60")))
    assert "is the address at which the peer reaches this appliance" in page
    assert IPConfig.objects.get().address == "192.0.2.50"


@pytest.mark.parametrize("path", ["999/change/", "999/delete/", f"{10**30}/delete/", "x/delete/", f"{10**30}/change/"])
def test_what_is_not_there_leads_to_the_list(administrator: Client, path: str) -> None:
    answer = administrator.get(f"{LIST}{path}", follow=True)
    assert answer.status_code in (200, 404)


def test_the_list_asks_the_database_a_fixed_number_of_times(
    administrator: Client, django_assert_max_num_queries: Any
) -> None:
    for last in range(1, 21):
        listed(f"192.0.2.{last}")
    with django_assert_max_num_queries(15):
        administrator.get(LIST)


def test_a_switch_of_what_is_not_there_changes_nothing(administrator: Client) -> None:
    for number in (999, 10**30):
        assert administrator.post(f"{LIST}{number}/switch/", {"enabled": "1"}).status_code == 302
