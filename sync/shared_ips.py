"""The shared IPs of the pair: what this appliance has of each and what the peer says, side by side, and what is wrong.

Pure: `of_pair` gets what both sides tell and judges it. What this appliance tells is read by `appliances.shared_ips`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from appliances.shared_ips import SharedAddress


@dataclass(frozen=True)
class Told:
    """What one appliance says of itself.

    `shared` are its ticked addresses, `addresses` all that its interfaces have, each as address/prefix. `is_known` is
    False where that is old or was never told; `is_holder`: in its role it is to have the shared IPs.
    """

    name: str
    is_known: bool
    is_holder: bool
    shared: tuple[SharedAddress, ...] = ()
    addresses: tuple[str, ...] = ()

    def side(self, address: str) -> Side:
        """What it says of one address."""
        ticked = next((shared for shared in self.shared if shared.address == address), None)
        is_present = any(own.partition("/")[0] == address for own in self.addresses)
        return Side(self.name, self.is_known, self.is_holder, is_present, ticked)

    def networks(self, ticked: frozenset[str]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The networks that it is in by its own addresses: not by a shared one, nor by one that stands alone."""
        own = [ipaddress.ip_interface(text) for text in self.addresses if text.partition("/")[0] not in ticked]
        return tuple(
            sorted({it.network for it in own if it.network.num_addresses > 1 and not it.is_link_local}, key=str)
        )


@dataclass(frozen=True)
class Side:
    """One address on one appliance; `ticked` is None where it is not ticked there."""

    name: str
    is_known: bool
    is_holder: bool
    is_present: bool
    ticked: SharedAddress | None

    @property
    def where(self) -> str:
        """The interface that has it, as far as it is told."""
        return self.ticked.present_on if self.ticked else ""

    @property
    def tone(self) -> str:
        """good where the appliance that is to have it has it, bad where it is the other way round, else ""."""
        if not self.is_known or self.is_present != self.is_holder:
            return "" if not self.is_known else "bad"
        return "good" if self.is_present else ""


@dataclass(frozen=True)
class PairedAddress:
    """One shared IP on both appliances: the verdict in a sentence with its tone, and what else is to be put right."""

    address: str
    own: Side
    peer: Side
    foreign_networks: tuple[str, ...] = ()

    @property
    def sides(self) -> tuple[Side, Side]:
        """This appliance, and the peer."""
        return self.own, self.peer

    @property
    def is_well(self) -> bool:
        """Whether there is nothing to do: the appliance that is to have it has it, both are set up alike."""
        return self.verdict[0] != "bad" and not self.warnings

    @cached_property
    def verdict(self) -> tuple[str, str]:
        """The tone (good, warn, bad, or "" where little is known) and the sentence: who has the address."""
        if not self.peer.is_known:
            return self._alone()
        holders = [side for side in self.sides if side.is_present]
        wanted = [side for side in self.sides if side.is_holder]
        if len(holders) == 2 and self._is_one_machine():
            return "warn", f"Both appliances see {self.address} on the same interface: they run on one machine."
        if len(holders) == 2:
            return "bad", f"Both appliances have {self.address}: they disturb each other. Take it off one of them."
        if not holders:
            return "bad" if wanted else "warn", f"Neither appliance has {self.address}: nobody reaches the site there."
        name = holders[0].name
        if len(wanted) == 1 and not holders[0].is_holder:
            return "bad", f"{name} has {self.address}, but {wanted[0].name} is primary. Move it to {wanted[0].name}."
        if len(wanted) != 1:
            return "warn", f"{name} has {self.address}. The roles are not settled."
        return "good", f"{name} has {self.address}."

    def _is_one_machine(self) -> bool:
        macs = {side.ticked.mac if side.ticked else "" for side in self.sides}
        return len(macs) == 1 and "" not in macs

    def _alone(self) -> tuple[str, str]:
        """The verdict while the peer does not tell."""
        name, address = self.own.name, self.address
        unknown = f"What {self.peer.name} has is not known."
        if self.own.is_holder and self.own.is_present:
            return "good", f"{name} has {address}. {unknown}"
        if self.own.is_holder:
            return "bad", f"{name} is primary, but does not have {address}. {unknown}"
        if self.own.is_present:
            return "bad", f"{name} has {address}, but does not serve as primary: take it off. {unknown}"
        return "", f"{name} does not have {address}. {unknown}"

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What else is to be put right, as sentences."""
        return tuple(self._warnings())

    def _warnings(self) -> Iterator[str]:
        for side, other in ((self.own, self.peer), (self.peer, self.own)):
            if not side.is_known:
                continue
            if side.ticked is None and other.ticked is not None:
                yield (
                    f"{side.name} has not ticked it. You should manually mirror the setting: ticks are not shared by "
                    "the appliances."
                )
            elif side.ticked is not None:
                yield from _of_one(side, side.ticked)
        yield from self.foreign_networks


def _of_one(side: Side, ticked: SharedAddress) -> Iterator[str]:
    page = f"Networking > IP Configuration of {side.name}"
    if not ticked.is_listed:
        yield f"{side.name} has it ticked, but does not list it: add it in {page}, or take the tick away."
    elif side.is_holder and not ticked.is_enabled:
        yield f"{side.name} is primary, but has it disabled: enable it in {page}."
    elif not side.is_holder and ticked.is_enabled:
        yield f"{side.name} is not the primary, but has it enabled: disable it in {page}."
    elif side.is_present and ticked.present_on != ticked.interface:
        yield f"{side.name} has it on {ticked.present_on} instead of {ticked.interface}."
    if ticked.is_listed and ticked.has_carrier is False:
        yield f"{ticked.interface} of {side.name} has no link."


def of_pair(own: Told, peer: Told) -> tuple[PairedAddress, ...]:
    """Every address that either appliance has ticked, in the order of the addresses."""
    ticked = frozenset(shared.address for told in (own, peer) if told.is_known for shared in told.shared)
    return tuple(
        PairedAddress(address, own.side(address), peer.side(address), tuple(_foreign(address, ticked, own, peer)))
        for address in sorted(ticked, key=lambda text: (":" in text, ipaddress.ip_address(text).packed))
    )


def _foreign(address: str, ticked: frozenset[str], *sides: Told) -> Iterator[str]:
    """Why a shared IP cannot work at this address: a side is on another subnet."""
    wanted = ipaddress.ip_address(address)
    if wanted.is_loopback:  # for trials on one machine: there is no subnet
        return
    found = {told.name: told.networks(ticked) for told in sides if told.is_known}
    foreign = [name for name, networks in found.items() if not any(wanted in network for network in networks)]
    if not foreign:
        return
    own = sorted({str(it) for name in foreign for it in found[name] if it.version == wanted.version})
    who = f"{foreign[0]} is" if len(foreign) == 1 else f"{' and '.join(foreign)} are"
    there = f"only on {', '.join(own)}" if own else f"in no IPv{wanted.version} network"
    yield (
        f"A shared IP cannot work at {address}: both appliances must be on its subnet, and {who} {there}. Choose an "
        "address of a subnet that both are on, or use DNS swing or NAT swing."
    )
