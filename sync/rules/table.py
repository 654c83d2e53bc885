"""The transition table of the role protocol: data. `sync.rules.role.handle` reads it from top to bottom."""

from __future__ import annotations

from appliances.choices import ChangeStatus, Severity, State
from sync.rules import actions as do
from sync.rules import events as e
from sync.rules.edge import Edge
from sync.rules.facts import PRIMARY_STATES
from sync.rules.rows_alone import ALONE
from sync.rules.rows_seen import SEEN
from sync.rules.rows_swap import SWAP

TABLE: tuple[Edge, ...] = ALONE + SEEN + SWAP

SUPERSEDED = Edge(
    "6",
    PRIMARY_STATES - {State.P_SUPERSEDED},
    e.PeerSeen,
    State.P_SUPERSEDED,
    "The peer owns a higher term: this appliance stopped serving.",
    do.supersede,
    (),
    Severity.ERROR,
    ends=ChangeStatus.CANCELLED,
)
