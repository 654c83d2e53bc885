"""The healing phase: the network is up, the machines run, nothing is refused any more, and the pair must find back.

At most one press of Fix This Error, where the pages show a conflict; then one primary that serves, one backup, and the
same settings, rows and files on both, within TICKS.
"""

from __future__ import annotations

from django.db import DatabaseError

from appliances.choices import State
from sync.datasync import marks, remembered
from sync.datasync.wrapping import for_snapshot
from tests.simulation.schedules.acts import Stage
from tests.simulation.schedules.appliances import on
from tests.simulation.schedules.network import Line
from tests.simulation.schedules.outsiders import Site
from tests.simulation.schedules.pairing import make_whole
from tests.simulation.schedules.seams import Outage
from tests.simulation.schedules.truth import stand_of
from tests.simulation.schedules.world import Violation

TICKS = 20
TICK_SECONDS = 7.0
PATIENCE = 4  # ticks of a conflict before somebody presses Fix This Error


def heal(stage: Stage) -> int:
    """The ticks that the pair took to find back.

    Raises:
        Violation: it did not, or broke another invariant on its way.
    """
    _mend(stage)
    make_whole(stage)
    truth, conflict, is_fixed = stage.truth, 0, False
    for tick in range(1, TICKS + 1):
        stage.turns(TICK_SECONDS)
        truth.look_closely()
        left = truth.differences()
        if not any(one.startswith("roles") for one in left):
            stage.sync_now(stage.world.appliances[tick % 2])
            for appliance in stage.world.appliances:
                stage.work(appliance)
            if not truth.differences() and not unequal(stage):
                return tick
        conflict = conflict + 1 if _is_conflict(stage) else 0
        if conflict >= PATIENCE and not is_fixed:
            stage.fix(stage.world.appliances[tick % 2])
            is_fixed = True
    raise Violation(f"I9: not healed after {TICKS} ticks: {', '.join(truth.differences() + unequal(stage))}")


def _mend(stage: Stage) -> None:
    world = stage.world
    world.note("=== everything is mended")
    Line.heal()
    Outage.database = Outage.files = 0
    Site.mend()
    world.pass_time(max(0.0, *(one.stopped_until - world.now for one in world.appliances)))
    for appliance in world.appliances:
        appliance.test_ips_answer = True
        stage.boot(appliance)


def _is_conflict(stage: Stage) -> bool:
    """Whether the pages offer Fix This Error: both in one role, or a superseded primary that nobody succeeds."""
    one, other = (stand_of(appliance) for appliance in stage.world.appliances)
    is_unsettled = one.is_primary == other.is_primary or State.P_SUPERSEDED in (one.state, other.state)
    return is_unsettled and not one.op_kind and not other.op_kind


def unequal(stage: Stage) -> list[str]:
    """What the product itself would find different: digests of the settings, marks of the append-only rows."""
    found = []
    for appliance in stage.world.appliances:
        with on(appliance):
            try:
                found.append((remembered.digests(for_snapshot("")), marks.held()))
            except DatabaseError as error:
                return [str(error)]
    return [] if found[0] == found[1] else ["digests of the data"]
