"""Networking > IP Configuration: each listed address beside what its interface really has, and what to do about it.

This installation changes no address: it has no right to, which the page says (`Blocker.NO_NETWORK_RIGHTS`), with the
commands that an administrator of the machine can give instead.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from appliances import addresses, selectors
from appliances.host.interfaces import Interface
from appliances.models import IPConfig

KEEP_UNIQUE = (
    "{address} is the address at which the peer reaches this appliance. It must stay as it is, and enabled at all "
    "times: without it the two lose each other. To change it, break the failover relationship first."
)
UNKNOWN = (
    "The name by which the peer reaches this appliance leads to no address now, so this may be the one that the two "
    "need. Nothing was changed. Check the name servers and try again, or break the failover relationship first."
)
LOOK_UP_SECONDS = 1.0  # a page does not wait longer for a name server


@dataclass(frozen=True)
class Finding:
    """What the interface has of one address: `tone` is good, warn, bad or "" (nothing to see); what to do, and how."""

    tone: str
    state: str
    advice: str = ""
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """One address of the list as the page shows it. `is_unique`: the peer reaches this appliance at it."""

    row: IPConfig
    is_shared: bool
    is_unique: bool
    finding: Finding


def lines(found: Collection[Interface], shared: Collection[str], *, is_holder: bool | None) -> list[Line]:
    """Every address of the list beside what the interfaces have; `shared` are the ticked, `is_holder` as in `judge`."""
    unique = unique_addresses() or ()
    return [
        Line(
            row,
            row.address in shared,
            row.address in unique,
            judge(row, found, is_shared=row.address in shared, is_holder=is_holder),
        )
        for row in IPConfig.objects.all()
    ]


def unique_addresses() -> frozenset[str] | None:
    """The addresses at which the peer reaches this appliance: none without a relationship; None if not known now.

    Their name is looked up, for up to a second: never within a transaction, which would hold up every other one.
    """
    relationship = selectors.relationship()
    if relationship is None:
        return frozenset()
    try:
        found = addresses.resolve(
            relationship.reverse_host, relationship.reverse_port, allow_loopback=True, seconds=LOOK_UP_SECONDS
        )
    except (addresses.AddressRefused, addresses.NameUnknown, TimeoutError):
        return None
    return frozenset(target.address for target in found)


def must_stay(address: str, unique: frozenset[str] | None) -> str:
    """Why an enabled address must stay as it is, and enabled; empty if it need not. `unique` as just found."""
    if unique is None:
        return UNKNOWN
    return KEEP_UNIQUE.format(address=address) if address in unique else ""


def judge(row: IPConfig, found: Iterable[Interface], *, is_shared: bool, is_holder: bool | None = None) -> Finding:
    """What there is to say of one address.

    `is_holder`: whether this appliance is the one that is to have the shared IPs; None while there is no pair.
    """
    by_name = {interface.name: interface for interface in found}
    own = by_name.get(row.interface)
    if own is None:
        return Finding(
            "bad", f"No interface {row.interface}", "This machine has no such interface: choose another one."
        )
    wanted = is_holder if is_shared and is_holder is not None else row.enabled
    if own.has(row.address):
        return _present(row, own, wanted=wanted)
    if any(held.partition("/")[0] == row.address for held in own.unusable):
        advice = f"{own.name} has it, but the kernel does not use it: another machine answers at it."
        return Finding("bad", "Held back", advice)
    other = next((other for other in by_name.values() if other.has(row.address)), None)
    if other is not None:
        more = _add(row, is_shared=is_shared) if wanted else ()
        advice = f"Choose {other.name} for it here, or move it to {own.name}."
        return Finding("warn", f"On {other.name}, not on {own.name}", advice, (_remove(row, other), *more))
    return _absent(row, wanted=wanted, is_shared=is_shared)


def _present(row: IPConfig, own: Interface, *, wanted: bool) -> Finding:
    here = f"On {own.name}"
    if not wanted and row.enabled:
        advice = "This appliance does not serve as primary, and only the primary may have a shared IP. "
        return Finding("bad", here, f"{advice}Disable it, and take it off.", (_remove(row, own),))
    if not wanted:
        return Finding("warn", f"Still on {own.name}", "It is not to be there: take it off.", (_remove(row, own),))
    if not row.enabled:
        return Finding("warn", here, "It is disabled in this list. Enable it: this appliance is primary.")
    if not own.has_carrier:
        return Finding("warn", f"{here}, no link", f"The link of {own.name} is down: nobody reaches it.")
    return Finding("good", here)


def _absent(row: IPConfig, *, wanted: bool, is_shared: bool) -> Finding:
    here = f"Not on {row.interface}"
    if not wanted and row.enabled:
        advice = "Disable it: this appliance does not serve as primary, and only the primary has a shared IP enabled."
        return Finding("warn", here, advice)
    if not wanted:
        return Finding("", here)
    advice = "Put it on the interface" if row.enabled else "Enable it, and put it on the interface"
    why = " as soon as the Failover page says that the peer does not have it." if is_shared else "."
    return Finding("bad", here, advice + why, _add(row, is_shared=is_shared))


def _add(row: IPConfig, *, is_shared: bool) -> tuple[str, ...]:
    """The commands that put it on its interface; neighbours are told of a shared IP, which had another MAC before."""
    device = shlex.quote(row.interface)
    added = f"ip address add {row.with_prefix} dev {device}"
    is_told = is_shared and ":" not in row.address
    return (added, f"arping -U -c 3 -I {device} {row.address}") if is_told else (added,)


def _remove(row: IPConfig, interface: Interface) -> str:
    return f"ip address del {interface.written(row.address)} dev {shlex.quote(interface.name)}"


def removals(row: IPConfig, found: Iterable[Interface]) -> list[str]:
    """The commands that take an address off every interface that has it."""
    return [_remove(row, interface) for interface in found if interface.has(row.address)]
