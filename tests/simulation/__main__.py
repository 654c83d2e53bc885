"""Search every configuration, or the ones named, then plant every bug; exit code 1 unless all is as it should be."""

from __future__ import annotations

import multiprocessing
import sys

from sync.rules.diagram import ROWS
from tests.simulation.configurations import LONG, QUICK
from tests.simulation.faults import FAULTS
from tests.simulation.jobs import NOT_SEARCHED, plant, search
from tests.simulation.search import Report


def main(names: list[str]) -> int:
    """Print what each search found."""
    chosen = [one for one in LONG + QUICK if not names or one.name in names]
    planted = [number for number, fault in enumerate(FAULTS) if not names or fault.name in names]
    with multiprocessing.get_context("spawn").Pool(maxtasksperchild=1) as pool:  # the longest first
        reports = [_show(report) for report in pool.imap_unordered(search, chosen, chunksize=1)]
        found = list(pool.imap(plant, planted, chunksize=1))
    is_bad = any(report.violation for report in reports)
    states, transitions = sum(one.states for one in reports), sum(one.transitions for one in reports)
    print(f"{states:,} states, {transitions:,} transitions, {sum(one.seconds for one in reports):.0f} s")
    for number, report in zip(planted, found, strict=True):
        fault = FAULTS[number]
        is_right = report.violation.startswith(fault.found_as) if fault.found_as else not report.violation
        is_bad = is_bad or not is_right
        how = f"found in {len(report.trace)} steps" if report.violation else "harmless"
        print(f"{'right' if is_right else 'WRONG'}: {fault.name}: {how}. {report.violation[:100]}", flush=True)
        if names:
            print(report)
    missing = {edge.row for edge in ROWS} - NOT_SEARCHED - set().union(*(report.rows for report in reports))
    if missing and not names:
        print(f"WRONG: no search takes the rows {', '.join(sorted(missing))}")
    return 1 if is_bad or (missing and not names) else 0


def _show(report: Report) -> Report:
    print(report, flush=True)
    return report


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
