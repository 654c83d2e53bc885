"""Does the pair find back? From any state, with the network healed and at most one press of Fix This Error (I9, I12).

Every process has ended and no letter is left; the appliances take their turns, with the real rules of what is due.
"""

from __future__ import annotations

from collections import deque

from appliances.choices import State
from sync.rules import due
from sync.rules import events as e
from sync.rules.facts import PRIMARY_STATES, Observation
from tests.simulation import moves
from tests.simulation.flows import Flows
from tests.simulation.hands import Step
from tests.simulation.letters import Letter, Pull
from tests.simulation.node import Node, Violation, end_change, forget

ROUNDS = 12
LONG_AGO = 10_000.0
LETTERS_AT_ONCE = 100
Pair = list[Node]


class Healing:
    """The healing of pairs under the rules of `flows`."""

    def __init__(self, flows: Flows) -> None:
        self._flows = flows

    def rest(self, node: Node) -> Node:
        """What matters of an appliance once its processes have ended; ghosts of the checker are left out."""
        return forget(node)._replace(owned=0, is_alone=False)

    def problem(self, a: Node, b: Node) -> str:
        """What is wrong with a pair that is left to itself, then helped once; empty if it becomes good."""
        rows = set(self._flows.rows)
        try:
            return self._problem(a, b)
        except Violation as violation:
            return f"{violation} (while it heals)"
        finally:
            self._flows.rows.intersection_update(rows)  # what only healing reaches is not shown to be searched

    def _problem(self, a: Node, b: Node) -> str:
        after = self._settle([a, b])
        if self._is_good(after):
            return ""
        if after[0].role.is_serving and after[1].role.is_serving:
            return f"I12: both appliances serve although they have met: {told(after)}"
        is_synchronised = after[0].role.head == after[1].role.head and after[0].change is after[1].change is None
        if is_synchronised and has_roles(after):
            return f"I4: after a data-sync the appliances hold different recordings: {told(after)}"
        highest = max(a.role.term, b.role.term)
        has_owner = any(node.role.state in PRIMARY_STATES and node.role.own_term == highest for node in (a, b))
        if has_owner and not any(node.role.state == State.P_ACTIVE for node in after):
            return f"I12: the owner of the highest term does not serve by itself: {told(after)}"
        for side in (0, 1):
            fixed = self._settle(self._fix(list(after), side))
            if not self._is_good(fixed):
                return (
                    f"I9: Fix This Error, pressed on {'AB'[side]}, does not help: {told(fixed)}, before: {told(after)}"
                )
        return ""

    def _fix(self, pair: Pair, side: int) -> Pair:
        self._do(pair, side, moves.press(pair[side], "fix", 0))
        return pair

    def _is_good(self, pair: Pair) -> bool:
        return is_good(pair) and pair == [self._flows.reconcile(node) for node in pair]

    def _settle(self, pair: Pair) -> Pair:
        for _ in range(ROUNDS):
            before = list(pair)
            for side in (0, 1):
                self._turn(pair, side)
            if pair == before:
                break
        return pair

    def _turn(self, pair: Pair, side: int) -> None:
        self._do(pair, side, moves.ask(pair[side], 99))
        if pair[side].role.state == State.B_PROMOTING:  # the guard does not hold any more: the peer answers
            self._do(pair, side, self._flows.happen(pair[side], e.TakeoverAborted("the peer answers")))
        pair[side] = self._flows.reconcile(pair[side])
        seen = _observe(pair, side)
        for event in due.events_due(seen):
            self._do(pair, side, self._flows.happen(pair[side], event))
        if due.is_grant_to_be_repeated(seen):
            self._do(pair, side, moves.repeat_grant(self._flows, pair[side]))
        if due.why_change_is_over(_observe(pair, side)):
            pair[side] = end_change(pair[side])
        work = due.work_due(_observe(pair, side))
        if due.Work.DRIVE_ROLE_CHANGE in work:
            self._drive(pair, side)
        if due.Work.PULL_DATA in work:
            self._do(pair, side, Step(pair[side], (Pull(1 - side, None),)))

    def _drive(self, pair: Pair, side: int) -> None:
        self._do(pair, side, self._flows.drive(pair[side]))
        self._do(pair, side, self._flows.prepared(pair[side]))
        drive = pair[side].drive
        if drive is not None and drive.phase in ("asked", "offered"):
            self._do(pair, side, self._flows.give_up(pair[side]))
        pair[side] = forget(pair[side])

    def _do(self, pair: Pair, side: int, step: Step | None) -> None:
        """Carry a step out, and deliver every letter that follows from it, once and in order."""
        if step is None:
            return
        pair[side] = step.node
        letters: deque[Letter] = deque(step.sent)
        for _ in range(LETTERS_AT_ONCE):
            for place in (0, 1):
                if pair[place].pending:
                    letters.extend(
                        self._flows.letter_of(pair[place], effect, owing) for effect, owing in pair[place].pending
                    )
                    pair[place] = pair[place]._replace(pending=())
            if not letters:
                return
            letter = letters.popleft()
            found = self._flows.take(pair[letter.to], letter)
            if found is not None:
                pair[letter.to] = found.node
                letters.extend(found.sent)
        raise Violation("the appliances never stop writing to each other")


def _observe(pair: Pair, side: int) -> Observation:
    node, peer = pair[side], pair[1 - side]
    return Observation(
        state=node.role,
        seconds_in_state=LONG_AGO,
        seconds_since_answer=0.0,
        failures=0,
        peer_op=peer.op,
        boot_seconds=30.0,
        hears_test_ip=True,
        can_serve=True,
        peer_change=str(peer.change.number) if peer.change else "",
        change=str(node.change.number) if node.change else "",
        change_age=LONG_AGO,
        is_driven=False,
        is_sync_due=True,
        is_sync_running=False,
    )


def is_good(pair: Pair) -> bool:
    """One serves, the other is its backup and holds the same, and nothing is left to be done."""
    a, b = pair
    is_equal = (a.settings, a.recordings, a.role.head) == (b.settings, b.recordings, b.role.head)
    return has_roles(pair) and is_equal and a.change is None and b.change is None


def has_roles(pair: Pair) -> bool:
    """One serves, the other is its backup."""
    return {pair[0].role.state, pair[1].role.state} == {State.P_ACTIVE, State.B_IDLE}


def told(pair: Pair) -> str:
    """The pair in a few words."""
    return "; ".join(
        f"{'AB'[node.side]} {node.role.state}, term {node.role.term}, own {node.role.own_term}, head "
        f"{node.role.head.term}.{node.role.head.seq}, op {node.op.kind if node.op else 'none'}, change {node.change}"
        for node in pair
    )
