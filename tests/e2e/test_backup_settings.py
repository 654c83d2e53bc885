"""Backup Settings in a browser: what is typed is drawn, what is saved holds on both appliances."""

from __future__ import annotations

import json
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.e2e.browser import Console
from tests.e2e.conftest import established_pair
from tests.e2e.live import LiveAppliance, wait_for

RECORDING = "import os; from tests.sync.datasync import world; world.recording('long', os.urandom(6_000_000))"


def acknowledged(backup: LiveAppliance) -> list[float | None]:
    """The timeout and the isolation timer that the primary says it keeps to."""
    [[kept]] = backup.rows("SELECT status FROM sync_peerview")
    status = json.loads(kept)
    return [status["acknowledged_timeout"], status["acknowledged_times"]["isolation"]]


def test_times_are_drawn_while_they_are_typed_and_hold_on_both_appliances(browser: Browser, folder: Path) -> None:
    with established_pair(folder / "settings", port=9853) as pair:
        backup = Console.of(browser, pair.site2)
        backup.log_in()
        backup.failover()
        page = backup.page
        drawing, settings = page.locator("#drawing"), page.locator("#backup-settings")
        settings.locator("summary").first.click()
        page.get_by_label("Primary Site Instance Timeout").fill("60")
        expect(drawing).to_contain_text("The primary is gone 15.5 s before")
        page.get_by_text("Times derived from the timeout").click()
        page.get_by_label("Isolation Timer").fill("50")
        expect(drawing).to_contain_text("10.5 s more than the timeout of 60 s")
        page.get_by_role("button", name="Save backup settings").click()
        expect(settings).to_contain_text("Nothing was saved")
        expect(page.get_by_label("Isolation Timer")).to_have_value("50")

        page.get_by_label("Isolation Timer").fill("20")
        expect(drawing).to_contain_text("The primary is gone 19.5 s before")
        page.get_by_label("Enable Automatic Failover").check()
        page.get_by_label("Network Connectivity Test IPs").fill("127.0.0.1")
        page.get_by_label("Data-Sync Bandwidth Limit").fill("8")
        page.get_by_label("Unit of the limit").select_option("Mbit/s")
        page.get_by_role("button", name="Save backup settings").click()
        expect(backup.messages).to_contain_text("saved")
        expect(settings.locator("summary").first).to_contain_text("automatic failover after 1 min · 1 test IP")
        expect(page.locator("#test-ip-grades")).to_contain_text("answers", timeout=20_000)
        wait_for("the acknowledgement", lambda: acknowledged(pair.site2) == [60.0, 20.0], 20)
        expect(page.locator("#guard")).to_contain_text("armed", timeout=20_000)

        made = pair.site1.manage("shell", "-c", RECORDING)
        assert made.returncode == 0, made.stderr
        backup.sync_now()
        expect(page.locator("#sync-live")).to_contain_text("limited to 8 Mbit/s", timeout=20_000)
        assert backup.complaints == []
        backup.close()
