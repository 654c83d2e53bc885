"""Commands where there is no appliance."""

from __future__ import annotations

import io
import logging
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

import pytest

from appliances.management.base import quiet_terminal

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


@contextmanager
def terminal() -> Iterator[None]:
    """Somebody sits at a terminal."""
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as stderr, redirect_stderr(stderr):
        yield
    os.close(leader)


def logged(verbosity: int) -> str:
    """What the log writes while a command runs, and after it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with quiet_terminal(verbosity):
            root.warning("a line,")
            root.error("an error,")
        root.warning("after it")
    finally:
        root.removeHandler(handler)
    return stream.getvalue().replace("\n", " ").strip()


@pytest.mark.parametrize(("verbosity", "told"), [(1, "an error, after it"), (2, "a line, an error, after it")])
def test_a_terminal_is_spared_the_log_unless_it_asks_for_it(verbosity: int, told: str) -> None:
    with terminal():
        assert logged(verbosity) == told


def test_what_is_no_terminal_keeps_the_log() -> None:
    assert logged(1) == "a line, an error, after it"
