"""Whatever happens to the pair, nothing is lost and it finds back; and every planted bug is found."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from tests.simulation.schedules.planted import BUGS, Bug

ROOT = Path(__file__).resolve().parents[3]
SEEDS = sorted((ROOT / "tests" / "simulation" / "seeds").glob("*.txt"))
FIXED, DRAWN = 2500, 2500
FIRST_DRAWN, DRAWN_RANGE = 1_000_000, 1_000_000
SECONDS = 290  # two free processors run all of them in this time
MOST_SECONDS = 1800.0  # on a machine that has much else to do
PLANTED_SEEDS = 1000  # at most; most bugs show in the first dozens
AT_LEAST = 300  # of either kind, however busy the machine is

pytestmark = pytest.mark.slow


def run(*arguments: str, seconds: float = MOST_SECONDS) -> subprocess.CompletedProcess[str]:
    """The schedules, in processes of their own: they replace the clock."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [sys.executable, "-m", "tests.simulation.schedules", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )


def drawn() -> int:
    """Where the drawn seeds begin: somewhere else for each state of the sources."""
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, check=False)
    return FIRST_DRAWN + zlib.crc32(found.stdout) % DRAWN_RANGE


@pytest.mark.parametrize("recorded", SEEDS, ids=lambda path: path.stem)
def test_what_was_found_once_does_not_come_back(recorded: Path) -> None:
    done = run(*recorded.read_text().splitlines()[0].split())
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("first", "count"), [(1, FIXED), (drawn(), DRAWN)], ids=["fixed", "drawn"])
def test_no_schedule_loses_anything_and_every_pair_finds_back(first: int, count: int) -> None:
    seconds = SECONDS * count / (FIXED + DRAWN)
    limits = ("--seconds", str(seconds), "--at-least", str(AT_LEAST))
    done = run("--first", str(first), "--count", str(count), *limits)
    print(done.stdout[-200:])
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5000:]
    assert int(done.stdout.splitlines()[-1].split()[0]) >= AT_LEAST


def test_the_shortcuts_change_nothing() -> None:
    """Each of these seeds has a surprise, one of them where an answer is given again."""
    seeds = ("--first", "1001", "--count", "5", "--workers", "1")
    figures = [run(*seeds, *how).stdout.splitlines()[-1].split(" in ")[0] for how in ((), ("--plain",))]
    assert figures[0].startswith("5 schedules")
    assert figures[0] == figures[1]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    done = run("--count", str(PLANTED_SEEDS), "--plant", bug.name, "--until-found")
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
    assert any(f": {invariant}" in done.stdout for invariant in bug.found_as), done.stdout[-3000:]
