"""Run the machine. Exit code 1 if it broke."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback

if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is part of what an example decides
    os.environ["PYTHONHASHSEED"] = "0"
    os.execv(sys.executable, [sys.executable, "-m", "tests.simulation.stateful", *sys.argv[1:]])
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
_clock, _worked = time.perf_counter, time.process_time


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.stateful", description=__doc__)
    parser.add_argument("--examples", type=int, default=2000, help="how many")
    parser.add_argument("--steps", type=int, default=8, help="of each")
    parser.add_argument("--plant", default="", help="plant this bug")
    parser.add_argument("--until-found", action="store_true", help="show the first failure as it was found")
    parser.add_argument("--replay", default="", help="the second argument of @reproduce_failure, without b and quotes")
    wanted = parser.parse_args()

    import django

    django.setup()
    from tests.simulation.stateful import runner

    began, worked = _clock(), _worked()
    try:
        runner.run(runner.Options(wanted.examples, wanted.steps, wanted.plant, wanted.until_found, wanted.replay))
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        return 1
    finally:
        print(runner.figures(_clock() - began, _worked() - worked))
    return 0


if __name__ == "__main__":
    sys.exit(main())
