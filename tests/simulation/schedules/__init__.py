"""Schedules with recorded seeds: the real rules and the real data-sync of two appliances in one simulated world.

Read `schedule.py` first (what may happen), then `truth.py` (what must never), `healing.py` (what must follow),
`world.py` and `seams.py` (how the product is brought to live in it). `planted.py` plants bugs, each of which must be
found.

Everything that happens follows from the seed. A failing one prints the command that shows it again:

    python -m tests.simulation.schedules 4711               one seed, with its trace
    python -m tests.simulation.schedules 4711 --without 2,5 the same without two of its steps
    python -m tests.simulation.schedules --count 5000       seeds 1 to 5000, on all processors
"""
