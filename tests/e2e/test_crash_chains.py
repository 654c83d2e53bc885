"""Kill -9 at each step of a take-over: the process that died is started again, and the next goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import crash_cases as cases
from tests.e2e.drill import Drill, drilled_pair, journal_of
from tests.e2e.live import wait_for
from tests.e2e.test_automatic_failover import ARM, TIMEOUT, wait_until_armed

PORT = 9210


@pytest.fixture(scope="module")
def living(folder: Path) -> Iterator[Drill]:
    """One pair for all of this module."""
    with drilled_pair(folder, port=PORT) as drill:
        yield drill


@pytest.fixture
def drill(living: Drill) -> Iterator[Drill]:
    """The pair, well and in step; afterwards well again, by itself or with one Fix This Error, and in step."""
    living.rest()
    living.change_something()
    living.synchronise()
    yield living
    living.wait_until_well()
    living.synchronise()
    assert living.watch.broken == []


def test_the_backup_takes_over_by_itself(drill: Drill) -> None:
    old, new = drill.roles()
    drill.run(new, ARM.format(automatic=True, timeout=TIMEOUT))
    wait_until_armed(new)
    drill.arm(new, cases.TAKE_OVER[0])
    old.kill()
    for point in cases.TAKE_OVER[1:]:  # its role worker dies at each step, and the next one goes on
        drill.wait_for_crash(new)
        drill.arm(new, point)
    drill.wait_for_crash(new)
    wait_for("the take-over", lambda: journal_of(new)[0] == "p_active", 60)
    drill.run(new, ARM.format(automatic=False, timeout=TIMEOUT))
    drill.start_again(old)
    drill.wait_until_well()
    assert drill.roles() == (new, old)
