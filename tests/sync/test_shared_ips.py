"""Who of the two has a shared IP, and what is wrong with it: on the page, in the headline, and when ticks are set."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client

from appliances import addresses
from appliances.choices import State
from appliances.models import Account, FailoverRelationship, IPConfig, SharedIP
from appliances.shared_ips import SharedAddress
from sync import overview, situation
from sync.models import PeerView, StatusEvent
from sync.shared_ips import PairedAddress, Told, of_pair
from sync.troubles import Trouble
from tests.sync import pair

PAGE = "/login/management/failover/"
SAVE = f"{PAGE}shared-ips/"
ADDRESS = "192.0.2.52"
HERE = "127.0.0.1"
HELD = SharedAddress(ADDRESS, "eth0", 24, is_enabled=True, present_on="eth0", has_carrier=True, mac="02:00:5e:00:53:01")
IDLE = SharedAddress(ADDRESS, "eth0", 24, is_enabled=False, has_carrier=True, mac="02:00:5e:00:53:02")
PRIMARY = Told("site1", True, True, (HELD,), ("192.0.2.50/24", "192.0.2.52/24"))
BACKUP = Told("site2", True, False, (IDLE,), ("192.0.2.51/24",))
WITHOUT = replace(PRIMARY, shared=(replace(HELD, present_on=""),), addresses=("192.0.2.50/24",))
WITH = replace(BACKUP, shared=(replace(IDLE, present_on="eth0"),), addresses=("192.0.2.51/24", "192.0.2.52/24"))
SILENT = Told("site2", False, False)


def one(own: Told, peer: Told) -> PairedAddress:
    (found,) = of_pair(own, peer)
    return found


def test_the_primary_has_it_and_the_backup_has_not() -> None:
    found = one(PRIMARY, BACKUP)
    assert found.is_well
    assert found.verdict == ("good", "site1 has 192.0.2.52.")
    assert (found.own.tone, found.peer.tone) == ("good", "")


@pytest.mark.parametrize(
    ("own", "peer", "tone", "says"),
    [
        (PRIMARY, WITH, "bad", "Both appliances have 192.0.2.52"),
        (WITHOUT, BACKUP, "bad", "Neither appliance has 192.0.2.52"),
        (WITHOUT, WITH, "bad", "site2 has 192.0.2.52, but site1 is primary. Move it to site1."),
        (PRIMARY, SILENT, "good", "What site2 has is not known."),
        (WITHOUT, SILENT, "bad", "site1 is primary, but does not have 192.0.2.52"),
        (BACKUP, replace(SILENT, name="site1"), "", "site2 does not have 192.0.2.52"),
        (WITH, replace(SILENT, name="site1"), "bad", "site2 has 192.0.2.52, but does not serve as primary"),
        (replace(PRIMARY, is_holder=False), BACKUP, "warn", "The roles are not settled"),
        (replace(WITHOUT, is_holder=False), BACKUP, "warn", "Neither appliance has 192.0.2.52"),
        (PRIMARY, replace(BACKUP, is_holder=True), "warn", "The roles are not settled"),
    ],
)
def test_the_verdict_names_who_has_it(own: Told, peer: Told, tone: str, says: str) -> None:
    found = one(own, peer)
    assert found.verdict[0] == tone
    assert says in found.verdict[1]


@pytest.mark.parametrize(
    ("own", "peer", "says"),
    [
        (PRIMARY, replace(BACKUP, shared=()), "site2 has not ticked it. You should manually mirror the setting"),
        (replace(PRIMARY, shared=()), BACKUP, "site1 has not ticked it. You should manually mirror the setting"),
        (PRIMARY, replace(BACKUP, shared=(SharedAddress(ADDRESS),)), "site2 has it ticked, but does not list it"),
        (replace(PRIMARY, shared=(replace(HELD, is_enabled=False),)), BACKUP, "site1 is primary, but has it disabled"),
        (PRIMARY, replace(BACKUP, shared=(replace(IDLE, is_enabled=True),)), "site2 is not the primary, but has it"),
        (PRIMARY, replace(BACKUP, shared=(replace(IDLE, has_carrier=False),)), "eth0 of site2 has no link"),
        (replace(PRIMARY, shared=(replace(HELD, present_on="eth1"),)), BACKUP, "on eth1 instead of eth0"),
    ],
)
def test_what_else_is_to_be_put_right_is_told(own: Told, peer: Told, says: str) -> None:
    found = one(own, peer)
    assert not found.is_well
    assert says in " ".join(found.warnings)


def test_nothing_is_said_of_the_ticks_of_a_peer_that_does_not_answer() -> None:
    assert one(PRIMARY, SILENT).warnings == ()


def test_on_different_subnets_a_shared_ip_cannot_work() -> None:
    found = one(PRIMARY, replace(BACKUP, addresses=("198.51.100.51/24", "fe80::1/64")))
    (warning,) = found.warnings
    assert "A shared IP cannot work at 192.0.2.52" in warning
    assert "site2 is only on 198.51.100.0/24" in warning
    assert "DNS swing or NAT swing" in warning
    neither = one(replace(PRIMARY, addresses=("192.0.2.52/24",)), replace(BACKUP, addresses=("2001:db8::1/64",)))
    assert "site1 and site2 are in no IPv4 network" in neither.warnings[0]


def test_two_appliances_on_one_machine_see_the_same_address() -> None:
    both = replace(WITH, shared=(replace(HELD, is_enabled=False),))
    assert "they run on one machine" in one(PRIMARY, both).verdict[1]


def test_addresses_are_told_in_their_order() -> None:
    ticks = tuple(SharedAddress(address) for address in ("2001:db8::5", "192.0.2.100", "192.0.2.9"))
    assert [found.address for found in of_pair(replace(PRIMARY, shared=ticks), SILENT)] == [
        "192.0.2.9",
        "192.0.2.100",
        "2001:db8::5",
    ]


# --- The pages ---------------------------------------------------------------------------------------------------


def client_of(account: Account) -> Client:
    client = Client(SERVER_NAME="site1.example.com")
    client.force_login(account, "django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def admin(db: None) -> Client:
    return client_of(Account.objects.create_superuser("admin", password="x"))


def text(response: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def share(address: str = HERE, *, interface: str = "lo", enabled: bool = True) -> None:
    SharedIP.objects.create(address=address)
    IPConfig.objects.create(address=address, prefix_length=8, interface=interface, enabled=enabled)


def peer_says(*shared: SharedAddress, state: State = State.B_IDLE, addresses: tuple[str, ...] = ()) -> None:
    said = pair.full_status(state, shared_ips=list(shared), addresses=list(addresses))
    PeerView.objects.update(status=said | {"last_sync_at": PeerView.objects.get().status["last_sync_at"]})


def test_the_card_says_what_a_shared_ip_needs_while_none_is_listed(admin: Client) -> None:
    pair.paired()
    page = text(admin.get(PAGE))
    assert "No address to tick" in page
    assert "NO_NETWORK_RIGHTS" not in page


def test_ticks_are_set_taken_away_and_told_in_the_history(admin: Client) -> None:
    pair.paired()
    IPConfig.objects.create(address=HERE, prefix_length=8, interface="lo")
    saved = text(admin.post(SAVE, {"address": HERE}, follow=True))
    assert "Tick the same ones on site2.example.com." in saved
    assert [row.address for row in SharedIP.objects.all()] == [HERE]
    assert "NO_NETWORK_RIGHTS" in saved
    admin.post(SAVE, {})
    assert not SharedIP.objects.exists()
    told = list(StatusEvent.objects.filter(event="shared_ips.ticked").values_list("sentence", flat=True))
    assert told == [
        "Shared IPs: site1.example.com no longer ticks 127.0.0.1.",
        "Shared IPs: site1.example.com ticked 127.0.0.1.",
    ]


def test_a_tick_of_an_address_that_is_listed_no_more_stays_and_can_be_taken_away(admin: Client) -> None:
    pair.paired()
    share()
    IPConfig.objects.all().delete()
    assert "not listed in IP Configuration any more" in text(admin.get(PAGE))
    admin.post(SAVE, {"address": HERE})
    assert SharedIP.objects.exists()
    admin.post(SAVE, {})
    assert not SharedIP.objects.exists()


@pytest.mark.parametrize("address", ["192.0.2.99", "", "x" * 500, "\0"])
def test_what_is_not_listed_cannot_be_ticked(admin: Client, address: str) -> None:
    pair.paired()
    assert "is not listed here any more" in text(admin.post(SAVE, {"address": address}, follow=True))
    assert not SharedIP.objects.exists()


def test_the_unique_address_cannot_be_ticked(admin: Client) -> None:
    pair.paired()
    own = FailoverRelationship.objects.get().reverse_host
    IPConfig.objects.create(address=own, prefix_length=24, interface="lo")
    assert "reaches site1.example.com here" in text(admin.get(PAGE))
    refused = text(admin.post(SAVE, {"address": own}, follow=True))
    assert "It stays here in every role" in refused
    assert not SharedIP.objects.exists()


def test_while_the_name_of_this_appliance_is_not_found_nothing_is_ticked(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.paired()
    asked, depth = [], len(connection.savepoint_ids)

    def away(*_: object, **__: object) -> None:
        asked.append(len(connection.savepoint_ids) - depth)
        raise addresses.NameUnknown

    monkeypatch.setattr(addresses, "resolve", away)
    IPConfig.objects.create(address=HERE, prefix_length=8, interface="lo")
    assert "leads to no address now" in text(admin.post(SAVE, {"address": HERE}, follow=True))
    assert asked[0] == 0, "within no transaction"
    assert not SharedIP.objects.exists()


def test_only_whoever_may_establish_may_tick(db: None) -> None:
    pair.paired()
    share()
    account = Account.objects.create_user("operator", password="x", is_staff=True)
    account.user_permissions.add(Permission.objects.get(codename="switch_roles"))
    operator = client_of(account)
    page = operator.get(PAGE)
    assert page.status_code == 200
    assert "Save shared IPs" not in text(page)
    assert operator.post(SAVE, {}).status_code == 403
    assert SharedIP.objects.exists()


def test_without_a_relationship_there_is_nothing_to_tick(admin: Client) -> None:
    assert admin.post(SAVE, {"address": HERE}).headers["Location"] == PAGE


def test_the_page_shows_at_one_glance_who_has_it(admin: Client) -> None:
    pair.paired()
    share()
    peer_says(SharedAddress(HERE, "eth0", 8, has_carrier=True, mac="02:00:5e:00:53:02"), addresses=("127.0.0.2/8",))
    page = text(admin.get(PAGE))
    assert "site1.example.com has 127.0.0.1." in page
    assert page.count("Shared IP 127.0.0.1 has it") == 1
    assert page.count("Shared IP 127.0.0.1 does not have it") == 1
    live = text(admin.get(f"{PAGE}live/?shape=x"))
    assert "site1.example.com has 127.0.0.1." in live
    assert not overview.now().problem(Trouble.SHARED_IP)


def test_a_primary_without_its_shared_ip_is_told_at_the_top(admin: Client) -> None:
    pair.paired()
    share("192.0.2.52")
    peer_says(addresses=("192.0.2.51/24",))
    it = situation.read()
    assert it is not None
    assert (it.headline.tone, it.headline.title) == ("bad", "The shared IP is not where it belongs")
    assert "Neither appliance has 192.0.2.52" in text(admin.get(PAGE))


def test_what_is_to_be_done_by_hand_stands_before_the_change(admin: Client) -> None:
    pair.paired()
    change = f"{PAGE}role-change/?target=backup"
    assert "by hand" not in text(admin.get(change))
    share("192.0.2.52")
    peer_says(addresses=("192.0.2.51/24",))
    assert "Move 192.0.2.52 to site2.example.com by hand" in text(admin.get(change))
    peer_says(addresses=("192.0.2.52/24",))
    assert "by hand" not in text(admin.get(change))  # it has been moved already
    pair.silent()
    assert "by hand" not in text(admin.get(change))  # nothing would change at all
    assert "by hand" in text(admin.get(f"{change}&without_peer=1"))


def test_a_tick_that_the_peer_has_not_mirrored_is_told_at_the_top(admin: Client) -> None:
    pair.paired()
    share()
    peer_says(addresses=("127.0.0.2/8",))
    it = situation.read()
    assert it is not None
    assert (it.headline.tone, it.headline.title) == ("warn", "The shared IP is not ready for a role change")
    assert "manually mirror the setting" in it.headline.detail


@pytest.mark.django_db
def test_what_a_peer_of_another_version_says_is_not_known() -> None:
    pair.paired()
    share()
    status = PeerView.objects.get().status
    PeerView.objects.update(status=status | {"shared_ips": [asdict(HELD)]})
    (found,) = overview.now().shared
    assert not found.peer.is_known
