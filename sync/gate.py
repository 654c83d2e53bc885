"""What the role of this appliance lets pages do: named by settings.ROLE_GATE, read for every request."""

from __future__ import annotations

from appliances import selectors
from appliances.choices import Role, State
from appliances.gate import Gate
from sync import journal, serving
from sync.rules.facts import RoleState

_SWAP = "The two appliances are swapping their roles. This page comes back by itself."
_SENTENCES = {
    State.P_UNCONFIRMED: "This appliance has just started and is making sure of its role.",
    State.P_DRAINING: _SWAP,
    State.P_SUPERSEDED: "This appliance is no longer the primary.",
    State.B_IDLE: "This appliance is the backup.",
    State.B_SYNCING: _SWAP,
    State.B_READY: _SWAP,
    State.B_YIELDED: _SWAP,
    State.B_PROMOTING: "This appliance is taking over from the primary. This page comes back by itself.",
}
_HELD = "This appliance cannot write to its database, or stands still, and does not serve until it works again."
DATA_SYNC_SENTENCE = (
    "A data-sync is in progress before the appliances swap their roles. Everybody has been disconnected and log-ins "
    "are refused until it is done. This page comes back by itself."
)
# While the peer is known to be primary, or about to be.
_POINT_TO_PEER = frozenset({State.P_SUPERSEDED, State.B_IDLE, State.B_SYNCING, State.B_READY, State.B_YIELDED})


def read() -> Gate:
    """The gate as the role journal has it now: one query while this appliance serves, two while it does not."""
    state = journal.read()
    return gate_of(state, is_held=state.is_serving and state.role is Role.PRIMARY and serving.has_run_out())


def gate_of(state: RoleState, *, is_held: bool = False) -> Gate:
    """The gate of a role state. `is_held`: this primary does not get its turns done, so it may have lost its role."""
    drains_with_data_sync = state.state is State.P_DRAINING and state.op is not None and state.op.want_final_sync
    return Gate(
        role=state.role,
        is_serving=state.is_serving and not is_held,
        is_writable=state.is_writable and not is_held,
        operation_running=state.op is not None,
        refuses_log_ins=drains_with_data_sync,
        primary_url=_peer_url() if state.state in _POINT_TO_PEER else None,
        sentence=_HELD if is_held else DATA_SYNC_SENTENCE if drains_with_data_sync else _SENTENCES.get(state.state, ""),
    )


def _peer_url() -> str | None:
    relationship = selectors.relationship()
    return relationship.peer_url if relationship else None
