"""Each appliance on a disk of 64 MiB that is filled to the last byte: first the primary's, then the backup's."""

from __future__ import annotations

import uuid
from pathlib import Path

from appliances.disk import BALLAST
from tests.e2e.conftest import running
from tests.e2e.live import LiveAppliance, LivePair, wait_for
from tests.e2e.pages import Pages
from tests.e2e.test_uploads import ApiClient
from tests.tmpfs import Small, mounted

PORT = 9290
SIZES = {"BALLAST_MIB": "8", "DISK_RESERVE_MIB": "16"}
FULL = (500, b"This appliance is not healthy: disk.\n")
SESSION = str(uuid.uuid4())


def fill(disk: Small, site: LiveAppliance) -> None:
    """Not a byte is left; the appliance says so, and has released its ballast."""
    assert (site.data_dir / BALLAST).exists()
    disk.fill(leaving=0)
    wait_for("the full disk is told", lambda: site.get("/check_health") == FULL, 30)
    wait_for("the ballast is released", lambda: not (site.data_dir / BALLAST).exists(), 10)


def empty(disk: Small, site: LiveAppliance) -> None:
    """There is room again; the appliance is well, and has its ballast."""
    disk.empty()
    site.wait_until_healthy()
    wait_for("the ballast is made again", (site.data_dir / BALLAST).exists, 10)


def synchronised(site: LiveAppliance) -> None:
    done = site.manage("sync_now", "--timeout", "60")
    assert done.returncode == 0, done.stdout + done.stderr


def test_pages_data_syncs_and_role_changes_go_on_at_a_full_disk(folder: Path) -> None:
    with mounted(64, 20_000) as first, mounted(64, 20_000) as second:
        pair = LivePair(
            LiveAppliance("site1.example.com", "127.0.0.1", PORT, first.folder / "site1", SIZES),
            LiveAppliance("site2.example.com", "127.0.0.2", PORT, second.folder / "site2", SIZES),
        )
        with running(pair.site1, pair.site2):
            pair.start()
            pair.establish_from_shell()
            pair.wait_until_synchronised()
            the_primary_is_full(first, pair.site1, pair.site2)
            the_backup_is_full(first, pair.site1, pair.site2)


def the_primary_is_full(disk: Small, primary: LiveAppliance, backup: LiveAppliance) -> None:
    client = ApiClient(primary)
    document = {"id": SESSION, "started_at": "2026-03-01T10:00:00Z", "ended_at": "2026-03-01T10:10:00Z",
                "representative": "admin", "customer_name": "Carol"}  # fmt: skip
    status, _, body = client.ask("POST", "sessions", document)
    assert status in (200, 201), body
    fill(disk, primary)

    path = f"recordings/{uuid.uuid4()}?session={SESSION}&name=r"
    status, _, body = client.ask("PUT", path, b"x" * 100_000, Content_Type="application/octet-stream")
    assert (status, b"disk_full" in body) == (507, True)
    assert primary.get("/")[0] == 200  # it serves
    assert Pages(primary).log_in()
    assert "The disk is nearly full" in primary.command("check_health").findtext("{*}error_message", "")
    synchronised(backup)
    done = primary.manage("become_backup", "--with-data-sync", "--timeout", "90")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (primary.role(), backup.role()) == ("backup", "primary")
    wait_for("the new primary serves", lambda: backup.get("/")[0] == 200, 20)
    empty(disk, primary)


def the_backup_is_full(disk: Small, backup: LiveAppliance, primary: LiveAppliance) -> None:
    key = uuid.uuid4()
    path = f"recordings/{key}?session={SESSION}&name=r"
    content = b"r" * (3 << 20)
    status, _, body = ApiClient(primary).ask("PUT", path, content, Content_Type="application/octet-stream")
    assert status == 201, body
    fill(disk, backup)
    before = backup.rows("SELECT head_term, head_seq FROM sync_rolejournal")
    done = backup.manage("sync_now", "--timeout", "60")
    assert done.returncode == 1
    assert "not enough disk space" in done.stderr, done.stdout + done.stderr
    assert "Free some space on this appliance" in done.stderr
    assert backup.rows("SELECT head_term, head_seq FROM sync_rolejournal") == before
    empty(disk, backup)
    synchronised(backup)
    assert backup.blobs() == primary.blobs()
