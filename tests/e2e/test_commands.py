"""The commands of the shell on a live pair: what they do, what they print, and their exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.compare import differences, role_rows
from tests.e2e.conftest import by_role, running, settle
from tests.e2e.live import LiveAppliance, LivePair, wait_for

PORT = 9130
DONE, REFUSED, NOT_CONFIGURED = 0, 1, 2


@pytest.fixture(scope="module")
def pair(folder: Path) -> Iterator[LivePair]:
    """One pair for the tests of this module; each leaves it healthy, in whatever roles."""
    living = LivePair.below(folder, port=PORT)
    with running(living.site1, living.site2):
        living.start()
        assert living.site1.manage("demo_content").returncode == 0
        before_there_is_a_relationship(living)
        living.establish_from_shell()
        living.wait_until_synchronised()
        yield living


def before_there_is_a_relationship(pair: LivePair) -> None:
    """Two strangers: every command says so, and changes nothing."""
    rows = role_rows(pair.site1)
    assert pair.site1.manage("failover_status").returncode == NOT_CONFIGURED
    for command in ("sync_now", "become_primary", "become_backup"):
        refused = pair.site1.manage(command)
        assert refused.returncode == REFUSED, refused.stdout + refused.stderr
        assert "not configured" in refused.stderr
    refused = pair.establish()
    assert refused.returncode == REFUSED
    assert "Inter-appliance key" in refused.stderr
    assert role_rows(pair.site1) == rows


def test_failover_status_tells_people_and_programs_the_same(pair: LivePair) -> None:
    primary, backup = by_role(pair)
    wait_until_well(pair)
    text = backup.manage("failover_status")
    assert text.returncode == DONE, text.stdout + text.stderr
    assert "Backup" in text.stdout
    assert primary.name in text.stdout
    told = {site.name: status(site) for site in (primary, backup)}
    assert told[primary.name]["appliance"]["role"] == "primary"
    assert told[backup.name]["appliance"]["role"] == "backup"
    assert told[backup.name]["peer"]["id"] == told[primary.name]["appliance"]["id"]
    assert told[primary.name]["peer"]["role"] == "backup"
    assert told[backup.name]["problems"] == []
    assert told[primary.name]["last_data_sync"]["status"] == "success"


def test_sync_now_works_from_both_and_waits_for_the_end(pair: LivePair) -> None:
    primary, backup = by_role(pair)
    for site in (backup, primary):
        before = backup.rows("SELECT count(*) FROM sync_syncrun WHERE status = 'success'")[0][0]
        done = site.manage("sync_now", "--timeout", "60")
        assert done.returncode == DONE, done.stdout + done.stderr
        after = backup.rows("SELECT count(*) FROM sync_syncrun WHERE status = 'success'")[0][0]
        assert after == before + 1
    assert differences(primary, backup) == []


def test_become_primary_swaps_the_roles_of_a_healthy_pair(pair: LivePair) -> None:
    old, new = by_role(pair)
    done = new.manage("become_primary", "--timeout", "60")
    assert done.returncode == DONE, done.stdout + done.stderr
    assert "This appliance is primary now." in done.stdout
    settle(pair)
    assert (old.role(), new.role()) == ("backup", "primary")
    assert (old.get("/")[0], new.get("/")[0]) == (503, 200)
    again = new.manage("become_primary")
    assert again.returncode == DONE
    assert "primary already" in again.stdout


def test_become_backup_with_a_data_sync_swaps_the_roles_and_loses_nothing(pair: LivePair) -> None:
    old, new = by_role(pair)
    done = old.manage("become_backup", "--with-data-sync", "--timeout", "90")
    assert done.returncode == DONE, done.stdout + done.stderr
    settle(pair)
    assert (old.role(), new.role()) == ("backup", "primary")
    assert differences(old, new) == []


def test_establish_on_a_pair_is_refused(pair: LivePair) -> None:
    rows = role_rows(pair.site1), role_rows(pair.site2)
    refused = pair.establish()
    assert refused.returncode == REFUSED
    assert "already in a failover relationship" in refused.stderr
    assert (role_rows(pair.site1), role_rows(pair.site2)) == rows


def test_without_the_peer_each_command_says_so_and_only_force_changes_a_role(pair: LivePair) -> None:
    primary, backup = by_role(pair)
    backup.stop()
    rows = role_rows(primary)
    wait_for("the status of a primary alone", lambda: primary.manage("failover_status").returncode == 1, 40)
    for arguments in (("sync_now",), ("become_backup",), ("become_backup", "--force")):
        refused = primary.manage(*arguments)
        assert refused.returncode == REFUSED, arguments
        assert role_rows(primary) == rows
    done = primary.manage("become_backup", "--force", "--yes")
    assert done.returncode == DONE, done.stdout + done.stderr
    assert primary.role() == "backup"
    refused = primary.manage("become_primary")
    assert refused.returncode == REFUSED
    assert primary.role() == "backup"
    done = primary.manage("become_primary", "--force", "--yes")
    assert done.returncode == DONE, done.stdout + done.stderr
    assert primary.get("/")[0] == 200
    backup.start()
    backup.wait_until_healthy()
    settle(pair)


def status(appliance: LiveAppliance) -> dict[str, Any]:
    """What failover_status tells programs."""
    told: dict[str, Any] = json.loads(appliance.manage("failover_status", "--json").stdout)
    return told


def has_no_problem(appliance: LiveAppliance) -> bool:
    """Whether failover_status has nothing to complain of."""
    return not status(appliance)["problems"]


def wait_until_well(pair: LivePair) -> None:
    """Both say that there is no problem."""
    for site in (pair.site1, pair.site2):
        wait_for(f"{site.name} has no problem", partial(has_no_problem, site), 40, 1.0)
