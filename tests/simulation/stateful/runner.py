"""Runs the machine in this process, whose clocks, chance and network are those of the simulated world from then on."""

from __future__ import annotations

import gc
from dataclasses import dataclass

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import run_state_machine_as_test

from tests.simulation.schedules.runner import folder
from tests.simulation.stateful import planted
from tests.simulation.stateful.machine import WHOLE, TwoAppliances
from tests.simulation.stateful.pair import Pair


@dataclass(frozen=True)
class Options:
    """How the machine is run."""

    examples: int
    steps: int
    plant: str = ""
    until_found: bool = False
    replay: str = ""


def run(options: Options) -> None:
    """Raises what broke, with the steps that led there and what replays them."""
    phases = [Phase.explicit, Phase.reuse, Phase.generate]
    wanted = hypothesis.settings(
        max_examples=options.examples,
        stateful_step_count=options.steps,
        deadline=None,
        derandomize=False,
        print_blob=True,
        database=None,
        phases=phases if options.until_found else [*phases, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    machine = TwoAppliances
    if options.replay:
        machine = hypothesis.reproduce_failure(hypothesis.__version__, options.replay.encode())(machine)
    if options.plant:  # before there is a database
        planted.BUGS[options.plant]()
    with folder() as root:
        machine.pair = Pair(root)
        gc.freeze()
        gc.disable()
        run_state_machine_as_test(machine, settings=wanted)


def figures(seconds: float, worked: float) -> str:
    """What the run came to."""
    did = TwoAppliances.did
    counted = "; ".join(f"{what}: {times}" for what, times in sorted(did.items()) if what != WHOLE)
    return f"{counted}\n{did[WHOLE]} examples in {seconds:.0f} s, {worked:.0f} s of a processor"
