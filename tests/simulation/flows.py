"""How an appliance of the model answers letters: joined as in `sync.role_changes.answers`, `drive` and `requests`.

Each function gives what the appliance is afterwards and the letters that it sends: one step, durable as a whole. None
means that the letter is refused, or that nobody waits for it any more; nothing changed.
"""

from __future__ import annotations

from dataclasses import replace

from appliances.choices import OperationKind, Role, State
from sync.rules import events as e
from sync.rules.actions import operation_of
from sync.rules.due import is_unsettled
from sync.rules.effects import Effect
from sync.rules.facts import BACKUP_STATES, PRIMARY_STATES, Header, ballot, header_of
from sync.rules.snapshot import SOURCE_STATES, may_serve
from tests.simulation import letters as m
from tests.simulation.fixing import Fixing
from tests.simulation.hands import Step
from tests.simulation.node import (
    POLLS_COUNTED,
    Change,
    Drive,
    Node,
    Press,
    Stands,
    Violation,
    apply_snapshot,
    end_change,
    stands,
)

SWAP_OF_PRESS = 9  # the number of the change that a press begins while the pair heals


class Flows(Fixing):
    """The flows of an appliance under one set of rules."""

    def take(self, node: Node, letter: m.Letter) -> Step | None:
        """What a letter does to the appliance that it is for."""
        if node.role.state == State.NONE:
            return None  # nobody holds the keys of a pair that is no more
        found: Step | None = getattr(self, f"_{type(letter).__name__}")(node, letter)
        return None if found == Step(node) else found

    # Answers, as in sync.role_changes.answers and sync.datasync.export.

    def _Status(self, node: Node, letter: m.Status) -> Step:
        node = self.deliver(node, e.PeerSeen(letter.header)).node
        return Step(node, (m.StatusReply(1 - node.side, letter.question, header_of(node.role)),))

    def _SwapWish(self, node: Node, letter: m.SwapWish) -> Step | None:
        if node.role.state != State.B_IDLE or not (letter.want_final_sync or node.role.initialised):
            return None
        mirrored = _mirror(node, Change(letter.change, letter.want_final_sync))
        return mirrored and Step(mirrored)

    def _HandoverRequest(self, node: Node, letter: m.HandoverRequest) -> Step | None:
        mirrored = _mirror(node, Change(letter.change, letter.want_final_sync))
        if mirrored is None:
            return None
        done = self.deliver(mirrored, e.HandoverAsked(letter.header, letter.want_final_sync))
        if done.is_refused:
            return None  # the transaction is rolled back
        op = operation_of(done.node.role)
        header = header_of(done.node.role)
        offer = m.Offer(1 - node.side, letter.change, header, op.op_id, op.new_term, op.want_final_sync)
        return Step(done.node, (offer,))

    def _Ready(self, node: Node, letter: m.Ready) -> Step:
        done = self.deliver(node, e.ReadyReceived(letter.header, letter.op_id, letter.new_term, letter.head, "c"))
        if done.is_refused:
            return Step(done.node, (m.ReadyRefused(1 - node.side, letter.op_id),))
        return self.carry_out(done.node, done.effects)

    def _Grant(self, node: Node, letter: m.Grant) -> Step:
        done = self.deliver(node, e.Granted(letter.header, letter.op_id, letter.new_term))
        if done.is_refused:
            return Step(done.node)
        if node.role.own_term != done.node.role.own_term and letter.acknowledged & ~node.settings:
            raise Violation("I5: settings that the old primary had acknowledged are not on the new one")
        return Step(done.node, (m.Granted(1 - node.side, header_of(done.node.role)),))

    def _Cancel(self, node: Node, letter: m.Cancel) -> Step:
        change, op = node.change, node.op
        is_change = change is not None and change.number == letter.change
        effects: tuple[Effect, ...] = ()
        if op is not None and (is_change or op.op_id == letter.op_id) and node.role.state != State.B_YIELDED:
            lost = e.OperationLost(op.op_id, "cancelled", tell_peer=False, is_peer_out=True)
            done = self.deliver(node, lost)
            if done.is_refused:
                return Step(done.node)
            node, effects = done.node, done.effects
        elif is_change and op is None:
            node = end_change(node)
        reply: tuple[m.Letter, ...] = ()
        if letter.withdraws and letter.op_id is not None:
            reply = (m.Cancelled(1 - node.side, letter.op_id, node.role.state in PRIMARY_STATES),)
        return self.carry_out(node, effects, *reply)

    def _Demote(self, node: Node, letter: m.Demote) -> Step:
        done = self.deliver(node, e.DemoteReceived(letter.header, letter.new_term))
        if done.is_refused:
            return Step(done.node)
        return Step(done.node, (m.Demoted(1 - node.side, header_of(done.node.role), letter.new_term),))

    def _Pull(self, node: Node, letter: m.Pull) -> Step | None:
        if may_serve(node.role, letter.op_id) is not None:
            return None
        state = node.role
        held = m.Snapshot(1 - node.side, letter.op_id, state.own_term, state.head, node.settings, node.recordings)
        return Step(node, (held,))

    def _Push(self, node: Node, letter: m.Push) -> Step | None:
        if node.role.state not in SOURCE_STATES or node.role.own_term < node.role.term:
            return None
        return Step(node._replace(recordings=node.recordings | letter.recordings))

    # Replies, taken only by whoever still waits for them.

    def _StatusReply(self, node: Node, letter: m.StatusReply) -> Step | None:
        if node.ask is not None and node.ask[0] == letter.question:
            return Step(self._look(node._replace(ask=None), node.ask[1], letter.header))
        press = node.press
        if press is not None and press.question == letter.question:
            node = self._look(node._replace(press=None), press.stands, letter.header)
            proceed = self.propose if press.target == "fix" else self._press
            return proceed(node, press, letter.header)
        return None

    def _look(self, node: Node, asked_in: Stands, header: Header) -> Node:
        """As `sync.probes` counts polls and `role_changes.take_in` delivers."""
        then = replace(node.role, state=asked_in[0], op=asked_in[1])
        node = node._replace(polls=min(node.polls + 1, POLLS_COUNTED) if is_unsettled(then, header) else 0)
        is_current = stands(node.role) == asked_in
        seen = e.PeerSeen(header, is_current=is_current, same_role_polls=node.polls, auto_resolve=self.auto_resolve)
        return self.deliver(node, seen).node

    def _press(self, node: Node, press: Press, header: Header) -> Step:
        """As `role_changes.request` goes on once the peer has answered."""
        state = node.role
        if node.change is not None and state.state != State.B_YIELDED:
            return Step(node)
        is_deserted = header.state == State.P_SUPERSEDED and state.role == Role.BACKUP and header.head <= state.head
        if header.state in (BACKUP_STATES if press.target == "backup" else PRIMARY_STATES) and not is_deserted:
            swap = Change(SWAP_OF_PRESS, want_final_sync=True)
            return (self.begin_swap(node, press.target, swap) if press.may_swap else None) or Step(node)
        if press.target == "backup":
            done = self.deliver(node, e.BecomeBackup(header, without_peer=False))
            return self.carry_out(done.node, done.effects)
        if state.role == Role.PRIMARY:
            return Step(node)
        term = ballot(state.parity, max(state.term, header.term))
        waits = press._replace(question=None, demotes_for=term)
        return Step(node._replace(press=waits), (m.Demote(1 - node.side, header_of(state), term),))

    def begin_swap(self, node: Node, target: str, change: Change) -> Step | None:
        """As `role_changes.request` begins a planned swap."""
        if node.change is not None:
            return None
        if target == "backup":
            if node.role.state != State.P_ACTIVE:
                return None
            return Step(node._replace(change=change), (m.SwapWish(1 - node.side, *change),))
        if node.role.state != State.B_IDLE or not (change.want_final_sync or node.role.initialised):
            return None
        return Step(node._replace(change=change))

    def _Demoted(self, node: Node, letter: m.Demoted) -> Step | None:
        if node.press is None or node.press.demotes_for != letter.new_term:
            return None
        node = node._replace(press=None)
        done = self.deliver(node, e.BecomePrimary(letter.header, demoted_for=letter.new_term))
        return self.carry_out(done.node, done.effects)

    def _Granted(self, node: Node, letter: m.Granted) -> Step:
        return Step(self.deliver(node, e.PeerSeen(letter.header)).node)

    def _Cancelled(self, node: Node, letter: m.Cancelled) -> Step | None:
        if node.withdraws != letter.op_id:
            return None
        node = node._replace(withdraws=None)
        if not letter.is_primary:
            return Step(node)
        lost = e.OperationLost(letter.op_id, "cancelled", tell_peer=False, is_peer_out=True)
        return Step(self.deliver(node, lost).node)

    def _Snapshot(self, node: Node, letter: m.Snapshot) -> Step | None:
        after = apply_snapshot(
            self.rules, node, letter.head, letter.own_term, letter.settings, letter.recordings, letter.op_id
        )
        if after is None:
            return None
        drive, op = after.drive, after.op
        if drive is not None and drive.phase == "offered" and op is not None and op.op_id == letter.op_id:
            after = after._replace(drive=drive._replace(phase="synced"))
        missing = node.recordings & ~letter.recordings if self.rules.pushes_recordings else 0
        return Step(after, (m.Push(1 - node.side, missing),) if missing else ())

    # The drive of a swap, as in sync.role_changes.drive.

    def _Offer(self, node: Node, letter: m.Offer) -> Step | None:
        drive = node.drive
        if drive is None or drive.phase != "asked" or drive.change.number != letter.change:
            return None
        done = self.deliver(node, e.Offered(letter.header, letter.op_id, letter.new_term, letter.want_final_sync))
        if done.is_refused or node.change != drive.change:
            step = self.give_up(node)  # what the rules had answered is rolled back
            return Step(step.node, (m.Cancel(1 - node.side, 0, letter.op_id), *step.sent))
        node = done.node._replace(drive=drive._replace(phase="offered" if letter.want_final_sync else "synced"))
        return Step(node, (m.Pull(1 - node.side, letter.op_id),) if letter.want_final_sync else ())

    def _ReadyRefused(self, node: Node, letter: m.ReadyRefused) -> Step | None:
        if node.drive is None or node.drive.phase != "ready" or node.op is None or node.op.op_id != letter.op_id:
            return None
        lost = e.OperationLost(letter.op_id, "refused", is_peer_out=True)
        done = self.deliver(node._replace(drive=None), lost)
        return self.carry_out(done.node, done.effects)

    def drive(self, node: Node) -> Step | None:
        """A worker begins to drive the running change, or goes on."""
        change, op, side = node.change, node.op, 1 - node.side
        if change is None:
            return None
        if node.role.state == State.B_IDLE:
            ask = m.HandoverRequest(side, *change, header_of(node.role))
            return Step(node._replace(drive=Drive("asked", change)), (ask,))
        if node.role.state == State.B_SYNCING and op is not None:
            drive = Drive("offered" if op.want_final_sync else "synced", change)
            return Step(node._replace(drive=drive), (m.Pull(side, op.op_id),) if op.want_final_sync else ())
        if node.role.state == State.B_READY:
            return self._tell_ready(node._replace(drive=Drive("ready", change)))
        return None

    def prepared(self, node: Node) -> Step | None:
        """The driving worker has applied what was wanted."""
        if node.drive is None or node.drive.phase != "synced" or node.op is None:
            return None
        if node.op.kind != OperationKind.OFFERED:
            return None
        done = self.deliver(node, e.Prepared(node.op.op_id))
        if done.is_refused:
            return self.give_up(node)
        return self._tell_ready(done.node._replace(drive=node.drive._replace(phase="ready")))

    def _tell_ready(self, node: Node) -> Step:
        op, state = node.op, node.role
        if op is None:
            return Step(node)
        return Step(node, (m.Ready(1 - node.side, header_of(state), op.op_id, op.new_term, state.head),))

    def give_up(self, node: Node) -> Step:
        """The drive failed: what was begun is undone."""
        node = node._replace(drive=None)
        effects: tuple[Effect, ...] = ()
        if node.role.state == State.B_SYNCING and node.op is not None:
            done = self.deliver(node, e.OperationLost(node.op.op_id, "given up"))
            node, effects = done.node, done.effects
        elif node.role.state != State.B_IDLE:
            return Step(node)
        if node.change is None:
            return self.carry_out(node, effects)
        told = m.Cancel(1 - node.side, node.change.number, None)
        return self.carry_out(end_change(node), effects, told)

    # An operator's cancel, as in sync.role_changes.requests.

    def cancel(self, node: Node) -> Step | None:
        """Somebody presses Cancel."""
        change, op = node.change, node.op
        if change is None or node.role.state == State.B_YIELDED:
            return None
        if op is None:
            return Step(end_change(node), (m.Cancel(1 - node.side, change.number, None),))
        if node.role.state == State.B_READY:
            withdrawal = m.Cancel(1 - node.side, change.number, op.op_id, withdraws=True)
            return Step(node._replace(withdraws=op.op_id), (withdrawal,))
        return self.happen(node, e.OperationLost(op.op_id, "cancelled"))


def _mirror(node: Node, change: Change) -> Node | None:
    if node.change is not None:
        return node if node.change.number == change.number else None
    return None if node.ended >> change.number & 1 else node._replace(change=change)
