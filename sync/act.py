"""HANDS: let the rules answer an event, make the answer durable, then carry out its effects."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction
from django.utils import timezone

from appliances.choices import ChangeStatus
from appliances.services.sessions import end_sessions
from sync import crash, history, journal
from sync.errors import PeerError
from sync.models import BrakeStop, RoleChange, RoleJournal, StatusEvent
from sync.peer import messages
from sync.peer.client import PeerClient
from sync.rules import effects, role
from sync.rules import events as e
from sync.rules.due import PROBE_TOTAL_SECONDS
from sync.rules.edge import Edge
from sync.rules.facts import RoleState, header_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of an event: the state before and after, the rows taken, or why nothing was done."""

    before: RoleState
    after: RoleState
    rows: tuple[str, ...]
    sentence: str
    refusal: str

    @property
    def is_refused(self) -> bool:
        """Whether the event was refused by the conditions of its row."""
        return bool(self.refusal)


def deliver(event: e.Event, *, asked_in: RoleState | None = None, evidence: dict[str, Any] | None = None) -> Outcome:
    """Let the rules answer `event`; when this returns, the new state is durable and its effects were tried.

    1. take the lock of the role journal; 2. ask `role.handle`; 3. write state, Status History and the record of the
    role change in one transaction; 4. carry out the effects. `asked_in` is the state in which the question was
    asked that `event` answers: if it has changed since, the answer is not current.

    Raises:
        UnknownEdge: the table has no row for this; nothing was changed.
    """
    with transaction.atomic():
        with journal.locked() as held:
            before = held.state
            if isinstance(event, e.PeerSeen) and asked_in is not None:
                unchanged = _stands(before) == _stands(asked_in)
                event = replace(event, is_current=event.is_current and unchanged)
            result = role.handle(before, event)
            held.state = result.state
            if result.state.role is not before.role:
                BrakeStop.objects.all().delete()  # what an appliance would delete, it would delete in its role
            if isinstance(event, e.Boot):
                held.restart_clock()
            facts = _evidence(event, before, result.state) | (evidence or {})
            for edge in result.edges:
                if edge.sentence and not _is_told(edge):
                    history.record(f"role.{edge.row}", edge.tells(event), severity=edge.severity, evidence=facts)
                _note_change(edge, event, before, result.state)
            _pass(result.edges, "before")
        transaction.on_commit(lambda: _when_durable(result))
    return Outcome(
        before=before,
        after=result.state,
        rows=tuple(edge.row for edge in result.edges),
        sentence=next((edge.tells(event) for edge in reversed(result.edges) if edge.sentence), ""),
        refusal=result.refusal,
    )


def _when_durable(result: role.Result) -> None:
    _pass(result.edges, "durable")
    carry_out(result.effects)


def _pass(edges: tuple[Edge, ...], when: str) -> None:
    for edge in edges:
        crash.point(f"row.{edge.row} {when}")


def _is_told(edge: Edge) -> bool:
    """Whether the row is told once only, and has been since the present state began."""
    if not edge.told_once:
        return False
    return StatusEvent.objects.filter(event=f"role.{edge.row}", at__gte=RoleJournal.load().changed_at).exists()


def _stands(state: RoleState) -> tuple[object, ...]:
    """What must not have changed between a question and its answer for the answer to be current."""
    return state.state, state.op, state.own_term


def _evidence(event: e.Event, before: RoleState, after: RoleState) -> dict[str, Any]:
    header = getattr(event, "header", None) or getattr(event, "peer", None)
    facts: dict[str, Any] = {
        "event": re.sub(r"\B([A-Z])", r" \1", type(event).__name__).capitalize(),
        "state": _from_to(before.state.label, after.state.label),
        "term": _from_to(str(before.term), str(after.term)),
        "settings": f"version {after.head.term}.{after.head.seq}",
    }
    if header is not None:
        facts["peer"] = f"{header.state.label}, term {header.term}, settings {header.head.term}.{header.head.seq}"
    if reason := getattr(event, "reason", ""):
        facts["reason"] = reason
    return facts


def _from_to(before: str, after: str) -> str:
    return after if before == after else f"{before} → {after}"


def _note_change(edge: Edge, event: e.Event, before: RoleState, after: RoleState) -> None:
    """Keep the readable record of the running role change in step with the row that was taken."""
    running = RoleChange.objects.select_for_update().filter(status=ChangeStatus.RUNNING).first()
    if running is None:
        return
    if edge.step is not None:
        running.step = edge.step
    running.status = edge.end_of_change(before.state, after.state) or ChangeStatus.RUNNING
    if running.status == ChangeStatus.CANCELLED:
        running.reason = getattr(event, "reason", "") or edge.tells(event)
    if after.op is not None:
        running.op_term, running.op_number = after.op.op_id
    if running.status != ChangeStatus.RUNNING:
        running.finished_at = timezone.now()
    running.save(update_fields=["step", "status", "reason", "op_term", "op_number", "finished_at"])


def carry_out(todo: tuple[effects.Effect, ...]) -> None:
    """Carry out effects in their order. One that fails because of the peer is logged; the next turn tries again."""
    for effect in todo:
        crash.point(f"effect.{type(effect).__name__} before")
        try:
            _carry_out(effect)
        except PeerError as error:
            log.warning("effect failed", extra={"effect": type(effect).__name__, "code": error.code, "why": str(error)})
        crash.point(f"effect.{type(effect).__name__} after")


def _carry_out(effect: effects.Effect) -> None:
    match effect:
        case effects.SendGrant():
            message = messages.Grant(header_of(journal.read()), effect.op_id, effect.new_term)
            with PeerClient.to_peer(timeout=PROBE_TOTAL_SECONDS) as client:
                reply = client.ask(message, messages.Done, challenge=effect.challenge)
            deliver(e.PeerSeen(reply.header))
        case effects.SendCancel():
            cancel = messages.Cancel(header_of(journal.read()), "", effect.op_id, effect.reason)
            with PeerClient.to_peer(timeout=PROBE_TOTAL_SECONDS) as client:
                client.ask(cancel, messages.Done)
        case effects.DisconnectClients():
            end_sessions()
