"""Search every configuration, or the ones named, then plant every bug; exit code 1 unless all is as it should be."""

from __future__ import annotations

import sys

from tests.simulation.configurations import LONG, QUICK
from tests.simulation.faults import FAULTS, find
from tests.simulation.search import Report, Search


def main(names: list[str]) -> int:
    """Print what each search found."""
    chosen = [one for one in QUICK + LONG if not names or one.name in names]
    reports = [_show(Search(one).run()) for one in chosen]
    is_bad = any(report.violation for report in reports)
    states, transitions = sum(one.states for one in reports), sum(one.transitions for one in reports)
    print(f"{states:,} states, {transitions:,} transitions, {sum(one.seconds for one in reports):.0f} s")
    for fault in FAULTS:
        if names and fault.name not in names:
            continue
        report = find(fault)
        is_right = report.violation.startswith(fault.found_as) if fault.found_as else not report.violation
        is_bad = is_bad or not is_right
        found = f"found in {len(report.trace)} steps" if report.violation else "harmless"
        print(f"{'right' if is_right else 'WRONG'}: {fault.name}: {found}. {report.violation[:100]}", flush=True)
        if names:
            print(report)
    return 1 if is_bad else 0


def _show(report: Report) -> Report:
    print(report, flush=True)
    return report


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
