"""The shared IPs of this appliance as they are now: ticked, listed, enabled, present, with or without a link.

Mails, the guard of automatic failover, Fix This Error, STATUS and the pages all ask here. The interfaces are read from
the kernel each time; nothing is taken from what this appliance believes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from appliances.host import arp
from appliances.host.interfaces import Interface, interfaces
from appliances.models import IPConfig, SharedIP

MOST_ASKED_AT_ONCE = 64


@dataclass(frozen=True)
class SharedAddress:
    """One address that is ticked on the Failover page of this appliance.

    `interface` is the one that it is listed for in `/appliance` ("" where it is not listed); `is_enabled`, whether it
    is enabled in that list. `present_on` names the interface that has it now, "" if none has. `has_carrier` and `mac`
    are those of its interface; `has_carrier` is None while no interface is named, False where that one is gone.
    """

    address: str
    interface: str = ""
    prefix_length: int | None = None
    is_enabled: bool = False
    present_on: str = ""
    has_carrier: bool | None = None
    mac: str = ""

    @property
    def is_listed(self) -> bool:
        """Whether Networking > IP Configuration lists it."""
        return bool(self.interface)

    @property
    def is_present(self) -> bool:
        """Whether any interface has it now."""
        return bool(self.present_on)

    @property
    def is_held(self) -> bool:
        """Whether this appliance holds it: listed, enabled, and present on its interface."""
        return self.is_listed and self.is_enabled and self.present_on == self.interface


def read() -> tuple[SharedAddress, ...]:
    """Every ticked address as it is now, in the order of the addresses; empty where none is ticked."""
    ticked = list(SharedIP.objects.all())
    if not ticked:
        return ()
    configured = {row.address: row for row in IPConfig.objects.all()}
    found = interfaces()
    return tuple(describe(row.address, configured.get(row.address), found) for row in ticked)


def describe(address: str, row: IPConfig | None, found: Iterable[Interface]) -> SharedAddress:
    """One ticked address, as its row in the list and the interfaces have it."""
    by_name = {interface.name: interface for interface in found}
    present_on = next((name for name, interface in by_name.items() if interface.has(address)), "")
    name = row.interface if row else present_on
    own = by_name.get(name)
    return SharedAddress(
        address=address,
        interface=row.interface if row else "",
        prefix_length=row.prefix_length if row else None,
        is_enabled=row is not None and row.enabled,
        # Its own interface counts, should two have it.
        present_on=name if own is not None and own.has(address) else present_on,
        has_carrier=None if not name else own is not None and own.has_carrier,
        mac=own.mac if own else "",
    )


@dataclass(frozen=True)
class Choice:
    """One address that the Failover page offers to tick; `row` is None for one that is ticked, but listed no more."""

    address: str
    row: IPConfig | None
    is_ticked: bool
    is_unique: bool


def choices(unique: Collection[str]) -> list[Choice]:
    """Every listed address and every ticked one. At a `unique` one the peer reaches this appliance: it never moves."""
    ticked = set(SharedIP.objects.values_list("address", flat=True))
    rows = list(IPConfig.objects.all())
    listed = {row.address for row in rows}
    found = [Choice(row.address, row, row.address in ticked, row.address in unique) for row in rows]
    return found + [Choice(address, None, True, False) for address in sorted(ticked - listed)]


def holds_one() -> bool:
    """Whether this appliance holds a shared IP: ticked, listed, enabled, and present on its interface."""
    return any(shared.is_held for shared in read())


def have_carrier() -> bool | None:
    """Whether every interface of a shared IP has its link; None where no shared IP names an interface."""
    links = [shared.has_carrier for shared in read() if shared.has_carrier is not None]
    return all(links) if links else None


def held_elsewhere(allowed: Collection[str] = ()) -> str:
    """The MAC of another machine that answers at a shared IP of this appliance, but for the `allowed` ones; "" if none.

    Also "" where nobody can be asked: without the right to, for IPv6, or without a link. Takes up to a second,
    however many they are.
    """
    own = [interface.mac for interface in interfaces() if interface.mac]
    asked = [shared for shared in read() if shared.is_listed and shared.has_carrier]
    if not asked:
        return ""
    with ThreadPoolExecutor(max_workers=min(len(asked), MOST_ASKED_AT_ONCE)) as pool:  # silence takes its time for each
        found = list(pool.map(lambda shared: arp.holder(shared.address, shared.interface, own), asked))
    return next((mac for mac in found if mac and mac not in allowed), "")
