"""The hands of an appliance of the model: an event is answered by the rules, its effects are carried out or wait."""

from __future__ import annotations

from typing import NamedTuple

from sync.rules import events as e
from sync.rules.effects import Effect, SendCancel, SendGrant
from sync.rules.facts import HOLDING_STATES, header_of
from tests.simulation import letters as m
from tests.simulation.node import Delivered, Node, Rules, deliver


class Step(NamedTuple):
    """The appliance after a step, and what it sent."""

    node: Node
    sent: tuple[m.Letter, ...] = ()


class Hands:
    """What an appliance does under one set of rules; `rows` collects the rows of the table that were taken.

    Where it `defers`, an effect waits until it is carried out by a move of its own, or is lost in a restart.
    `site_name`: the side to which the public name of the site leads; `auto_resolve` as in the settings of both.
    `has_address`: a shared IP is configured, and goes where the state of an appliance lets it.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        defers: bool = False,
        site_name: int | None = None,
        auto_resolve: bool = True,
        has_address: bool = False,
    ) -> None:
        self.rules, self._defers = rules, defers
        self.site_name, self.auto_resolve, self.has_address = site_name, auto_resolve, has_address
        self.rows: set[str] = set()

    def deliver(self, node: Node, event: e.Event) -> Delivered:
        """Let the rules answer an event; its effects are not carried out yet."""
        return deliver(self.rules, node, event, self.rows)

    def happen(self, node: Node, event: e.Event) -> Step | None:
        """An event that comes from here: delivered and its effects carried out. None if it changes nothing."""
        done = self.deliver(node, event)
        step = self.carry_out(done.node, done.effects)
        return None if step == Step(node) else step

    def carry_out(self, node: Node, effects: tuple[Effect, ...], *more: m.Letter) -> Step:
        """What is sent, with the header of this moment; `more` follows. Where effects are deferred, they wait."""
        if self.rules.drops_address and any(isinstance(effect, SendGrant) for effect in effects):
            node = self.drop(node)
        waiting = tuple((effect, owed(node)) for effect in effects if is_sent(effect))
        if self._defers:
            new = tuple(one for one in waiting if one not in node.pending)
            return Step(node._replace(pending=node.pending + new), more)
        return Step(node, tuple(self.letter_of(node, *one) for one in waiting) + more)

    def drop(self, node: Node) -> Node:
        """The shared IP is not where the role state does not allow it."""
        return node._replace(holds=node.holds and node.role.state in HOLDING_STATES)

    def reconcile(self, node: Node) -> Node:
        """The shared IP is where the role state allows it, and nowhere else."""
        return node._replace(holds=self.has_address and node.role.state in HOLDING_STATES)

    def letter_of(self, node: Node, effect: Effect, acknowledged: int) -> m.Letter:
        """The letter that an effect sends."""
        if isinstance(effect, SendCancel):
            return m.Cancel(1 - node.side, 0, effect.op_id)
        assert isinstance(effect, SendGrant)
        return m.Grant(1 - node.side, header_of(node.role), effect.op_id, effect.new_term, acknowledged)


def owed(node: Node) -> int:
    """The settings that whoever is granted the role must hold: all, if a final data-sync was wanted."""
    return node.settings if node.op is not None and node.op.want_final_sync else 0


def is_sent(effect: Effect) -> bool:
    """Whether an effect sends something."""
    return isinstance(effect, SendGrant | SendCancel)
