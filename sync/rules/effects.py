"""What is to be done once a new role state is durable: values, carried out by `sync.act`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effect:
    """Something to carry out; every effect may be run twice."""


@dataclass(frozen=True)
class SendGrant(Effect):
    """Grant the role to the peer; repeated until answered. Without a challenge, one is fetched."""

    op_id: tuple[int, int]
    new_term: int
    challenge: str | None = None


@dataclass(frozen=True)
class SendCancel(Effect):
    """Tell the peer that the operation is given up; best effort."""

    op_id: tuple[int, int]
    reason: str


@dataclass(frozen=True)
class DisconnectClients(Effect):
    """End the sessions of clients and users."""
