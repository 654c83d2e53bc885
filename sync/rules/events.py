"""What can happen to an appliance in the role protocol: frozen values, nothing else.

Rows are those of the transition table in `sync.rules.table`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sync.rules.facts import Head, Header


@dataclass(frozen=True)
class Event:
    """Something that the role protocol answers."""


@dataclass(frozen=True)
class Establish(Event):
    """A relationship was proved both ways; parity 0 is the founding primary, 1 the founding backup (row 1)."""

    parity: int


@dataclass(frozen=True)
class Boot(Event):
    """The appliance starts (row 2)."""


@dataclass(frozen=True)
class BootTimedOut(Event):
    """The peer has not answered for the whole boot time (rows 4, 5).

    `hears_test_ip` is True where none is configured. `address_holder`: the hardware address that answers at the shared
    IP; empty where nobody does, or none is configured here. `has_witness` is None where no witness is configured.
    """

    hears_test_ip: bool = True
    can_serve: bool = True
    address_holder: str = ""
    has_witness: bool | None = None


@dataclass(frozen=True)
class LeaseRanOut(Event):
    """A primary must not go on: its turns stood still, or its address lease was not renewed in time (row 2)."""

    reason: str


@dataclass(frozen=True)
class Isolated(Event):
    """Neither the peer nor anybody else who could tell has answered for the isolation time (row 7)."""

    seconds: float
    reason: str = "Neither the peer nor any connectivity test IP answers"


@dataclass(frozen=True)
class Unwell(Event):
    """The portal, the database or the turns of this appliance have not worked for the isolation time (row 7b)."""

    reason: str


@dataclass(frozen=True)
class TakeoverDue(Event):
    """The guard of automatic failover holds in every clause (rows 12b, 19)."""

    reason: str


@dataclass(frozen=True)
class TakeoverConfirmed(Event):
    """The guard held again, and fence and witness, where configured, confirmed (row 20)."""

    reason: str


@dataclass(frozen=True)
class TakeoverAborted(Event):
    """Something spoke against the take-over at the last moment (row 21)."""

    reason: str


@dataclass(frozen=True)
class ServeAgain(Event):
    """*Serve again*, pressed on a primary that does not serve while the peer cannot be contacted (row 31)."""

    peer: Header | None


@dataclass(frozen=True)
class PeerSeen(Event):
    """An authenticated header of the peer arrived (rows 3, 5, 6, 11, 15, 23, 24, 25, 30).

    `is_current`: it answers a question asked since the present state of this appliance began. Older headers teach the
    term and nothing else. `same_role_polls` counts the polls, 5 s apart, that found both in one role without an
    operation. `auto_resolve`: an old primary without unsynchronised settings may become backup by itself (row 30).
    `address_holder`: as in BootTimedOut, never that of the peer.
    """

    header: Header
    is_current: bool = False
    can_serve: bool = True
    same_role_polls: int = 0
    auto_resolve: bool = False
    address_holder: str = ""


@dataclass(frozen=True)
class HandoverAsked(Event):
    """The backup asks for the role (row 8)."""

    header: Header
    want_final_sync: bool
    schema_equal: bool = True


@dataclass(frozen=True)
class Offered(Event):
    """The primary offered its role (row 13, first half)."""

    header: Header
    op_id: tuple[int, int]
    new_term: int
    want_final_sync: bool


@dataclass(frozen=True)
class Prepared(Event):
    """The final data-sync is applied, or none was wanted (row 13, second half)."""

    op_id: tuple[int, int]


@dataclass(frozen=True)
class ReadyReceived(Event):
    """The backup is ready to take the role (row 10)."""

    header: Header
    op_id: tuple[int, int]
    new_term: int
    head: Head
    challenge: str


@dataclass(frozen=True)
class Granted(Event):
    """The old primary, durably backup, grants the role (row 14)."""

    header: Header
    op_id: tuple[int, int]
    new_term: int


@dataclass(frozen=True)
class GrantUnanswered(Event):
    """The grant has had no answer for a minute (row 12)."""


@dataclass(frozen=True)
class OperationLost(Event):
    """The operation cannot go on: cancelled, timed out, or the peer is gone (rows 9, 15, 15b).

    `is_peer_out`: the primary has said that it holds the operation no more, or has been silent for the whole time-out.
    A backup that has promised to take the role keeps its promise without that: the primary may have yielded already.
    """

    op_id: tuple[int, int]
    reason: str
    tell_peer: bool = True
    is_peer_out: bool = False


@dataclass(frozen=True)
class BecomeBackup(Event):
    """*Become Backup* where no planned swap is possible (rows 16, 17, 26). `peer` is None if it did not answer."""

    peer: Header | None
    without_peer: bool


@dataclass(frozen=True)
class BecomePrimary(Event):
    """*Become Primary* where no planned swap is possible (rows 18, 27).

    `peer` is None if it did not answer. `demoted_for` is the term for which the peer acknowledged a demotion.
    """

    peer: Header | None
    demoted_for: int | None = None


@dataclass(frozen=True)
class DemoteReceived(Event):
    """The peer takes, or holds, a higher term (row 28)."""

    header: Header
    new_term: int


@dataclass(frozen=True)
class PromoteReceived(Event):
    """The peer has become backup and wants this appliance to be primary (row 29)."""

    header: Header
    new_term: int


@dataclass(frozen=True)
class BreakRelationship(Event):
    """The relationship ends (row 22)."""

    reason: str
