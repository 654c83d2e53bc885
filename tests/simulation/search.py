"""Breadth-first search through all states of the pair; the first violation comes with its shortest trace."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from appliances.choices import State
from sync.rules import events as e
from sync.rules.facts import RoleState
from tests.simulation import moves
from tests.simulation.flows import Flows
from tests.simulation.healing import Healing
from tests.simulation.letters import Letter
from tests.simulation.node import Node, Rules, Violation

NAMES = ("A", "B")
# A state: both appliances, the letters on the network (a mask), what is left of the budgets; all by number.
Place = tuple[int, int, int, int]
Hop = tuple[str, int, int, int]  # what happened, the appliance afterwards, what it sent, what is left


@dataclass(frozen=True)
class Configuration:
    """Which pair is searched, and how much of what may happen. A healed pair is checked if `heals`."""

    name: str
    budgets: Mapping[str, int]
    heals: bool = True
    defers: bool = False  # effects may wait until later
    is_synchronised: bool = True  # the backup has had its first data-sync
    begins: Mapping[int, tuple[e.Event, ...]] = field(default_factory=dict)  # what has happened on a side before
    site_name: int | None = None  # the side to which the site's public name leads
    auto_resolve: bool = True
    has_address: bool = False  # a shared IP is configured
    most_states: int = 5_000_000


@dataclass
class Report:
    """What a search found."""

    name: str
    states: int = 0
    transitions: int = 0
    seconds: float = 0.0
    healed: int = 0
    rows: set[str] = field(default_factory=set)
    violation: str = ""
    trace: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        figures = f"{self.states:>9,} states {self.transitions:>11,} transitions {self.seconds:6.1f} s"
        text = f"{self.name:<28} {figures}  {self.healed:,} pairs healed"
        if self.violation:
            steps = "".join(f"\n    {number:>2}. {step}" for number, step in enumerate(self.trace, 1))
            text += f"\n  {self.violation}{steps}"
        return text


class Search:
    """One search. Appliances, letters and budgets are numbered, so that a state is four small numbers."""

    def __init__(self, configuration: Configuration, rules: Rules | None = None) -> None:
        self.configuration = configuration
        self.rules = rules or Rules()
        self.flows = Flows(
            self.rules,
            defers=configuration.defers,
            site_name=configuration.site_name,
            auto_resolve=configuration.auto_resolve,
            has_address=configuration.has_address,
        )
        self.healing = Healing(self.flows)
        self.report = Report(configuration.name)
        self._nodes: list[Node] = []
        self._node_numbers: dict[Node, int] = {}
        self._letters: list[Letter] = []
        self._letter_numbers: dict[Letter, int] = {}
        self._inbox = [0, 0]  # the letters for each side, as a mask
        self._left: list[dict[str, int]] = []
        self._left_numbers: dict[tuple[int, ...], int] = {}
        self._local: dict[tuple[int, int], list[Hop]] = {}
        self._taken: dict[tuple[int, int], list[Hop]] = {}
        self._arrivals: dict[tuple[int, int], Hop | None] = {}
        self._pairs: dict[tuple[int, int], str] = {}
        self._healed: dict[tuple[Node, Node], str] = {}

    def run(self) -> Report:
        """Search until everything is seen or something is violated."""
        started = time.perf_counter()
        report, collects = self.report, gc.isenabled()
        gc.disable()  # nothing here refers in circles, and looking for that costs more than the search
        try:
            self._search()
        finally:
            if collects:
                gc.enable()
            report.seconds = time.perf_counter() - started
            report.rows, report.healed = self.flows.rows, len(self._healed)
        return report

    def _search(self) -> None:
        report, first = self.report, self._first()
        came_from: dict[Place, Place | None] = {first: None}
        layer = [first]
        while layer:
            following = []
            for state in layer:
                for name, after in self._successors(state):
                    report.transitions += 1
                    if after in came_from:
                        continue
                    if after[0] < 0:
                        report.violation, report.trace = name, self._trace(came_from, state)
                        return
                    came_from[after] = state
                    problem = self._problem(after)
                    if problem:
                        report.states = len(came_from)
                        report.violation, report.trace = problem, self._trace(came_from, after)
                        return
                    following.append(after)
            report.states = len(came_from)
            if len(came_from) > self.configuration.most_states:
                raise RuntimeError(f"{self.configuration.name}: more than {self.configuration.most_states} states")
            layer = following

    def _first(self) -> Place:
        nodes: list[Node] = []
        for side in (0, 1):
            node = Node(side, self.flows.deliver(Node(side, RoleState()), e.Establish(side)).node.role)
            if side == 0:
                node = node._replace(owned=1)
            elif self.configuration.is_synchronised:
                node = node._replace(role=replace(node.role, head=nodes[0].role.head, initialised=True))
            for event in self.configuration.begins.get(side, ()):
                node = self.flows.deliver(node, event).node
            nodes.append(node)
        left = self._number_left(dict(self.configuration.budgets))
        return (self._number(nodes[0]), self._number(nodes[1]), 0, left)

    def _successors(self, state: Place) -> Iterator[tuple[str, Place]]:
        a, b, network, left = state
        inbox = self._inbox
        for name, after, sent, left_after in self._own(a, left):
            yield name, (after, b, network | sent, left_after)
        for name, after, sent, left_after in self._own(b, left):
            yield name, (a, after, network | sent, left_after) if after >= 0 else (after, b, network, left)
        for name, after, sent, _ in self._received(a, network & inbox[0]):
            yield name, (after, b, network | sent, left)
        for name, after, sent, _ in self._received(b, network & inbox[1]):
            yield name, (a, after, network | sent, left) if after >= 0 else (after, b, network, left)

    def _own(self, number: int, left: int) -> list[Hop]:
        found = self._local.get((number, left))
        if found is None:
            found = self._local[number, left] = list(self._make_own(number, left))
        return found

    def _make_own(self, number: int, left: int) -> Iterator[Hop]:
        node, budgets = self._nodes[number], self._left[left]
        who = NAMES[node.side]
        try:
            for name, step, budget in moves.moves(self.flows, node, budgets, moves.ALL):
                after = self._number_left({**budgets, budget: budgets[budget] - 1}) if budget else left
                if step is not None:
                    yield f"{who}: {name}", self._number(step.node), self._post(step.sent), after
        except Violation as violation:
            yield f"{violation} (on {who})", -1, 0, left

    def _received(self, number: int, mask: int) -> list[Hop]:
        found = self._taken.get((number, mask))
        if found is None:
            found = []
            rest = mask
            while rest:
                low = rest & -rest
                found += self._arrive(number, low.bit_length() - 1)
                rest ^= low
            self._taken[number, mask] = found
        return found

    def _arrive(self, number: int, letter_number: int) -> list[Hop]:
        node, letter = self._nodes[number], self._letters[letter_number]
        name = f"{NAMES[node.side]}: gets {letter}"
        try:
            step = self.flows.take(node, letter)
        except Violation as violation:
            return [(f"{violation} ({name})", -1, 0, 0)]
        return [] if step is None else [(name, self._number(step.node), self._post(step.sent), 0)]

    def _problem(self, state: Place) -> str:
        a, b, _, left = state
        recorded = self.configuration.budgets.get("record", 0) - self._left[left].get("record", 0)
        found = self._pairs.get((a, b))
        if found is None:
            found = self._pairs[a, b] = self._problem_of_pair(self._nodes[a], self._nodes[b])
        if not found and recorded:
            held = self._nodes[a].recordings | self._nodes[b].recordings
            if held.bit_count() != recorded:
                return "I4: a recording is on neither appliance"
        return found

    def _problem_of_pair(self, a: Node, b: Node) -> str:
        if a.owned & b.owned:
            return "I1: both appliances have owned one term"
        if State.NONE in (a.role.state, b.role.state):
            return ""
        if a.role.is_serving and b.role.is_serving and not (a.is_alone or b.is_alone):
            return "I8: both appliances serve, and no operator wanted that"
        if a.holds and b.holds and not (a.is_alone or b.is_alone):
            return "I7: both appliances hold the shared IP, and no operator wanted that"
        if a.role.head == b.role.head and a.settings != b.settings:
            return "I3: one head names different settings on the two appliances"
        if not self.configuration.heals:
            return ""
        key = (self.healing.rest(a), self.healing.rest(b))
        if key not in self._healed:
            self._healed[key] = self.healing.problem(*key)
        return self._healed[key]

    def _number(self, node: Node) -> int:
        number = self._node_numbers.get(node)
        if number is None:
            number = self._node_numbers[node] = len(self._nodes)
            self._nodes.append(node)
        return number

    def _number_left(self, left: dict[str, int]) -> int:
        key = tuple(left.values())
        number = self._left_numbers.get(key)
        if number is None:
            number = self._left_numbers[key] = len(self._left)
            self._left.append(left)
        return number

    def _post(self, sent: tuple[Letter, ...]) -> int:
        mask = 0
        for letter in sent:
            number = self._letter_numbers.get(letter)
            if number is None:
                number = self._letter_numbers[letter] = len(self._letters)
                self._letters.append(letter)
                self._inbox[letter.to] |= 1 << number
            mask |= 1 << number
        return mask

    def _trace(self, came_from: dict[Place, Place | None], last: Place) -> list[str]:
        steps: list[str] = []
        state: Place | None = last
        while state is not None:
            before = came_from[state]
            if before is not None:
                steps.append(next(name for name, after in self._successors(before) if after == state))
            state = before
        return list(reversed(steps))
