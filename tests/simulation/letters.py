"""What travels between the two appliances of the model: the part of `sync.peer` messages that the rules can see."""

from __future__ import annotations

from dataclasses import dataclass

from sync.rules.conflict import Evidence
from sync.rules.facts import Head, Header

OpId = tuple[int, int]
Question = tuple[str, int]


@dataclass(frozen=True)
class Letter:
    """A request or a reply to the appliance `to`; it may arrive any number of times."""

    to: int


@dataclass(frozen=True)
class Status(Letter):
    """How the sender is; `question` is what its answer is bound to."""

    question: Question
    header: Header


@dataclass(frozen=True)
class StatusReply(Letter):
    """How the asked appliance is, after it has taken in the question."""

    question: Question
    header: Header


@dataclass(frozen=True)
class SwapWish(Letter):
    """Primary to backup: please drive a swap."""

    change: int
    want_final_sync: bool


@dataclass(frozen=True)
class HandoverRequest(Letter):
    """Backup to primary: please offer your role."""

    change: int
    want_final_sync: bool
    header: Header


@dataclass(frozen=True)
class Offer(Letter):
    """The reply to a handover request."""

    change: int
    header: Header
    op_id: OpId
    new_term: int
    want_final_sync: bool


@dataclass(frozen=True)
class Ready(Letter):
    """Backup to primary: ready to take the role."""

    header: Header
    op_id: OpId
    new_term: int
    head: Head


@dataclass(frozen=True)
class ReadyRefused(Letter):
    """The primary says that it has not yielded, and will not in this operation."""

    op_id: OpId


@dataclass(frozen=True)
class Grant(Letter):
    """The role is the receiver's. `acknowledged`: the settings that it must hold (seen by the checker alone)."""

    header: Header
    op_id: OpId
    new_term: int
    acknowledged: int


@dataclass(frozen=True)
class Granted(Letter):
    """The reply to a grant."""

    header: Header


@dataclass(frozen=True)
class Cancel(Letter):
    """The swap is given up. `withdraws`: the sender has promised to take the role and waits for the reply."""

    change: int
    op_id: OpId | None
    withdraws: bool = False


@dataclass(frozen=True)
class Cancelled(Letter):
    """The reply to the cancel of a promise."""

    op_id: OpId
    is_primary: bool


@dataclass(frozen=True)
class Demote(Letter):
    """Become backup: the sender takes a higher term."""

    header: Header
    new_term: int


@dataclass(frozen=True)
class Demoted(Letter):
    """The reply to a demotion that was carried out."""

    header: Header
    new_term: int


@dataclass(frozen=True)
class Promote(Letter):
    """Be primary: the sender has become backup."""

    header: Header
    new_term: int


@dataclass(frozen=True)
class EvidenceRequest(Letter):
    """What speaks for you as primary?"""

    question: Question
    header: Header


@dataclass(frozen=True)
class EvidenceReply(Letter):
    """What speaks for the sender as primary."""

    question: Question
    header: Header
    evidence: Evidence


@dataclass(frozen=True)
class Break(Letter):
    """The relationship is over."""


@dataclass(frozen=True)
class Pull(Letter):
    """Backup to primary: a data-sync, for the swap `op_id` or for none."""

    op_id: OpId | None


@dataclass(frozen=True)
class Snapshot(Letter):
    """What the primary held."""

    op_id: OpId | None
    own_term: int
    head: Head
    settings: int
    recordings: int


@dataclass(frozen=True)
class Push(Letter):
    """Recordings of the backup that go up to the primary."""

    recordings: int
