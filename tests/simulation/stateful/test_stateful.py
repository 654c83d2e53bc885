"""Whatever Hypothesis does to two appliances, nothing is lost or mixed; and planted bugs are found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.stateful.planted import SOON_FOUND

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES, STEPS = 2000, 8
PLANTED_EXAMPLES = 1000  # at most; each shows in the first dozens
SECONDS = 3600.0  # what hangs; a free processor needs about four minutes

pytestmark = pytest.mark.slow


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The machine, in a process of its own: it replaces the clock."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [sys.executable, "-m", "tests.simulation.stateful", "--steps", str(STEPS), *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def test_nothing_is_lost_or_mixed_and_both_agree_in_the_end() -> None:
    done = run("--examples", str(EXAMPLES))
    print(done.stdout[-500:])
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5000:]
    assert int(done.stdout.splitlines()[-1].split()[0]) >= EXAMPLES


@pytest.mark.parametrize("bug", SOON_FOUND)
def test_a_planted_bug_is_found(bug: str) -> None:
    done = run("--examples", str(PLANTED_EXAMPLES), "--until-found", "--plant", bug)
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
    assert "schedules.world.Violation: " in done.stdout, done.stdout[-3000:]
