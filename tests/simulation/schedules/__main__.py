"""Run schedules: one seed with its trace, or many on all processors. Exit code 1 if an invariant broke."""

from __future__ import annotations

import argparse
import os
import sys

if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is part of what a seed decides
    os.environ["PYTHONHASHSEED"] = "0"
    os.execv(sys.executable, [sys.executable, "-m", "tests.simulation.schedules", *sys.argv[1:]])
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.schedules", description=__doc__)
    parser.add_argument("seed", nargs="*", type=int, help="seeds to run one by one, with their traces")
    parser.add_argument("--count", type=int, default=0, help="run so many seeds")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--without", default="", help="numbers of steps to leave out, separated by commas")
    parser.add_argument("--plant", default="", help="plant this bug")
    parser.add_argument("--until-found", action="store_true", help="begin no further schedule after a failure")
    parser.add_argument("--seconds", type=float, default=0.0, help="begin no further schedule after so long")
    parser.add_argument("--at-least", type=int, default=0, help="even so, run so many")
    parser.add_argument("--plain", action="store_true", help="without the shortcuts of speed.py")
    parser.add_argument("--shorten", action="store_true", help="leave out whatever steps a failure does not need")
    parser.add_argument("--quiet", action="store_true", help="no traces")
    wanted = parser.parse_args()

    import django

    django.setup()
    from tests.simulation.schedules import runner

    options = runner.Options(
        without=tuple(int(one) for one in wanted.without.split(",") if one), plant=wanted.plant, plain=wanted.plain
    )
    if wanted.seed:
        return runner.show(wanted.seed, options, shorten=wanted.shorten, quiet=wanted.quiet)
    limits = runner.Limits(wanted.seconds, wanted.at_least, until_found=wanted.until_found)
    return runner.run_many(wanted.first, wanted.count, wanted.workers, options, limits)


if __name__ == "__main__":
    sys.exit(main())
