"""Fix This Error: which of two appliances is to be primary. Pure, symmetric, total.

The first criterion that separates the two decides. Where users are comes before whose settings are newer.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliances.choices import Role, State
from sync.rules.facts import Head, Header, RoleState

INITIALISED = "initialised"
LATER_TERM = "its settings are those of the appliance that became primary last"


@dataclass(frozen=True)
class Evidence:
    """What one appliance says of itself.

    `holds_shared_ip`: a shared IP is ticked and enabled there, and present on its interface.
    `has_site_name`: the public name of the site resolves there to that appliance's own address and not to the other's.
    `clients`: support sessions in progress there; `newest_session`: when the newest one known there began (Unix
    seconds, 0: none).
    `is_normal_primary`: it was the primary when the relationship was established.
    """

    guid: str
    has_site_name: bool
    initialised: bool
    head: Head
    own_term: int
    is_normal_primary: bool
    holds_shared_ip: bool = False
    clients: int = 0
    newest_session: float = 0.0


@dataclass(frozen=True)
class Choice:
    """Who is to be primary, which criterion decided, and `because` of what, in words."""

    winner: str
    loser: str
    criterion: str
    because: str
    winner_has_older_settings: bool

    def told(self, winner: str) -> str:
        """What the administrator reads; `winner` is the host name of the one that is to be primary."""
        return f"{winner} is to be primary, because {self.because}."


_CRITERIA: tuple[tuple[str, str], ...] = (
    ("holds_shared_ip", "it holds the shared IP"),
    ("has_site_name", "the site's public name leads to it"),
    (INITIALISED, "the other has never completed a data-sync"),
    ("head", "it has the newer settings"),
    ("own_term", "it was made primary last"),
    ("clients", "more clients are connected to it"),
    ("newest_session", "the newest session began there"),
    ("is_normal_primary", "it is the normal primary"),
)


def is_conflict(state: RoleState, peer: Header) -> bool:
    """Whether the two have one role, or neither serves: a superseded primary beside a backup."""
    if state.role == Role.NONE:
        return False
    is_deserted = State.P_SUPERSEDED in (state.state, peer.state) and Role.BACKUP in (state.role, peer.role)
    return state.role == peer.role or is_deserted


def decide(one: Evidence, other: Evidence) -> Choice:
    """Which of the two is to be primary; `decide(a, b)` and `decide(b, a)` name the same appliance.

    An appliance that has never completed a data-sync never wins against one that has.
    """
    criteria = _CRITERIA
    if one.initialised != other.initialised:
        criteria = tuple(c for c in _CRITERIA if c[0] == INITIALISED)
    for name, because in criteria:
        mine, theirs = getattr(one, name), getattr(other, name)
        if mine != theirs:
            winner, loser = (one, other) if mine > theirs else (other, one)
            if name == "head" and winner.head.term != loser.head.term:
                because = LATER_TERM
            return _choice(winner, loser, name, because)
    winner, loser = (one, other) if one.guid < other.guid else (other, one)
    return _choice(winner, loser, "guid", "nothing else tells the two apart")


def _choice(winner: Evidence, loser: Evidence, criterion: str, because: str) -> Choice:
    return Choice(
        winner=winner.guid,
        loser=loser.guid,
        criterion=criterion,
        because=because,
        winner_has_older_settings=winner.head < loser.head,
    )
