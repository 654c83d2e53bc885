"""The broker is away for five minutes and cannot be started again: roles, looks and pages go on without it."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from appliances.host.broker import find_server
from tests.e2e.browser import FAILOVER
from tests.e2e.conftest import settle
from tests.e2e.drill import Drill, drilled_pair, journal_of
from tests.e2e.live import LiveAppliance, wait_for
from tests.e2e.pages import Pages
from tests.e2e.test_automatic_failover import ARM, TIMEOUT, history, wait_until_armed

PORT = 9240
OUTAGE_SECONDS = 300.0
# Stands before the real server in PATH: the supervisor cannot start a broker while the file is there.
DOOR = """#!/bin/sh
test -e {folder}/no-broker && exit 1
exec {server} "$@"
"""
LOOKED = "SELECT answered_boottime FROM sync_peerview"


@dataclass
class Outage:
    """A pair without brokers since `began`."""

    drill: Drill
    folder: Path
    began: float
    before: list[tuple[str, int, int]]


@pytest.fixture
def outage() -> Iterator[Outage]:
    """An armed pair whose brokers are killed now."""
    folder = Path("/tmp") / f"broker-{os.getpid()}"  # Unix sockets lie below it: a short path
    (folder / "bin").mkdir(parents=True)
    server = find_server()
    assert server is not None
    door = folder / "bin" / "valkey-server"
    door.write_text(DOOR.format(folder=folder, server=server))
    door.chmod(0o755)
    path = f"{folder}/bin:{os.environ['PATH']}"
    try:
        with drilled_pair(folder, port=PORT, PATH=path) as drill:
            for site in drill.sites:
                drill.run(site, ARM.format(automatic=True, timeout=TIMEOUT))
            wait_until_armed(drill.roles()[1])
            before = [journal_of(site) for site in drill.sites]
            (folder / "no-broker").touch()
            for site in drill.sites:
                os.kill(site.pid_of("broker.sock"), signal.SIGKILL)
            yield Outage(drill, folder, time.monotonic(), before)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_five_minutes_without_brokers_change_no_role(outage: Outage) -> None:
    """Within seconds the health says it, and the site is served as before."""
    drill = outage.drill
    primary, backup = drill.roles()
    for site in drill.sites:
        wait_for(f"{site.name} says it", partial(is_ill, site), 30)
    assert primary.get("/")[0] == 200
    while (left := outage.began + OUTAGE_SECONDS - time.monotonic()) > 0:
        looked = [site.rows(LOOKED) for site in drill.sites]
        time.sleep(min(left, 10.0))
        assert [journal_of(site) for site in drill.sites] == outage.before
        assert all(site.rows(LOOKED) != before for site, before in zip(drill.sites, looked, strict=True)), "no looks"
        assert primary.get("/")[0] == 200
    assert [journal_of(site) for site in drill.sites] == outage.before
    assert not history(backup, "failover.count_down")
    assert not history(primary, "role.7b")
    for site in drill.sites:
        assert "message broker" in page_of(site)
    for site in drill.sites:  # on the primary the peer says it, on the backup it is said at once
        _, told = Pages(site).press("sync-now")
        assert "The message broker of the backup does not answer, so no data-sync was started" in told
    (outage.folder / "no-broker").unlink()
    wait_for("health", lambda: all(site.says_healthy() for site in drill.sites), 90)
    drill.change_something()
    drill.synchronise()
    drill.ask(backup, "primary")
    wait_for("a swap", lambda: drill.is_well() and drill.roles() == (backup, primary), 60)
    settle(drill.pair)


def is_ill(site: LiveAppliance) -> bool:
    """Whether its health is bad."""
    return site.get("/check_health")[0] == 500


def page_of(site: LiveAppliance) -> str:
    """The Failover page."""
    pages = Pages(site)
    assert pages.log_in()
    status, body = pages.get(FAILOVER)
    assert status == 200
    return body
