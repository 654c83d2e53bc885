"""Crash points: a test can let an appliance die at each durable step, and nobody else can."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from sync import act, crash, journal
from tests.e2e import crash_cases as cases
from tests.sync.rules.test_role import TAKEN
from tests.test_architecture import ROOT, modules

DIE = """
import django
django.setup()
from sync import act, crash, journal
crash.point("row.8 durable")
crash.point({name!r})
print("alive")
"""


def run(folder: Path, name: str, *, allowed: bool) -> subprocess.CompletedProcess[str]:
    environment = {
        **{key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ},
        "DATA_DIR": str(folder),
        "DJANGO_SETTINGS_MODULE": "failover_site.settings",
        "CRASH_POINTS": "1" if allowed else "0",
    }
    return subprocess.run(
        [sys.executable, "-c", DIE.format(name=name)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_process_dies_at_the_armed_point_once(tmp_path: Path) -> None:
    (tmp_path / crash.ARMED).write_text("row.10 durable\n")
    assert run(tmp_path, "row.10 before", allowed=True).stdout == "alive\n"
    died = run(tmp_path, "row.10 durable", allowed=True)
    assert (died.returncode, died.stdout) == (-signal.SIGKILL, "")
    assert [path.name for path in tmp_path.glob("crash*")] == [crash.CRASHED]
    assert run(tmp_path, "row.10 durable", allowed=True).stdout == "alive\n"


def test_the_whole_appliance_dies_with_its_supervisor(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as supervisor:
        (tmp_path / "supervisor.lock").write_text(str(supervisor.pid))
        (tmp_path / crash.ARMED).write_text(f"row.10 durable\n{crash.WHOLE_APPLIANCE}\n")
        assert run(tmp_path, "row.10 durable", allowed=True).returncode == -signal.SIGKILL
        assert supervisor.wait(10) == -signal.SIGKILL


def test_nothing_dies_unless_the_environment_allows_it(tmp_path: Path) -> None:
    (tmp_path / crash.ARMED).write_text("row.10 durable\n")
    assert run(tmp_path, "row.10 durable", allowed=False).stdout == "alive\n"
    assert (tmp_path / crash.ARMED).exists()


def test_crash_points_are_off_by_default(settings: Settings) -> None:
    assert settings.CRASH_POINTS is False


def test_every_name_is_listed_once() -> None:
    assert len(set(crash.names())) == len(crash.names())


@pytest.mark.parametrize("group", [crash.SYNC, crash.ANSWERS], ids=["sync", "answers"])
def test_the_lists_are_what_the_product_passes(group: tuple[str, ...]) -> None:
    """Each point of the data-sync stands once in the source; each listed answer is the answer to a message."""
    if group is crash.ANSWERS:
        from sync.peer_views import ENDPOINTS

        assert set(group) <= {endpoint.message.__name__ for endpoint in ENDPOINTS.values()}
        return
    passed = [
        call.args[0].value
        for path in modules()
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) == "crash.point"
        and isinstance(call.args[0], ast.Constant)
    ]
    assert sorted(map(str, passed)) == sorted((*group, *crash.FOLDERS))


@pytest.mark.django_db(transaction=True)
def test_every_point_of_rows_and_effects_is_passed_when_its_row_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """`before` while nothing is durable, `durable` once it is, and only then the effects."""
    passed: list[str] = []
    durable: list[tuple[str, bool]] = []

    def note(name: str) -> None:
        passed.append(name)
        if name.startswith("row."):
            durable.append((name, not connection.in_atomic_block))

    monkeypatch.setattr(crash, "point", note)
    for _, state, event, _ in TAKEN:
        with journal.locked() as held:
            held.state = state
        act.deliver(event)
    listed = {name for name in crash.names() if name.startswith(("row.", "effect."))}
    assert listed <= set(passed)
    assert all(is_durable == name.endswith(" durable") for name, is_durable in durable)
    first_effect = next(number for number, name in enumerate(passed) if name.startswith("effect."))
    assert passed[first_effect - 1].endswith(" durable")


# Nobody dies there on a live pair, because:
_NOT_ARMED = "whoever yielded is not armed: the one that was to take the role was backup, and acknowledged no timeout"
NEVER_ON_A_LIVE_PAIR = {"row.12b before": _NOT_ARMED, "row.12b durable": _NOT_ARMED}


def test_every_point_is_in_a_case_of_the_live_pair() -> None:
    """Those of rows and effects are passed above too; whatever is not in a case has its reason."""
    assert set(crash.names()) - cases.points() == NEVER_ON_A_LIVE_PAIR.keys()
    assert cases.points() <= set(crash.names())
