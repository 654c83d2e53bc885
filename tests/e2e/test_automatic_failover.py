"""A backup takes over by itself when its primary is dead or stands still, and the old primary finds its place again."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.rules.takeover import TIMED
from tests.e2e.conftest import established_pair
from tests.e2e.live import LiveAppliance, LivePair, wait_for

pytestmark = pytest.mark.e2e

TIMEOUT = 10
ARM = """
import datetime as dt
from appliances.models import BackupSettings
row = BackupSettings.load()
row.enable_automatic_failover, row.primary_timeout = {automatic}, dt.timedelta(seconds={timeout})
row.connectivity_test_ips = "127.0.0.1"
row.save()
"""
CLAUSES = "SELECT decision FROM sync_peerview"


@pytest.fixture
def pair(folder: Path, request: pytest.FixtureRequest) -> Iterator[LivePair]:
    """site1 is primary, site2 its backup."""
    with established_pair(folder / request.node.name[:20], port=9773) as pair:
        yield pair


def arm(appliance: LiveAppliance, *, automatic: bool = True) -> None:
    done = appliance.manage("shell", "-c", ARM.format(automatic=automatic, timeout=TIMEOUT))
    assert done.returncode == 0, done.stderr


def wait_until_armed(backup: LiveAppliance) -> None:
    """Only what the silence of the primary decides is missing."""

    def is_armed() -> bool:
        [[kept]] = backup.rows(CLAUSES)
        broken = {clause["name"] for clause in json.loads(kept).get("clauses", []) if not clause["holds"]}
        return broken == TIMED - {"back-off"}

    wait_for("the guard waits for the primary's silence alone", is_armed, 40)


def history(appliance: LiveAppliance, event: str) -> list[str]:
    return [row[0] for row in appliance.rows(f"SELECT sentence FROM sync_statusevent WHERE event = '{event}'")]


def processes_of(appliance: LiveAppliance) -> list[int]:
    marker = f"DATA_DIR={appliance.data_dir}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and marker in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def test_the_backup_takes_over_from_a_dead_primary_which_rejoins_by_itself(pair: LivePair) -> None:
    primary, backup = pair.site1, pair.site2
    arm(backup)
    wait_until_armed(backup)
    primary.kill()
    started = time.monotonic()
    wait_for("the backup takes over", lambda: backup.role() == "primary", TIMEOUT + 15)
    took = time.monotonic() - started
    print(f"took over {took:.1f} s after the kill, timeout {TIMEOUT} s")
    assert took > TIMEOUT - 4
    assert backup.get("/")[0] == 200
    assert history(backup, "failover.count_down")
    assert history(backup, "role.20")
    primary.start()
    wait_for(
        "the old primary rejoins", lambda: primary.get("/check_health")[0] == 200 and primary.role() == "backup", 90
    )
    assert history(primary, "role.30")
    assert primary.tracebacks() == backup.tracebacks() == []


def test_a_primary_that_stands_still_is_taken_over_and_does_not_serve_when_it_wakes(pair: LivePair) -> None:
    primary, backup = pair.site1, pair.site2
    arm(backup)
    wait_until_armed(backup)
    stopped = processes_of(primary)
    assert len(stopped) > 5
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        wait_for("the backup takes over", lambda: backup.role() == "primary", TIMEOUT + 20)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    wait_for("the old primary is backup", lambda: primary.role() == "backup", 60)
    assert backup.role() == "primary"
    assert primary.tracebacks() == backup.tracebacks() == []


def test_with_automatic_failover_off_the_history_tells_what_would_have_happened(pair: LivePair) -> None:
    primary, backup = pair.site1, pair.site2
    arm(backup, automatic=False)
    time.sleep(8)
    primary.kill()
    wait_for("shadow", lambda: history(backup, "failover.shadow"), TIMEOUT + 20)
    assert backup.role() == "backup"
    primary.start()
    wait_for("the primary is back", lambda: history(backup, "failover.shadow_over"), 60)
    wait_for("the primary serves", lambda: primary.get("/")[0] == 200, 60)


def test_a_killed_broker_changes_no_role_and_stops_no_turn(pair: LivePair) -> None:
    primary, backup = pair.site1, pair.site2
    arm(backup)
    wait_until_armed(backup)
    brokers = [
        pid
        for pid in processes_of(backup) + processes_of(primary)
        if b"broker.sock" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    until = time.monotonic() + TIMEOUT + 10
    while time.monotonic() < until:
        for pid in brokers:
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGSTOP)
        time.sleep(1)
    for pid in brokers:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGCONT)
    assert (primary.role(), backup.role()) == ("primary", "backup")
    assert not history(backup, "failover.count_down")
