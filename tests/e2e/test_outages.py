"""A part of an appliance fails while the pair is armed: who serves afterwards, and what nobody may do meanwhile."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.e2e.browser import FAILOVER
from tests.e2e.conftest import settle
from tests.e2e.drill import Drill, drilled_pair, journal_of
from tests.e2e.live import ROOT, LiveAppliance, wait_for
from tests.e2e.pages import LOG_IN, Pages
from tests.e2e.test_automatic_failover import ARM, TIMEOUT, history, wait_until_armed
from tests.e2e.test_refusals import copy_of_the_source
from tests.sync.boxes import KEY

PORT = 9230
LONG_ENOUGH = TIMEOUT + 8  # if anybody were to take over, it would have happened by then
WRONG_KEY = "H3WK-RSCB-DNEZ-YW5X-X4OD-LUYM-U8TB-BCUA-TCKC-X7QJ-RCDJ-PMQP-HWGR"
SET_KEY = """
from appliances.services import set_inter_appliance_key
set_inter_appliance_key(key)
"""


@pytest.fixture(scope="module")
def living(folder: Path) -> Iterator[Drill]:
    """One pair, both sides armed for automatic failover at the shortest timeout."""
    with drilled_pair(folder, port=PORT) as drill:
        for site in drill.sites:
            drill.run(site, SET_KEY, key=KEY)
            drill.run(site, ARM.format(automatic=True, timeout=TIMEOUT))
        yield drill


@pytest.fixture
def drill(living: Drill) -> Iterator[Drill]:
    """The pair, well, in step and armed; afterwards well again, with no two that served at one moment."""
    living.wait_until_well()
    living.synchronise()
    wait_until_armed(living.roles()[1])
    yield living
    living.wait_until_well()
    settle(living.pair)
    living.synchronise()
    assert living.watch.broken == []


def outcome(site: LiveAppliance) -> str:
    """What the last look at the peer found."""
    [[found]] = site.rows("SELECT outcome FROM sync_peerview")
    return str(found)


def test_a_wrong_key_during_operation_is_an_alert_and_no_reason_to_fail_over(drill: Drill) -> None:
    primary, backup = drill.roles()
    before = [journal_of(site) for site in drill.sites]
    counted = history(backup, "failover.count_down")
    drill.run(primary, SET_KEY, key=WRONG_KEY)
    wait_for("the refusal on both", lambda: {outcome(site) for site in drill.sites} == {"refused"}, 30)
    until = time.monotonic() + LONG_ENOUGH
    while time.monotonic() < until:
        assert [journal_of(site) for site in drill.sites] == before
        assert primary.get("/")[0] == 200
        time.sleep(1)
    assert history(backup, "failover.count_down") == counted
    for site in drill.sites:
        assert "inter-appliance key" in page_of(site)
    drill.run(primary, SET_KEY, key=KEY)
    wait_for("an answer on both", lambda: {outcome(site) for site in drill.sites} == {"answered"}, 30)
    assert [journal_of(site) for site in drill.sites] == before


def test_another_build_during_operation_is_refused_and_changes_no_role(drill: Drill, folder: Path) -> None:
    primary, backup = drill.roles()
    before = [journal_of(site)[0] for site in drill.sites]
    backup.stop()
    backup.root = copy_of_the_source(folder / "another-build")
    try:
        drill.start_again(backup)
        backup.wait_until_healthy()
        pages = Pages(backup)
        pages.press("sync-now")
        wait_for("the refusal of the data-sync", lambda: newest_sync(backup) == ("refused", "other_build"), 60)
        _, told = pages.press("role-change", target="primary")
        assert "differ" in told
        assert [journal_of(site)[0] for site in drill.sites] == before
        assert primary.get("/")[0] == 200
    finally:
        backup.stop()
        backup.root = ROOT
        drill.start_again(backup)
    backup.wait_until_healthy()


def newest_sync(backup: LiveAppliance) -> tuple[str, str]:
    """Status and code of the newest data-sync."""
    [[status, code]] = backup.rows("SELECT status, code FROM sync_syncrun ORDER BY started_at DESC LIMIT 1")
    return status, code


def page_of(site: LiveAppliance) -> str:
    """The Failover page."""
    pages = Pages(site)
    assert pages.log_in()
    status, body = pages.get(FAILOVER)
    assert status == 200
    return body


def test_a_hung_web_server_alone_makes_the_primary_stop_and_the_backup_take_over(drill: Drill) -> None:
    primary, backup = drill.roles()
    stopped = programs(primary, "gunicorn")
    assert len(stopped) > 1
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        expect_take_over(primary, backup, because="role.7b")
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    expect_rejoin(primary)


def test_a_web_server_that_cannot_stay_up_makes_the_primary_stop_and_the_backup_take_over(drill: Drill) -> None:
    primary, backup = drill.roles()
    with again_and_again(lambda: kill_all(primary, "gunicorn")):
        expect_take_over(primary, backup, because="role.7b")
    expect_rejoin(primary)


def test_a_database_that_takes_no_writes_makes_the_backup_take_over(drill: Drill) -> None:
    """Somebody holds the write lock of the database: pages that only read could go on for ever."""
    primary, backup = drill.roles()
    with closing(sqlite3.connect(primary.data_dir / "database.sqlite3", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        wait_for("the backup takes over", lambda: journal_of(backup)[0] == "p_active", TIMEOUT + 20, 0.05)
        status, body = primary.get("/", timeout=30.0)
        print("the portal of the old primary says", status)
        assert status != 200
        assert b"Traceback" not in body
        database.execute("ROLLBACK")
    expect_rejoin(primary)


def expect_take_over(primary: LiveAppliance, backup: LiveAppliance, *, because: str) -> None:
    """The primary stops serving by itself, and only then the backup serves, when the timeout has passed."""
    told, began = len(history(primary, because)), time.monotonic()
    wait_for("the primary stops serving", lambda: journal_of(primary)[0] == "p_unconfirmed", TIMEOUT + 20, 0.05)
    stopped = time.monotonic() - began
    wait_for("the backup takes over", lambda: journal_of(backup)[0] == "p_active", TIMEOUT + 20, 0.05)
    print(f"stopped after {stopped:.1f} s, taken over after {time.monotonic() - began:.1f} s")
    assert len(history(primary, because)) == told + 1
    wait_for("the new primary's portal", lambda: backup.get("/")[0] == 200, 20)


def expect_rejoin(old: LiveAppliance) -> None:
    """The old primary becomes backup by itself: it holds nothing that the new one lacks."""
    wait_for("the old primary is backup", lambda: journal_of(old)[0] == "b_idle", 90, 0.05)
    wait_for("its console", lambda: old.get(LOG_IN)[0] == 200, 60)


def programs(site: LiveAppliance, part: str) -> list[int]:
    """Its processes with this in their command line."""
    return [pid for pid, command in site.processes().items() if part in command]


def kill_all(site: LiveAppliance, part: str) -> None:
    """These are gone."""
    for pid in programs(site, part):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


@contextmanager
def again_and_again(do: Callable[[], None]) -> Iterator[None]:
    """It is done all the time meanwhile."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(0.2):
            do()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
