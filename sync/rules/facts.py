"""The values that the rules decide on: frozen, comparable, without clock or database.

The terms are those of `sync/README.md`, Roles and terms.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliances.choices import OperationKind, Role, State


@dataclass(frozen=True, order=True)
class Head:
    """The version of the settings: the term they were written in, and a count of changes in it."""

    term: int
    seq: int


@dataclass(frozen=True)
class Operation:
    """A planned swap as one side holds it: `op_id` is (term of the old primary, its counter)."""

    kind: OperationKind
    op_id: tuple[int, int]
    new_term: int
    want_final_sync: bool


@dataclass(frozen=True)
class RoleState:
    """The durable role state of one appliance.

    `parity` is 0 for the founding primary, 1 for the founding backup; `own_term` is the last term that
    this appliance owned (-1: none); `term` the highest it has seen.
    """

    state: State = State.NONE
    parity: int = 0
    term: int = 0
    own_term: int = -1
    head: Head = Head(0, 0)
    base_head: Head = Head(0, 0)
    op: Operation | None = None
    op_counter: int = 0
    last_op_id: tuple[int, int] = (-1, 0)
    initialised: bool = False
    superseded_by: int | None = None

    @property
    def role(self) -> Role:
        """The role that the state belongs to."""
        return role_of(self.state)

    @property
    def is_serving(self) -> bool:
        """Whether clients are served: stand-alone, an active primary, or one that swaps without a final data-sync."""
        if self.state == State.P_DRAINING:
            return self.op is not None and not self.op.want_final_sync
        return self.state in WRITABLE_STATES

    @property
    def is_writable(self) -> bool:
        """Whether settings may be changed here."""
        return self.state in WRITABLE_STATES


@dataclass(frozen=True)
class Header:
    """What every message between the appliances carries about its sender."""

    state: State
    own_term: int
    term: int
    head: Head
    base_head: Head
    op: Operation | None
    initialised: bool

    @property
    def role(self) -> Role:
        """The role of the sender."""
        return role_of(self.state)


# In these an appliance has the shared IPs; in every other one it must not.
HOLDING_STATES = frozenset({State.P_ACTIVE, State.P_DRAINING})
WRITABLE_STATES = frozenset({State.NONE, State.P_ACTIVE})
PRIMARY_STATES = frozenset({State.P_UNCONFIRMED, State.P_ACTIVE, State.P_DRAINING, State.P_SUPERSEDED})
BACKUP_STATES = frozenset({State.B_IDLE, State.B_SYNCING, State.B_READY, State.B_YIELDED, State.B_PROMOTING})


def role_of(state: State) -> Role:
    """The role that a state belongs to."""
    if state in PRIMARY_STATES:
        return Role.PRIMARY
    if state in BACKUP_STATES:
        return Role.BACKUP
    return Role.NONE


def header_of(state: RoleState) -> Header:
    """The header that an appliance in this role state sends."""
    return Header(
        state=state.state,
        own_term=state.own_term,
        term=state.term,
        head=state.head,
        base_head=state.base_head,
        op=state.op,
        initialised=state.initialised,
    )


def ballot(parity: int, term: int) -> int:
    """The smallest term above `term` that belongs to the appliance of this parity."""
    following = term + 1
    return following if following % 2 == parity else following + 1


@dataclass(frozen=True)
class Observation:
    """What one turn knows. Durations are seconds; `failures` counts silent looks at the peer in a row.

    `peer_op` is the operation that the peer's last answer carried, `peer_change` the id of its running role change.
    `change` is the id of the running role change here, `change_age` its age; `is_driven`: a living process drives it.
    `is_sync_due`: the interval says so.
    """

    state: RoleState
    seconds_in_state: float
    seconds_since_answer: float | None
    failures: int
    peer_op: Operation | None
    peer_change: str
    change: str
    change_age: float
    is_driven: bool
    is_sync_due: bool
    is_sync_running: bool
    boot_seconds: float
    hears_test_ip: bool
    can_serve: bool
