"""Fix This Error and the end of the relationship, as in `sync.role_changes.fix` and `sync.relationship.leave`."""

from __future__ import annotations

from appliances.choices import Role, State
from sync.rules import events as e
from sync.rules.conflict import Evidence, decide, is_conflict
from sync.rules.facts import Header, ballot, header_of
from tests.simulation import letters as m
from tests.simulation.hands import Hands, Step
from tests.simulation.node import Node, Press


class Fixing(Hands):
    """The flows that an administrator's last resorts begin."""

    def evidence_of(self, node: Node) -> Evidence:
        """What speaks for this appliance as primary; the site's name leads where the configuration says."""
        return Evidence(
            guid="ab"[node.side],
            has_site_name=self.site_name == node.side,
            initialised=node.role.initialised,
            head=node.role.head,
            own_term=node.role.own_term,
            is_normal_primary=node.role.parity == 0,
            holds_shared_ip=node.holds,
        )

    def propose(self, node: Node, press: Press, header: Header) -> Step:
        """The peer has answered: if the two are in a conflict, its evidence is asked for."""
        is_busy = node.op is not None or header.op is not None or node.change is not None
        if not is_conflict(node.role, header) or is_busy or press.question is None:
            return Step(node)
        question = ("evidence", press.question[1])
        ask = m.EvidenceRequest(1 - node.side, question, header_of(node.role))
        return Step(node._replace(press=press._replace(question=question)), (ask,))

    def _EvidenceRequest(self, node: Node, letter: m.EvidenceRequest) -> Step:
        told = m.EvidenceReply(1 - node.side, letter.question, header_of(node.role), self.evidence_of(node))
        return Step(node, (told,))

    def _EvidenceReply(self, node: Node, letter: m.EvidenceReply) -> Step | None:
        press, state = node.press, node.role
        is_awaited = press is not None and press.question == letter.question
        if not is_awaited and self.rules.binds_evidence:
            return None
        own = self.evidence_of(node)
        stays_here = decide(own, letter.evidence).winner == own.guid
        parity = state.parity if stays_here else 1 - state.parity
        term = ballot(parity, max(state.term, letter.header.term))
        if stays_here:
            waits = Press("fix", None, (state.state, state.op, state.own_term), demotes_for=term)
            return Step(node._replace(press=waits), (m.Demote(1 - node.side, header_of(state), term),))
        node = node._replace(press=None)
        if state.role is not Role.PRIMARY:
            return Step(node, (m.Promote(1 - node.side, header_of(state), term),))
        done = self.deliver(node, e.BecomeBackup(letter.header, without_peer=False))
        if done.is_refused:
            return Step(done.node)
        return self.carry_out(done.node, done.effects, m.Promote(1 - node.side, header_of(done.node.role), term))

    def _Promote(self, node: Node, letter: m.Promote) -> Step:
        done = self.deliver(node, e.PromoteReceived(letter.header, letter.new_term))
        return self.carry_out(done.node, done.effects)

    def leave(self, node: Node) -> Step:
        """This appliance is in no relationship any more."""
        return Step(self.deliver(node, e.BreakRelationship("pressed")).node._replace(press=None))

    def _Break(self, node: Node, letter: m.Break) -> Step | None:
        return None if node.role.state == State.NONE else self.leave(node)
