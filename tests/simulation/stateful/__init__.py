"""Whatever Hypothesis thinks of, on two real databases and stores: changes, deletions, data-syncs, interruptions.

Read `machine.py` first (what may happen), then `model.py` (what must be so), `pair.py` (how the product is brought to
do it, in the world of `tests.simulation.schedules`). `planted.py` plants bugs, each of which must be found.

    python -m tests.simulation.stateful --examples 2000
    python -m tests.simulation.stateful --replay 'AXicY...'   what a failing run has printed in @reproduce_failure
"""
