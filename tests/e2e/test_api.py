"""The command API as programs of other people use it: XML over TLS, by user name and password, on a live pair."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.compare import differences, role_rows
from tests.e2e.conftest import by_role, established_pair, settle
from tests.e2e.live import NAMESPACE, LiveAppliance, LivePair, wait_for

PORT = 9120
CHANGED = "Successfully changed role."
STARTED = "Successfully started data sync. Role change will occur upon successful completion."


@pytest.fixture(scope="module")
def pair(folder: Path) -> Iterator[LivePair]:
    """One pair for the tests of this module; each leaves it healthy, in whatever roles."""
    with established_pair(folder, port=PORT) as living:
        yield living


def test_check_health_tells_on_both_who_they_are_and_when_data_was_synchronised(pair: LivePair) -> None:
    told = {}
    for appliance in (pair.site1, pair.site2):
        # A new backup pulls by itself within seconds; until then there is no data-sync in this direction to tell of.
        wait_for("a data-sync to tell of", partial(tells_of_a_data_sync, appliance), 60)
        status, body = appliance.get(f"/api/command?action=check_health&username=admin&password={appliance.password}")
        assert status == 200
        head, empty, root = body.decode().split("\n", 2)
        assert (head, empty) == ('<?xml version="1.0" encoding="UTF-8"?>', "")
        assert root.startswith('<health_check xmlns="http://www.bomgar.com/namespaces/API/command">')
        health = appliance.command("check_health")
        assert [child.tag.removeprefix(NAMESPACE) for child in health] == [
            "appliance",
            "version",
            "success",
            "failover_role",
            "last_data_sync_time",
            "last_data_sync_status",
        ]
        who = health.find(f"{NAMESPACE}appliance")
        assert who is not None
        assert who.text == appliance.name
        assert re.fullmatch("[0-9a-f]{32}", who.attrib["id"])
        version = health.findtext(f"{NAMESPACE}version")
        assert version
        assert re.fullmatch(r"\d+\.\d+\.\d+ \(build-[0-9a-f]{40}\)", version)
        synchronised = health.find(f"{NAMESPACE}last_data_sync_time")
        assert synchronised is not None
        assert synchronised.text
        at = dt.datetime.fromisoformat(synchronised.text)
        assert int(at.timestamp()) == int(synchronised.attrib["ts"])
        assert abs((dt.datetime.now(dt.UTC) - at).total_seconds()) < 600
        assert health.findtext(f"{NAMESPACE}success") == "1"
        assert health.findtext(f"{NAMESPACE}last_data_sync_status") == "success"
        told[appliance.name] = health.findtext(f"{NAMESPACE}failover_role"), who.attrib["id"], version
    (role1, id1, version1), (role2, id2, version2) = told.values()
    assert {role1, role2} == {"primary", "backup"}
    assert id1 != id2
    assert version1 == version2


def test_the_plain_health_check_needs_no_log_in_and_tells_nothing(pair: LivePair) -> None:
    for appliance in (pair.site1, pair.site2):
        assert appliance.get("/check_health") == (200, b"This appliance is healthy.\n")


def test_the_backup_is_made_primary_and_the_answer_comes_when_it_serves(pair: LivePair) -> None:
    old, new = by_role(pair)
    assert answer(new, role="primary") == CHANGED
    assert new.role() == "primary"
    assert new.get("/")[0] == 200
    wait_for("the old primary is backup", lambda: old.role() == "backup", 20)
    assert old.get("/")[0] == 503
    settle(pair)


def test_the_primary_is_made_backup_with_a_data_sync_first_and_everything_is_on_both(pair: LivePair) -> None:
    old, new = by_role(pair)
    assert answer(old, role="backup", data_sync_first="1") == STARTED
    wait_for("the swap", lambda: (old.role(), new.role()) == ("backup", "primary"), 60)
    wait_for("the portal", lambda: new.get("/")[0] == 200, 20)
    settle(pair)
    assert differences(old, new) == []


def test_a_role_that_an_appliance_has_already_is_no_change(pair: LivePair) -> None:
    primary, backup = by_role(pair)
    before = role_rows(primary), role_rows(backup)
    assert answer(primary, role="primary") == CHANGED
    assert answer(backup, role="backup") == CHANGED
    assert (role_rows(primary), role_rows(backup)) == before


def test_nonsense_and_strangers_are_refused_and_change_nothing(pair: LivePair) -> None:
    primary, backup = by_role(pair)
    before = role_rows(primary), role_rows(backup)
    assert "must be primary or backup" in refusal(primary, role="leader")
    assert "must be primary or backup" in refusal(primary)
    assert "data_sync_first" in refusal(primary, role="backup", data_sync_first="yes")
    assert "Invalid credentials" in refusal(primary, role="backup", password="wrong")
    assert (role_rows(primary), role_rows(backup)) == before


def test_without_its_peer_a_primary_becomes_backup_by_force_only_and_its_peer_takes_over(pair: LivePair) -> None:
    primary, backup = by_role(pair)
    backup.stop()
    before = role_rows(primary)
    assert "contact" in refusal(primary, role="backup")
    assert "contact" in refusal(primary, role="backup", data_sync_first="1", force="1")
    assert role_rows(primary) == before
    assert primary.get("/")[0] == 200
    assert answer(primary, role="backup", force="1") == CHANGED
    assert primary.role() == "backup"
    assert primary.get("/")[0] == 503
    # A backup whose primary does not answer becomes primary without force: that is what the command is for.
    assert answer(primary, role="primary") == CHANGED
    assert primary.get("/")[0] == 200
    backup.start()
    backup.wait_until_healthy()
    wait_for("a primary and a backup", lambda: (primary.role(), backup.role()) == ("primary", "backup"), 30)
    settle(pair)


def tells_of_a_data_sync(appliance: LiveAppliance) -> bool:
    """Whether check_health knows a good data-sync."""
    return appliance.command("check_health").findtext(f"{NAMESPACE}last_data_sync_status") == "success"


def answer(appliance: LiveAppliance, **parameters: str) -> str:
    """The text of a success of set_failover_role."""
    element = appliance.command("set_failover_role", **parameters)
    assert element.tag == f"{NAMESPACE}success", element.text
    return element.text or ""


def refusal(appliance: LiveAppliance, **parameters: str) -> str:
    """The text of an error of set_failover_role."""
    element = appliance.command("set_failover_role", **parameters)
    assert element.tag == f"{NAMESPACE}error", element.text
    return element.text or ""
