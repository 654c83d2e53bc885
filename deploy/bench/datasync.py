"""Data-sync against rsync, and against dump-and-load: the same work sets, one after another in one run, on loopback.

The backup pulls with the code of its worker, in a process that stays up, from the primary's own web server. rsync pulls
from a daemon over plain TCP and over ssh, each time from a server of its own. Compare the ratios, not the seconds:
other work on this machine moves all alike, processor time less than wall time. Everything lies in one temporary folder,
which is removed at the end.

    .venv/bin/python deploy/bench/datasync.py [--quick | --full] [--only small recordings ...] [--folder /where]
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from deploy.bench.against import databases, files, folders, postgres, rsync
from deploy.bench.against.files import Contest
from deploy.bench.against.table import lines_of_verdicts
from deploy.bench.against.targets import TARGETS
from deploy.bench.against.worksets import FULL, QUICK

PHASES: dict[str, Callable[[Contest], None]] = {
    "small": files.small,
    "folder": folders.folder,
    "text": files.text,
    "recordings": files.recordings,
    "big": files.big,
    "huge": files.huge,
    "limited": files.limited,
    "sqlite": databases.sqlite,
    "postgresql": databases.postgresql,
    "idle": databases.idle,
}
WITH_RSYNC = {"small", "folder", "text", "recordings", "big", "limited"}
FULL_BYTES = 24 << 30


def main() -> None:
    """Measure and print."""
    wishes = _wishes()
    _check_programs(wishes.only)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: everything is ended and removed
    with tempfile.TemporaryDirectory(prefix="failover-bench-", dir=wishes.folder, ignore_cleanup_errors=True) as place:
        folder = Path(place)
        folder.chmod(0o711)  # PostgreSQL runs as another user below it
        if wishes.full and shutil.disk_usage(folder).free < FULL_BYTES:
            raise SystemExit(f"--full needs {FULL_BYTES >> 30} GiB below {folder.parent}; name another with --folder.")
        if wishes.profile:
            wishes.profile.mkdir(parents=True, exist_ok=True)
        rival = rsync.Rsync(folder / "rsync") if WITH_RSYNC & set(wishes.only) else None
        sizes = FULL if wishes.full else QUICK
        contest = Contest(folder, replace(sizes, rounds=wishes.rounds or sizes.rounds), rival, wishes.profile)
        try:
            for name in wishes.only:
                PHASES[name](contest)
        finally:
            if rival is not None:
                rival.close()
        print("\n".join(lines_of_verdicts(contest.results, TARGETS)), flush=True)


def _wishes() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small sets, one round (the default): under three minutes")
    size.add_argument("--full", action="store_true", help="the sets of the targets, three rounds")
    parser.add_argument("--only", nargs="+", choices=PHASES, default=list(PHASES), help="these phases")
    parser.add_argument("--rounds", type=int, help="how often each contestant runs each case")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made (default: TMPDIR)")
    parser.add_argument("--profile", type=Path, help="a folder for profiles of our runs; the profiler slows them down")
    return parser.parse_args()


def _check_programs(phases: list[str]) -> None:
    """Raises SystemExit naming the Debian packages that are missing."""
    packages = rsync.missing() if WITH_RSYNC & set(phases) else []
    if "postgresql" in phases and postgres.programs() is None:
        packages.append("postgresql")
    if packages:
        raise SystemExit(f"Not installed on this machine: {', '.join(packages)}. apt-get install {' '.join(packages)}")


if __name__ == "__main__":
    main()
