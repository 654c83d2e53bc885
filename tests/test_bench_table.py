"""The table of `deploy/bench/datasync.py`: medians, ratios and verdicts."""

from __future__ import annotations

from deploy.bench.against.measured import Measured
from deploy.bench.against.table import OURS, Results, Target, lines_of_verdicts
from deploy.bench.against.targets import TARGETS


def results() -> Results:
    """Three runs of one case against one rival that sends nothing that could be counted in its last run."""
    found = Results()
    for wall, wire in ((4.0, 200), (1.0, 100), (2.0, 300)):
        found.add("case", OURS, Measured(wall, (0.5, 1.0), wire, (2048, 4096), (1024, 3072)))
    for wall in (3.0, 4.0):
        found.add("case", "rival", Measured(wall, (0.1,), 100))
    found.add("case", "rival", Measured(5.0))
    return found


def test_a_ratio_is_that_of_the_medians() -> None:
    assert results().ratio("case", "wall", "rival") == 0.5
    assert results().ratio("case", "wire", "rival") == 2.0


def test_what_was_not_measured_has_no_ratio() -> None:
    assert results().ratio("case", "growth", "rival") is None
    assert results().ratio("case", "wall", "nobody") is None
    assert results().ratio("another case", "wall", "rival") is None


def test_a_rival_that_sent_nothing_gives_no_ratio() -> None:
    found = results()
    found.add("silent", OURS, Measured(1.0, wire=7))
    found.add("silent", "rival", Measured(1.0, wire=0))
    assert found.ratio("silent", "wire", "rival") is None


def test_growth_is_that_of_the_side_that_grew_most_in_mib() -> None:
    assert results().median("case", OURS, "growth") == 3.0


def test_growth_is_that_of_the_run_that_grew_most() -> None:
    found = results()
    found.add("case", OURS, Measured(1.0, growth=(9 * 1024, 0)))
    assert found.median("case", OURS, "growth") == 9.0


def test_a_target_is_met_up_to_its_bound() -> None:
    targets = (
        Target("T1", "case", "wall", 0.5, "rival"),
        Target("T2", "case", "wall", 0.49, "rival"),
        Target("T3", "case", "growth", 3.0),
        Target("T4", "case", "wire", 199),
        Target("T6", "case", "wall", 9.0, at_least=2.0),
        Target("T7", "case", "wall", 9.0, at_least=2.1),
        Target("T5", "not measured", "wall", 1.0, "rival"),
    )
    lines = list(lines_of_verdicts(results(), targets))
    assert [line.split()[-1] for line in lines[:-1]] == ["met", "MISSED", "met", "MISSED", "met", "MISSED"]
    assert lines[-1] == "3 of 6 targets met."


def test_the_table_names_ours_first_with_figures_and_ratios() -> None:
    head, ours, rival = results().lines_of("case")
    assert head.split()[0] == "case"
    assert ours.split() == ["this", "product", "(3)", "2.000", "0.50", "+", "1.00", "0.000", "2", "+", "4"]
    assert rival.split() == ["rival", "(3)", "4.000", "0.10", "0.000", "-", "0.50", "15.00", "2.00"]


def test_each_target_stands_once() -> None:
    assert len(set(TARGETS)) == len(TARGETS)
