"""Whatever happens to the pair, in any order, no invariant breaks; and every planted bug is found."""

from __future__ import annotations

import pytest

from sync.rules.table import SUPERSEDED, TABLE
from tests.simulation.configurations import QUICK
from tests.simulation.faults import FAULTS, Fault, find
from tests.simulation.search import Configuration, Search

# Nothing breaks the relationship in the model or sends PROMOTE, and row 12 changes nothing. Row 24 wants a peer that
# claims the role after it has read the higher term in the question, row 25 one that knows a higher term without having
# begun it: no flow of the product leads there today. Row 30 is the setting of resolving by itself. The rows that stay
# belong to Fix This Error, which tests/sync/test_role_changes.py presses on both sides.
NOT_SEARCHED = {"12", "22", "24", "25", "27 stays", "29", "29 stays", "30"}
SMALL = (
    {"swap": 1, "crash": 1, "status": 1},
    {"promote": 1, "fix": 1},
    {"force": 1, "fix": 1},
    {"force": 1, "status": 2},
    {"swap": 1, "auto": 1, "isolate": 1},
    {"auto": 1, "serve": 1, "status": 1},
)


@pytest.mark.parametrize("configuration", QUICK, ids=lambda configuration: configuration.name)
def test_nothing_that_may_happen_breaks_the_protocol(configuration: Configuration) -> None:
    report = Search(configuration).run()
    assert not report.violation, str(report)
    assert report.states > 100


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_bug_is_found_unless_another_rule_makes_it_harmless(fault: Fault) -> None:
    report = find(fault)
    assert report.violation.startswith(fault.found_as), str(report)
    assert bool(report.violation) is not fault.is_harmless, str(report)


def test_the_searches_take_every_row_of_the_table() -> None:
    taken: set[str] = set()
    for budgets in SMALL:
        taken |= Search(Configuration("rows", budgets, heals=False)).run().rows
    assert {edge.row for edge in TABLE} | {SUPERSEDED.row} == taken | NOT_SEARCHED
