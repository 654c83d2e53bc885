"""Commands where there is no appliance."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = ["failover_status", "sync_now", "become_primary", "inter_appliance_key", "demo_content"]


def run(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env={"DATA_DIR": str(data_dir)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_without_an_appliance_says_so_in_one_sentence_and_leaves_nothing(
    command: str, tmp_path: Path
) -> None:
    missing = tmp_path / "nowhere"
    refused = run(missing, command)
    assert refused.returncode == 2, refused.stderr
    assert refused.stderr.startswith(f"CommandError: There is no appliance in {missing}; set DATA_DIR")
    assert len(refused.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_debris_of_something_else_is_no_appliance(tmp_path: Path) -> None:
    (tmp_path / "database.sqlite3").touch()
    refused = run(tmp_path, "failover_status")
    assert refused.returncode == 2
    assert "There is no appliance" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["database.sqlite3"]


def test_help_needs_no_appliance(tmp_path: Path) -> None:
    assert run(tmp_path / "nowhere", "failover_status", "--help").returncode == 0
    assert list(tmp_path.iterdir()) == []
