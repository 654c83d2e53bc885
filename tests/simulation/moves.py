"""What may happen on one appliance of the model without a letter: people, time, processes, a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from appliances.choices import State
from sync.rules import events as e
from sync.rules.effects import SendGrant
from sync.rules.facts import BACKUP_STATES, PRIMARY_STATES, Head, header_of
from tests.simulation import letters as m
from tests.simulation.flows import Flows
from tests.simulation.hands import Step
from tests.simulation.node import Change, Node, Press, end_change, forget, stands

Budgets = dict[str, int]
Move = tuple[str, Step | None, str]  # its name, what comes of it, the budget that it uses ("" for none)
Maker = Callable[[Flows, Node, Budgets], Iterator[Move]]


def moves(flows: Flows, node: Node, left: Budgets, makers: tuple[Maker, ...]) -> Iterator[Move]:
    """Every move that is open here; `left` is what is left of the budgets. Out of the pair nothing matters."""
    if node.role.state == State.NONE:
        return
    for maker in makers:
        for name, step, budget in maker(flows, node, left):
            if step is not None and (not budget or left.get(budget, 0) > 0):
                yield name, step, budget


def users(flows: Flows, node: Node, left: Budgets) -> Iterator[Move]:
    """Settings are written, sessions are recorded."""
    state = node.role
    if left.get("write") and flows.rules.is_writable(state):
        head = Head(state.head.term, state.head.seq + 1)
        after = node._replace(settings=node.settings | 1 << left["write"], role=replace(state, head=head))
        yield "write a setting", Step(after), "write"
    if left.get("record") and state.is_serving:
        yield "record a session", Step(node._replace(recordings=node.recordings | 1 << left["record"])), "record"


def operators(flows: Flows, node: Node, left: Budgets) -> Iterator[Move]:
    """Become Primary and Become Backup with the peer answering and without, Cancel, Break."""
    if left.get("swap"):
        target = "backup" if node.role.state in PRIMARY_STATES else "primary"
        for want in (True, False):
            how = "with a data-sync first" if want else "without a data-sync"
            change = Change(left["swap"], want)
            yield f"press Become {target.capitalize()}, {how}", flows.begin_swap(node, target, change), "swap"
    if left.get("cancel"):
        yield "press Cancel", flows.cancel(node), "cancel"
    if left.get("promote") and node.role.state in BACKUP_STATES:
        yield "press Become Primary without the peer", flows.happen(node, e.BecomePrimary(None)), "promote"
    if left.get("force") and node.role.state in PRIMARY_STATES:
        step = flows.happen(node, e.BecomeBackup(None, without_peer=True))
        yield "press Become Backup without the peer", step, "force"
    if left.get("press"):
        for target, has_it in (("backup", State.B_IDLE), ("primary", State.P_ACTIVE)):
            if node.role.state != has_it:
                yield f"press Become {target.capitalize()} (asks the peer)", press(node, target, left["press"]), "press"
    if left.get("fix"):
        yield "press Fix This Error", press(node, "fix", left["fix"]), "fix"


def breaks(flows: Flows, node: Node, left: Budgets) -> Iterator[Move]:
    """The relationship is broken: the peer is told, if it can be, and then or after a time this appliance leaves."""
    if node.press is not None and node.press.target == "break":
        yield "leave the relationship", flows.leave(node), ""
    elif left.get("break"):
        waits = Press("break", None, stands(node.role))
        yield "press Break", Step(node._replace(press=waits), (m.Break(1 - node.side),)), "break"


def press(node: Node, target: str, number: int, *, may_swap: bool = False) -> Step:
    """An operator presses a button: the peer is asked for its STATUS first."""
    question = ("press", number)
    waits = Press(target, question, stands(node.role), may_swap)
    return Step(node._replace(press=waits), (m.Status(1 - node.side, question, header_of(node.role)),))


def ask(node: Node, number: int) -> Step:
    """The turn asks the peer for its STATUS."""
    question = ("turn", number)
    node = node._replace(ask=(question, stands(node.role)))
    return Step(node, (m.Status(1 - node.side, question, header_of(node.role)),))


def turns(flows: Flows, node: Node, left: Budgets) -> Iterator[Move]:
    """The resident turn: STATUS, the ordinary data-sync, the grant that is repeated, and what time brings."""
    state = node.role.state
    if left.get("status"):
        yield "ask for STATUS", ask(node, left["status"]), "status"
    if state == State.B_IDLE and node.change is None:
        yield "pull a data-sync", Step(node, (m.Pull(1 - node.side, None),)), "sync"
    if state == State.B_YIELDED:
        yield "repeat the grant", repeat_grant(flows, node), ""
    for event in time_outs(node):
        yield f"time brings {type(event).__name__}", flows.happen(node, event), ""
    if node.change is not None and node.op is None:
        yield "end a swap that nobody drives", Step(end_change(node)), ""


def time_outs(node: Node) -> list[e.Event]:
    """What time may bring, as `sync.rules.due.events_due` would find it sooner or later."""
    state, op = node.role.state, node.op
    if state == State.P_UNCONFIRMED:
        return [e.BootTimedOut(), e.BootTimedOut(address_holder="somebody")]
    if state == State.B_YIELDED:
        return [e.GrantUnanswered()]
    if op is None or state not in (State.P_DRAINING, State.B_SYNCING, State.B_READY):
        return []
    return [e.OperationLost(op.op_id, "time", is_peer_out=state == State.B_READY)]


def repeat_grant(flows: Flows, node: Node) -> Step | None:
    """A grant that has had no answer goes out again."""
    if node.op is None:
        return None
    return flows.carry_out(node, (SendGrant(node.op.op_id, node.op.new_term),))


def workers(flows: Flows, node: Node, left: Budgets) -> Iterator[Move]:
    """The driver of a swap on the backup."""
    if node.drive is None:
        yield "drive the swap", flows.drive(node), ""
        return
    yield "promise to take the role", flows.prepared(node), ""
    if node.drive.phase in ("asked", "offered"):
        yield "give the swap up", flows.give_up(node), ""


def restarts(flows: Flows, node: Node, left: Budgets) -> Iterator[Move]:
    """The appliance loses its power and starts again."""
    if left.get("crash"):
        lost = forget(node)
        yield "restart", flows.happen(lost, e.Boot()) or (Step(lost) if lost != node else None), "crash"


def late_effects(flows: Flows, node: Node, left: Budgets) -> Iterator[Move]:
    """Effects that waited are carried out, with the header of this moment."""
    if node.pending:
        sent = tuple(flows.letter_of(node, effect, owing) for effect, owing in node.pending)
        yield "carry out what waited", Step(node._replace(pending=()), sent), ""


def address(flows: Flows, node: Node, left: Budgets) -> Iterator[Move]:
    """The shared IP is brought where it should be, or its lifetime ends."""
    after = flows.reconcile(node)
    if after != node:
        yield ("take the shared IP" if after.holds else "lose the shared IP"), Step(after), ""


def by_itself(flows: Flows, node: Node, left: Budgets) -> Iterator[Move]:
    """Automatic failover: the guard holds at any moment, a primary finds itself cut off or unwell at any moment."""
    state = node.role.state
    if left.get("auto") and state in (State.B_IDLE, State.B_YIELDED):
        yield "begin a take-over", flows.happen(node, e.TakeoverDue("silence")), "auto"
    if state == State.B_PROMOTING:
        yield "take over", flows.happen(node, e.TakeoverConfirmed("silence")), ""
        yield "leave the take-over", flows.happen(node, e.TakeoverAborted("it answers")), ""
    if left.get("isolate") and state in (State.P_ACTIVE, State.P_DRAINING):
        for event in (e.Isolated(72.0), e.Unwell("no portal"), e.LeaseRanOut("it stood still")):
            yield f"stop serving: {type(event).__name__}", flows.happen(node, event), "isolate"
    if left.get("serve") and state in (State.P_SUPERSEDED, State.P_UNCONFIRMED):
        yield "press Serve again without the peer", flows.happen(node, e.ServeAgain(None)), "serve"


ALL: tuple[Maker, ...] = (users, operators, breaks, address, by_itself, turns, workers, restarts, late_effects)
