"""The transition table for people: a drawing of it, and each row with its conditions and its sentence."""

from __future__ import annotations

import re
from collections import defaultdict

from appliances.choices import State
from sync.rules.edge import Edge
from sync.rules.facts import BACKUP_STATES, PRIMARY_STATES
from sync.rules.table import SUPERSEDED, TABLE

ROWS: tuple[Edge, ...] = (*TABLE, SUPERSEDED)
_VALUE = re.compile(r"{event\.(\w+)}")
_SETS = {
    frozenset(State): "any",
    frozenset(State) - {State.NONE}: "any of a pair",
    PRIMARY_STATES: "any primary",
    BACKUP_STATES: "any backup",
    frozenset(State) - PRIMARY_STATES: "any but primary",
}


def text() -> str:
    """Drawing and table as Markdown."""
    return f"```mermaid\n{drawing()}\n```\n\n{table()}\n"


def drawing() -> str:
    """The states and the rows that lead from one to another, as a Mermaid state diagram."""
    rows: dict[tuple[State, State], list[str]] = defaultdict(list)
    for edge in ROWS:
        for state in State:
            if edge.goes_to is not None and state in edge.states and edge.row not in rows[state, edge.goes_to]:
                rows[state, edge.goes_to].append(edge.row)
    lines = [
        f"    {one} --> {other}: {', '.join(sorted(found, key=_order))}"
        for (one, other), found in rows.items()
        if found
    ]
    return "\n".join(["stateDiagram-v2", *lines])


def table() -> str:
    """Each row of the table: from where, at what, to where, why not, and what the operator reads."""
    lines = [
        "| row | state | event | becomes | not taken where | the operator reads |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for edge in sorted(ROWS, key=lambda edge: _order(edge.row)):
        why_not = " ".join(sentence for _, sentence in edge.conditions)
        cells = (edge.row, _name(edge.states), edge.event.__name__, edge.goes_to or "stays", why_not, edge.sentence)
        lines.append("| " + " | ".join(_VALUE.sub(r"*\1*", cell) for cell in cells) + " |")
    return "\n".join(lines)


def _name(states: frozenset[State]) -> str:
    if states in _SETS:
        return _SETS[states]
    return ", ".join(state for state in State if state in states)


def _order(row: str) -> tuple[int, str]:
    number = re.match(r"\d+", row)
    return int(number.group()) if number else 99, row
