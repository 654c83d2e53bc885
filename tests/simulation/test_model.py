"""Whatever happens to the pair, in any order, no invariant breaks; and every planted bug is found."""

from __future__ import annotations

import multiprocessing

import pytest

from sync.rules.diagram import ROWS
from tests.simulation.configurations import QUICK
from tests.simulation.faults import FAULTS, Fault
from tests.simulation.jobs import NOT_SEARCHED, plant, search
from tests.simulation.search import Configuration, Report

# Found in larger searches only, which `make model` makes.
IN_LARGER_SEARCHES = {"11 void"}


@pytest.fixture(scope="module")
def reports() -> dict[str, Report]:
    """What each search found: on every processor, in processes that own nothing of the tests."""
    with multiprocessing.get_context("spawn").Pool(maxtasksperchild=4) as pool:
        found = [*pool.imap_unordered(search, QUICK), *pool.imap_unordered(plant, range(len(FAULTS)))]
    return {report.name: report for report in found}


@pytest.mark.parametrize("configuration", QUICK, ids=lambda configuration: configuration.name)
def test_nothing_that_may_happen_breaks_the_protocol(configuration: Configuration, reports: dict[str, Report]) -> None:
    report = reports[configuration.name]
    assert not report.violation, str(report)
    assert report.states > 100


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_bug_is_found_unless_another_rule_makes_it_harmless(fault: Fault, reports: dict[str, Report]) -> None:
    report = reports[fault.name]
    assert report.violation.startswith(fault.found_as), str(report)
    assert bool(report.violation) is not fault.is_harmless, str(report)


def test_the_searches_take_every_row_of_the_table(reports: dict[str, Report]) -> None:
    taken: set[str] = set().union(*(reports[configuration.name].rows for configuration in QUICK))
    assert {edge.row for edge in ROWS} - taken == NOT_SEARCHED | IN_LARGER_SEARCHES
