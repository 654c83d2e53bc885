"""Stopping, starting again, losing processes and what lies on a disk: a live pair stays what it was."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.browser import FAILOVER
from tests.e2e.compare import blob_hashes, differences, role_rows
from tests.e2e.conftest import by_role, established_pair, settle
from tests.e2e.live import LiveAppliance, LivePair, wait_for
from tests.e2e.pages import Pages

PORT = 9140
STOP_SECONDS = 15.0  # the supervisor gives its children ten
BEAT = "--app=failover_site beat"
STORED = "SELECT name, blob_id FROM appliances_filestorefile ORDER BY name LIMIT 3"
FOUND = "SELECT problem, state FROM sync_damagedfile WHERE blob_id = '{}'"
TOLD = "SELECT event FROM sync_statusevent WHERE sentence LIKE '%“{}”%' ORDER BY id"
REPAIR_SECONDS = 120.0  # some ten for the task to come round, the rest for a busy machine
CHILDREN = ("--queues=role", "--queues=sync", "--queues=hooks", "--queues=mail", BEAT)


@pytest.fixture(scope="module")
def pair(folder: Path) -> Iterator[LivePair]:
    """One pair for the tests of this module; each leaves it healthy."""
    with established_pair(folder, port=PORT) as living:
        yield living


def test_ctrl_c_stops_everything_in_time_and_the_next_start_picks_up_where_it_was(pair: LivePair) -> None:
    primary, backup = by_role(pair)
    before = role_rows(primary), role_rows(backup)
    for site in (primary, backup):
        assert len(site.processes()) >= len(CHILDREN) + 3  # supervisor, broker, web
        began = time.monotonic()
        stop_with_ctrl_c(site)
        print(f"{site.name} stopped in {time.monotonic() - began:.1f} s")
        assert site.processes() == {}
    for site in (primary, backup):
        site.start()
    for site in (primary, backup):
        site.wait_until_healthy()
    wait_for("the primary serves again", lambda: primary.get("/")[0] == 200, 45)
    settle(pair)
    assert (role_rows(primary), role_rows(backup)) == before
    assert (primary.role(), backup.role()) == ("primary", "backup")
    assert backup.get("/")[0] == 503
    synchronise(backup)
    assert differences(primary, backup) == []


def test_each_child_that_is_killed_is_started_again_and_does_its_work(pair: LivePair) -> None:
    primary, backup = by_role(pair)
    for part in (*CHILDREN, "broker.sock", "gunicorn"):
        killed = backup.pid_of(part)
        os.kill(killed, signal.SIGKILL)
        wait_for(f"another {part}", partial(has_another, backup, part, killed), 30)
    wait_for("health", lambda: backup.get("/check_health")[0] == 200, 60)
    assert len(matching(backup, BEAT)) == 1
    for queue in ("role", "sync", "hooks", "mail"):
        assert len(matching(backup, f"--queues={queue} ")) == 1
    synchronise(backup)
    assert (primary.role(), backup.role()) == ("primary", "backup")
    settle(pair)


def test_a_killed_supervisor_leaves_no_child_behind_and_the_next_start_works(pair: LivePair) -> None:
    primary, backup = by_role(pair)
    before = role_rows(primary)
    began = time.monotonic()
    primary.kill()
    wait_for("the end of all its processes", lambda: not primary.processes(), 5)
    print(f"all processes had ended after {time.monotonic() - began:.1f} s")
    primary.start()
    primary.wait_until_healthy()
    # Its backup has seen no other primary: it confirms its role and serves again, in the same term.
    wait_for("the primary serves again", lambda: primary.get("/")[0] == 200, 45)
    assert role_rows(primary) == before
    assert backup.role() == "backup"
    settle(pair)


def test_a_second_start_in_the_same_folder_is_refused_and_disturbs_nothing(pair: LivePair) -> None:
    primary, _ = by_role(pair)
    processes = set(primary.processes())
    second = primary.manage("appliance")
    assert second.returncode != 0
    assert "in use by another start of the product" in second.stderr
    assert processes <= set(primary.processes())
    assert primary.get("/")[0] == 200


def test_stored_files_that_rot_on_either_disk_are_found_and_come_whole_from_the_peer(pair: LivePair) -> None:
    primary, backup = by_role(pair)
    synchronise(backup)
    (one, first), (two, second), (three, third) = primary.rows(STORED)
    damaged = [(backup, one, first, "corrupt"), (primary, two, second, "corrupt"), (primary, three, third, "missing")]
    for site, _, blob_id, problem in damaged:
        path = blob_path(site, blob_id)
        if problem == "missing":
            path.unlink()
        else:
            rot(path)
        assert blob_hashes(site).get(blob_id) != blob_id
    pages = {site.name: Pages(site) for site in (backup, primary)}
    for page in pages.values():
        status, text = page.press("data-syncs/verify")
        assert (status, "All stored files are read again" in text) == (200, True)
    for site, name, blob_id, problem in damaged:
        wait_for(f"{name} is whole", partial(is_repaired, site, blob_id, problem), REPAIR_SECONDS)
        assert blob_hashes(site)[blob_id] == blob_id
        assert site.rows(TOLD.format(name)) == [(f"file_{problem}",), ("file_repaired",)]
        told = pages[site.name].get(f"{FAILOVER}data-syncs/")[1]
        assert (name in told, ">Repaired<" in told) == (True, True)
    assert differences(primary, backup) == []


def blob_path(site: LiveAppliance, blob_id: str) -> Path:
    """Where the file of this hash lies in the store of an appliance."""
    return site.data_dir / "blobs" / blob_id[:2] / blob_id[2:]


def rot(path: Path) -> None:
    """A few bytes of a file are other ones, and its size and time are what they were."""
    before, content = path.stat(), bytearray(path.read_bytes())
    for at in range(len(content) // 2, len(content) // 2 + 4):
        content[at] ^= 0xFF
    path.chmod(0o600)
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    path.chmod(before.st_mode)


def is_repaired(site: LiveAppliance, blob_id: str, problem: str) -> bool:
    """Whether the file was found once to be so on this appliance, and is whole again."""
    return site.rows(FOUND.format(blob_id)) == [(problem, "repaired")]


def stop_with_ctrl_c(site: LiveAppliance) -> None:
    """What the terminal does: SIGINT to the supervisor, which ends well and in time."""
    assert site.process is not None
    site.process.send_signal(signal.SIGINT)
    assert site.process.wait(STOP_SECONDS) == 0
    site.process = None


def matching(site: LiveAppliance, part: str) -> list[int]:
    """The processes of an appliance whose command line contains `part`."""
    return [pid for pid, command in site.processes().items() if part in command]


def has_another(site: LiveAppliance, part: str, killed: int) -> bool:
    """Whether the killed process is gone and another does its work."""
    found = matching(site, part)
    return bool(found) and killed not in found


def synchronise(backup: LiveAppliance) -> None:
    """A data-sync goes well."""
    done = backup.manage("sync_now", "--timeout", "60")
    assert done.returncode == 0, done.stdout + done.stderr
