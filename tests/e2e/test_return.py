"""An old primary comes back with settings that nobody else has: it waits, shows them, and loses none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.e2e.browser import FAILOVER, Console
from tests.e2e.conftest import established_pair
from tests.e2e.live import LiveAppliance, LivePair, wait_for

pytestmark = pytest.mark.e2e

ON_THE_OLD = """
from django.contrib.auth.models import Group
from appliances.models import Account, Site
night = Group.objects.create(name="Night shift")
Account.objects.create_user("mia", password="a long password 1").groups.add(night)
Site.objects.update(portal_text="Welcome. We answer from 7 to 20 h.")
"""
ON_THE_NEW = """
from appliances.models import Account, EmailConfiguration, Site
Account.objects.create_user("theo", password="a long password 2")
Site.objects.update(portal_text="Welcome. We answer from 9 to 17 h.")
row = EmailConfiguration.load()
row.relay_host = "mail.example.com"
row.password = "a-secret-of-site2"
row.save()
"""
SETTINGS = {
    "account": "SELECT username, display_name, email, is_active, password FROM appliances_account ORDER BY username",
    "groups": "SELECT a.username, g.name FROM appliances_account_groups m JOIN appliances_account a "
    "ON a.id = m.account_id JOIN auth_group g ON g.id = m.group_id ORDER BY 1, 2",
    "site": "SELECT name, portal_text FROM appliances_site",
    "mail": "SELECT relay_host FROM appliances_emailconfiguration",
    "files": "SELECT name, blob_id FROM appliances_filestorefile ORDER BY name",
}


@pytest.fixture
def pair(folder: Path) -> Iterator[LivePair]:
    """site1 is primary, site2 its backup."""
    with established_pair(folder / "return", port=9893) as pair:
        yield pair


def change(appliance: LiveAppliance, code: str) -> None:
    done = appliance.manage("shell", "-c", code)
    assert done.returncode == 0, done.stderr


def settings(appliance: LiveAppliance) -> dict[str, list[tuple[object, ...]]]:
    return {name: appliance.rows(query) for name, query in SETTINGS.items()}


def state(appliance: LiveAppliance) -> str:
    return str(appliance.rows("SELECT state FROM sync_rolejournal")[0][0])


def thing(console: Console, name: str) -> Locator:
    return console.page.locator("fieldset.pick", has=console.page.locator("legend .what", has_text=name))


def test_a_returning_primary_waits_and_each_side_gives_what_was_chosen_of_it(pair: LivePair, browser: Browser) -> None:
    old, new = pair.site1, pair.site2
    change(old, ON_THE_OLD)  # no data-sync brings this to site2
    old.kill()
    wait_for("the end of site1", old.has_ended, 20)
    there = Console.of(browser, new)
    there.log_in()
    there.failover()
    there.expect_headline("does not answer", 60)
    there.ask_for_change("Primary")
    there.confirm_change(accept_loss=True)
    wait_for("site2 serves", lambda: new.get("/")[0] == 200, 60)
    change(new, ON_THE_NEW)
    old.start()
    wait_for("site1 waits", lambda: old.get("/login/")[0] and state(old) == "p_superseded", 90)
    before = settings(old), settings(new)

    # Both say how much differs; the old one may not be changed, and shows objects and fields.
    there.failover()
    there.expect_headline("waits: its settings differ in 5 objects", 60)
    here = Console.of(browser, old)
    here.log_in()
    here.failover()
    here.expect_headline("Their settings differ in 5 objects", 60)
    here.page.get_by_role("link", name="Compare and choose…").click()
    found = [
        "Night shift",
        "mia",
        "theo",
        "Site configuration",
        "Email configuration",
    ]
    expect(here.page.locator("legend .what")).to_have_text(found, timeout=30_000)
    site = thing(here, "Site configuration")
    assert [text.strip() for text in site.locator("mark").all_inner_texts()] == ["7 to 20", "9 to 17"]
    assert "a-secret-of-site2" not in here.page.content()
    assert (settings(old), settings(new)) == before

    # One of each side; the group of the chosen account comes along by itself.
    thing(here, "Night shift").locator("label.side").nth(1).click()
    thing(here, "mia").locator("label.side").nth(0).click()
    for name in ("theo", "Email configuration"):
        thing(here, name).locator("label.side").nth(1).click()
    site.locator("label.side").nth(0).click()
    here.page.get_by_role("button", name="Go on with this choice…").click()
    expect(here.page.get_by_role("heading", name="What will happen")).to_be_visible()
    expect(here.page.locator(".objects", has_text="Night shift")).to_contain_text("comes along")
    assert (settings(old), settings(new)) == before
    here.page.get_by_role("button", name="Settle it so").click()
    expect(here.messages).to_contain_text("is the backup now", timeout=60_000)
    wait_for("the data-sync", lambda: settings(old) == settings(new), 60)
    held = settings(new)
    assert {"mia", "theo"} <= {row[0] for row in held["account"]}
    assert ("mia", "Night shift") in held["groups"]
    assert held["site"][0][1] == "Welcome. We answer from 7 to 20 h."
    assert held["mail"] == [("mail.example.com",)]
    assert (state(old), state(new)) == ("b_idle", "p_active")

    # The version of site2 that was not chosen comes back, alone.
    there.open(f"{FAILOVER}backups/")
    there.page.locator("a.backup-row", has_text="Before settings were taken over").first.click()
    thing(there, "Site configuration").locator("label.side").nth(0).click()
    there.page.get_by_role("button", name="Restore what is chosen…").click()
    there.page.get_by_role("button", name="Restore now").click()
    expect(there.messages).to_contain_text("restored Site configuration")
    assert settings(new)["site"][0][1] == "Welcome. We answer from 9 to 17 h."
    assert {"mia", "theo"} <= {row[0] for row in settings(new)["account"]}
    assert here.complaints == there.complaints == []
    for console in (here, there):
        console.close()
