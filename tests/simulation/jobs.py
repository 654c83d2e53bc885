"""One search as a job for a process of its own; and what no search finds."""

from __future__ import annotations

from tests.simulation.faults import FAULTS, find
from tests.simulation.search import Configuration, Report, Search

# Rows that no search takes, each with the reason.
NOT_SEARCHED: set[str] = set()


def search(configuration: Configuration) -> Report:
    """What the search of a configuration found."""
    return Search(configuration).run()


def plant(number: int) -> Report:
    """What the search finds under a planted bug; by number, because changed tables do not travel between processes."""
    return find(FAULTS[number])
