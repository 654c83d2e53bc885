"""A shared IP of two real appliances on one wire: who has it is read from their interfaces, and moved by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.namespaces import Namespace, namespaces
from tests.sync.boxes import KEY, Box

SHARED = "192.0.2.52"
PREPARE = """
from appliances.models import IPConfig
from appliances.services.network import tick_shared_ips
IPConfig.objects.create(address="{own}", prefix_length=24, interface="wire")
IPConfig.objects.create(address="192.0.2.52", prefix_length=24, interface="wire", enabled={enabled})
result = tick_shared_ips(["192.0.2.52"])
"""
VERDICT = """
from sync import overview, probes
probes.look_at_peer()
(shared,) = overview.now().shared
result = [*shared.verdict, shared.warnings]
"""
COMMANDS = """
from appliances import ip_configuration
from appliances.host.interfaces import interfaces
from appliances.models import IPConfig, SharedIP
from sync import journal
from sync.rules.facts import HOLDING_STATES
is_holder = journal.read().state in HOLDING_STATES
IPConfig.objects.filter(address="192.0.2.52").update(enabled=is_holder)
lines = ip_configuration.lines(interfaces(), {"192.0.2.52"}, is_holder=is_holder)
result = [command for line in lines for command in line.finding.commands]
"""
INITIALISE = """
from dataclasses import replace
from sync import journal
with journal.locked() as held:
    held.state = replace(held.state, initialised=True)
"""
BECOME_PRIMARY = """
from appliances.choices import Role
from sync import role_changes
change = role_changes.request(Role.PRIMARY, want_final_sync=False, without_peer={without_peer}, requested_by="anna")
role_changes.drive(change.pk)
"""
REFUSED = """
from appliances.choices import Role
from sync import role_changes
from sync.errors import ChangeRefused
try:
    role_changes.request(Role.PRIMARY, want_final_sync=False, without_peer=True, requested_by="anna")
    result = ""
except ChangeRefused as error:
    result = str(error)
"""
FIX = """
from sync import role_changes
it = role_changes.propose()
role_changes.fix("anna")
result = [it.choice.criterion, it.own.holds_shared_ip, it.peer.holds_shared_ip]
"""
START_ALONE = """
from sync import act, failover, journal
from sync.rules import events as e
act.deliver(e.Boot())
event = failover.with_witness(failover.Pulse(), e.BootTimedOut())
act.deliver(event)
result = [journal.read().state.value, event.address_holder]
"""
CARRIER = "from appliances import shared_ips; result = shared_ips.have_carrier()"
STATE = "from sync import journal; result = journal.read().state.value"


class Site:
    """One appliance in its own network."""

    def __init__(self, box: Box, network: Namespace) -> None:
        self.box, self.network = box, network

    def verdict(self) -> list[Any]:
        """Tone, sentence and warnings of the shared IP, after a look at the peer."""
        return list(self.box.run(VERDICT))

    def follow_the_page(self) -> list[str]:
        """Set the switch of the list by the role, and give the commands that the page shows then."""
        commands = [command for command in self.box.run(COMMANDS) if command.startswith("ip ")]
        for command in commands:
            self.network.do(command)
        return commands


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[tuple[Site, Site]]:
    """Two paired appliances on one wire: the first is primary and has the shared IP."""
    with namespaces("one", "two") as (one, two):
        one.ip("link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", two.name)
        for network, own in ((one, "192.0.2.50"), (two, "192.0.2.51")):
            network.ip("address", "add", f"{own}/24", "dev", "wire")
            network.ip("link", "set", "wire", "up")
        one.ip("address", "add", f"{SHARED}/24", "dev", "wire")
        boxes = [
            Box(tmp_path / "1", "192.0.2.50", name="site1", inside=one.prefix),
            Box(tmp_path / "2", "192.0.2.51", name="site2", inside=two.prefix),
        ]
        try:
            for box in boxes:
                box.set_key(KEY)
                box.start()
            assert "error" not in boxes[0].establish(boxes[1])
            boxes[1].run(INITIALISE)
            boxes[0].run(PREPARE.format(own="192.0.2.50", enabled=True))
            boxes[1].run(PREPARE.format(own="192.0.2.51", enabled=False))
            boxes[1].run(VERDICT)
            yield Site(boxes[0], one), Site(boxes[1], two)
        finally:
            for box in boxes:
                box.close()


def test_a_shared_ip_is_seen_moved_by_hand_and_decides_a_conflict(sites: tuple[Site, Site]) -> None:
    one, two = sites
    for site in sites:
        assert site.verdict() == ["good", "site1 has 192.0.2.52.", []]

    # A planned change moves no address: both say so, and the commands of the two pages mend it.
    two.box.run(BECOME_PRIMARY.format(without_peer=False))
    for site in sites:
        tone, sentence, _ = site.verdict()
        assert (tone, sentence) == ("bad", "site1 has 192.0.2.52, but site2 is primary. Move it to site2.")
    assert one.follow_the_page() == ["ip address del 192.0.2.52/24 dev wire"]
    assert two.follow_the_page() == ["ip address add 192.0.2.52/24 dev wire"]
    for site in sites:
        assert site.verdict() == ["good", "site2 has 192.0.2.52.", []]

    # Both primary: whoever has the address stays, although the other one was made primary later.
    two.box.stop_web()
    assert two.network.read()["wire"].mac in one.box.run(REFUSED), "the silent primary still answers at the address"
    two.network.ip("address", "del", f"{SHARED}/24", "dev", "wire")
    one.box.run(BECOME_PRIMARY.format(without_peer=True))
    two.network.ip("address", "add", f"{SHARED}/24", "dev", "wire")
    two.box.start()
    assert one.box.run(FIX) == ["holds_shared_ip", False, True]
    assert [site.box.run(STATE) for site in sites] == ["b_idle", "p_active"]

    # The primary starts anew while its peer is silent: it does not serve while somebody else has the address.
    one.box.stop_web()
    one.network.ip("address", "add", f"{SHARED}/24", "dev", "wire")
    assert two.box.run(START_ALONE) == ["p_unconfirmed", one.network.read()["wire"].mac]
    one.network.ip("address", "del", f"{SHARED}/24", "dev", "wire")
    assert two.box.run(START_ALONE) == ["p_active", ""]

    # The cable is pulled.
    assert one.box.run(CARRIER) is True
    two.network.ip("link", "set", "wire", "down")
    one.network.settled("wire", has_carrier=False)
    assert one.box.run(CARRIER) is False
