"""The story of a pair, from two new appliances to a lost primary that comes back, through the pages of both.

One test, because each chapter begins where the one before ended. Nothing is replaced: two appliances as processes,
their databases, brokers and workers, TLS between them, and a browser.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.e2e.browser import Console
from tests.e2e.compare import blob_hashes, count, differences, node_local, role_rows
from tests.e2e.conftest import running
from tests.e2e.live import NAMESPACE, LiveAppliance, LivePair, wait_for

PORT = 9110
DEAD_PEER_SECONDS = 10.0
SECOND_ADMINISTRATOR = ("second.admin", "correct-horse-battery-41")


@dataclass
class Story:
    """The cast: both appliances, a browser at each, and what an administrator has written so far."""

    pair: LivePair
    one: Console
    two: Console
    folder: Path
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def site1(self) -> LiveAppliance:
        return self.pair.site1

    @property
    def site2(self) -> LiveAppliance:
        return self.pair.site2


def test_a_pair_is_established_synchronised_swapped_and_survives_its_primary(browser: Browser, folder: Path) -> None:
    pair = LivePair.below(folder, port=PORT)
    # Two appliances that were installed apart: each has a first password of its own.
    pair.site1.begin_with_password("the-first-password-of-site1")
    pair.site2.begin_with_password("another-first-password-of-site2")
    with running(pair.site1, pair.site2):
        pair.start()
        filled = pair.site1.manage("demo_content")
        assert filled.returncode == 0, filled.stderr
        story = Story(pair, Console.of(browser, pair.site1), Console.of(browser, pair.site2), folder)
        for chapter in (
            both_are_paired_through_the_pages,
            the_first_data_sync_arrives_by_itself,
            sync_now_brings_a_change,
            the_roles_are_swapped_with_a_data_sync_first,
            the_new_primary_is_written_on,
            the_roles_are_swapped_back_from_the_other_page,
            the_backup_takes_over_from_a_dead_primary,
            the_old_primary_comes_back_and_does_not_serve,
            the_conflict_is_resolved_by_the_old_primary,
            a_primary_without_its_peer_becomes_backup_by_force_only,
            both_backups_are_resolved_by_becoming_primary,
        ):
            began = time.monotonic()
            chapter(story)
            print(f"{chapter.__name__}: {time.monotonic() - began:.1f} s", flush=True)
        assert story.one.complaints + story.two.complaints == []
        story.one.close()
        story.two.close()


def both_are_paired_through_the_pages(story: Story) -> None:
    one, two = story.one, story.two
    one.log_in()
    two.log_in()
    one.failover()
    expect(one.page.locator("body")).to_contain_text("First, both appliances need the same inter-appliance key")
    two.enter_key(one.generate_key())
    assert one.key_words() == two.key_words()
    assert len(one.key_words()) >= 4
    two.failover()
    expect(two.page.locator("body")).to_contain_text("Failover is currently not configured")
    one.fill_connections((story.site2.address, PORT), (story.site1.address, PORT))
    one.press_establish()
    expect(one.messages).to_contain_text("The relationship is established. site2.example.com is the backup now")
    one.expect_roles("Primary", "Backup")
    # The other page was open all the time, and follows by itself.
    two.expect_roles("Backup", "Primary")
    assert story.site1.role() == "primary"


def the_first_data_sync_arrives_by_itself(story: Story) -> None:
    local = node_local(story.site1), node_local(story.site2)
    story.pair.wait_until_synchronised()
    assert (node_local(story.site1), node_local(story.site2)) == local
    assert differences(story.site1, story.site2) == []
    held = count(story.site2)
    assert held["appliances.SupportSession"] >= 100
    assert held["appliances.FileStoreFile"] >= 5
    assert held["appliances.Recording"] >= 10
    assert len(blob_hashes(story.site2)) >= 15
    story.one.expect_safe()
    # The accounts are the primary's now: whoever was logged in with the backup's own is out, and told so.
    story.site2.changed_password = story.site1.password
    expect(story.two.page.locator("#live")).to_contain_text("Your session has ended", timeout=20_000)
    story.two.log_in()
    story.two.failover()
    story.two.expect_safe()


def sync_now_brings_a_change(story: Story) -> None:
    story.one.set_portal_text("Opening hours: nine to five.")
    before = successes(story.site2)
    story.one.sync_now()
    wait_for("Sync Now", lambda: successes(story.site2) > before, 60)
    assert differences(story.site1, story.site2) == []
    # From the backup's page as well.
    story.two.sync_now()
    wait_for("Sync Now on the backup", lambda: successes(story.site2) > before + 1, 60)
    expect(story.two.page.get_by_role("list", name="Latest data-syncs").locator("li").first).to_contain_text("Success")


def the_roles_are_swapped_with_a_data_sync_first(story: Story) -> None:
    one, two = story.one, story.two
    # Not synchronised yet: the data-sync of the swap has to bring it.
    one.set_portal_text("Written just before the swap.")
    two.failover()
    one.ask_for_change("Backup", with_sync=True)
    expect(one.page.locator("ol.steps")).to_contain_text("site2.example.com pulls a data-sync")
    with watching_the_portals(story) as seen:
        one.confirm_change()
        see_the_swap(one, two)
        one.expect_roles("Backup", "Primary", 60)
        two.expect_roles("Primary", "Backup", 60)
        wait_for("the portal of site2", lambda: story.site2.get("/")[0] == 200, 30)
    seen.show_one_primary_at_a_time("site1.example.com", "site2.example.com")
    assert_all_steps_done(one)
    assert_all_steps_done(two)
    two.expect_safe()
    assert differences(story.site1, story.site2) == []
    status, body = story.site2.get("/")
    assert status == 200
    assert b"Written just before the swap." in body
    status, body = story.site1.get("/")
    assert status == 503
    assert story.site2.url.encode() in body
    assert (story.site1.role(), story.site2.role()) == ("backup", "primary")


def the_new_primary_is_written_on(story: Story) -> None:
    two = story.two
    two.set_portal_text("Written on the new primary.")
    put_file(story, two, "manual-of-site2.bin", 3_000_000)
    two.add_account(*SECOND_ADMINISTRATOR)
    # The backup refuses the same.
    assert story.one.open("/login/appliances/filestorefile/add/") == 403


def the_roles_are_swapped_back_from_the_other_page(story: Story) -> None:
    one, two = story.one, story.two
    one.failover()
    two.ask_for_change("Backup", with_sync=True)
    two.confirm_change()
    see_the_swap(two, one)
    two.expect_roles("Backup", "Primary", 60)
    one.expect_roles("Primary", "Backup", 60)
    wait_for("the portal of site1", lambda: story.site1.get("/")[0] == 200, 30)
    assert differences(story.site1, story.site2) == []
    read_back(story, serving=story.site1)


def the_backup_takes_over_from_a_dead_primary(story: Story) -> None:
    one, two = story.one, story.two
    # What the backup has not pulled is lost by what follows: the page has to say so.
    one.set_portal_text("Never synchronised.")
    two.failover()
    two.expect_safe()
    # So that it waits for a decision when it comes back, whatever it holds.
    stays = "from appliances.models import BackupSettings as S; row = S.load(); row.auto_resolve = False; row.save()"
    assert story.site1.manage("shell", "-c", stays).returncode == 0
    killed_at = time.monotonic()
    story.site1.kill()
    expect(two.peer_host).to_contain_text("does not answer", timeout=DEAD_PEER_SECONDS * 1000)
    print(f"the dead peer was shown after {time.monotonic() - killed_at:.1f} s")
    two.expect_headline("site1.example.com does not answer")
    assert story.site2.get("/")[0] == 503
    two.ask_for_change("Primary")
    expect(two.page.locator("body")).to_contain_text("I accept the loss.")
    two.confirm_change(accept_loss=True)
    expect(two.this_host.locator(".box-head .role")).to_have_text("Primary")
    assert story.site2.role() == "primary"
    read_back(story, serving=story.site2)
    two.set_portal_text("Written while site1 was dead.")


def the_old_primary_comes_back_and_does_not_serve(story: Story) -> None:
    story.two.failover()
    before = term_of(story.site2)
    story.site1.start()
    served: list[int] = []
    wait_for("the portal of site1 answers", lambda: portal_status(story.site1, served) == 503, 90)
    # For a load balancer it is unhealthy, and it says why to those who may ask.
    wait_for("superseded", lambda: "taken the primary role over" in problem(story.site1), 60)
    assert story.site1.get("/check_health")[0] == 500
    assert story.site1.role() == "primary"
    story.one.log_in()
    story.one.failover()
    story.one.expect_headline("site1.example.com waits for your decision", 30)
    story.two.expect_headline("site2.example.com serves; site1.example.com no longer does", 30)
    for _ in range(20):
        portal_status(story.site1, served)
        time.sleep(0.1)
    assert set(served) <= {0, 503}
    status, body = story.site2.get("/")
    assert status == 200
    assert b"Written while site1 was dead." in body
    assert term_of(story.site2) == before


def the_conflict_is_resolved_by_the_old_primary(story: Story) -> None:
    story.one.ask_for_change("Backup")
    expect(story.one.page.locator("body")).to_contain_text("which serves meanwhile")
    story.one.confirm_change()
    story.one.expect_roles("Backup", "Primary", 30)
    story.two.expect_roles("Primary", "Backup", 30)
    before = successes(story.site1)
    story.one.sync_now()
    wait_for("a data-sync on site1", lambda: successes(story.site1) > before, 60)
    assert differences(story.site1, story.site2) == []
    story.one.expect_safe()
    story.two.expect_safe()


def a_primary_without_its_peer_becomes_backup_by_force_only(story: Story) -> None:
    two = story.two
    story.site1.kill()
    two.failover()
    two.expect_headline("No backup: site1.example.com does not answer", DEAD_PEER_SECONDS)
    before = role_rows(story.site2)
    # Row 17: without the box it is refused, by the page before it is asked, and by the API.
    two.ask_for_change("Backup")
    expect(two.page.locator("ol.steps")).to_contain_text("The change is cancelled")
    expect(two.page.get_by_role("button", name=re.compile("^Make site2"))).to_have_count(0)
    refused = story.site2.command("set_failover_role", role="backup")
    assert refused.tag == f"{NAMESPACE}error"
    assert role_rows(story.site2) == before
    assert story.site2.get("/")[0] == 200
    # Row 16: with the box.
    two.ask_for_change("Backup", force=True)
    two.confirm_change()
    expect(two.this_host.locator(".box-head .role")).to_have_text("Backup")
    assert story.site2.get("/")[0] == 503
    assert story.site2.role() == "backup"


def both_backups_are_resolved_by_becoming_primary(story: Story) -> None:
    story.site1.start()
    story.site1.wait_until_healthy()
    story.two.expect_headline("Conflict: both appliances are Backup", 40)
    story.two.ask_for_change("Primary")
    story.two.confirm_change()
    story.two.expect_roles("Primary", "Backup", 30)
    before = successes(story.site1)
    story.two.sync_now()
    wait_for("a data-sync on site1", lambda: successes(story.site1) > before, 60)
    assert differences(story.site1, story.site2) == []
    read_back(story, serving=story.site2, text="Written while site1 was dead.")


# --- What the chapters share -----------------------------------------------------------------------------------


def successes(appliance: LiveAppliance) -> int:
    """How many data-syncs this appliance has pulled well."""
    return int(appliance.rows("SELECT count(*) FROM sync_syncrun WHERE status = 'success'")[0][0])


def term_of(appliance: LiveAppliance) -> int:
    """The highest term it knows."""
    return int(appliance.rows("SELECT term FROM sync_rolejournal")[0][0])


def problem(appliance: LiveAppliance) -> str:
    """What the API says is wrong with an appliance."""
    return appliance.command("check_health").findtext(f"{NAMESPACE}error_message") or ""


def portal_status(appliance: LiveAppliance, seen: list[int]) -> int:
    """The status of the portal; kept in `seen`."""
    seen.append(appliance.get("/")[0])
    return seen[-1]


def see_the_swap(*consoles: Console) -> None:
    """Both open pages say that a swap is in progress, or that it has just been completed, with its steps."""
    for console in consoles:
        expect(console.page.locator("#change-slot .steps li").first).to_be_visible(timeout=30_000)


def assert_all_steps_done(console: Console) -> None:
    """The page shows the swap with all its steps done."""
    expect(console.page.locator("#change-slot")).to_contain_text("Completed", timeout=30_000)
    assert console.running_step() == []
    assert "New primary serves" in console.steps_done()
    assert "Final data-sync" in console.steps_done()


def put_file(story: Story, console: Console, name: str, size: int) -> None:
    """Upload a public file of this size."""
    content = b"".join(hashlib.sha256(f"{name} {number}".encode()).digest() for number in range(size // 32))
    path = story.folder / name
    path.write_bytes(content)
    console.upload(path)
    story.files[name] = content


def read_back(story: Story, *, serving: LiveAppliance, text: str = "Written on the new primary.") -> None:
    """Everything that was written is read: on the portal, by a log-in to both consoles, and by both APIs."""
    console = story.one if serving is story.site1 else story.two
    page = console.page
    console.open("/")
    expect(page.locator("body")).to_contain_text(text)
    for name, content in story.files.items():
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        assert Path(download.value.path()).read_bytes() == content
    username, password = SECOND_ADMINISTRATOR
    for other in (story.one, story.two):
        if not other.appliance.process:
            continue
        health = other.appliance.command("check_health", username=username, password=password)
        assert health.findtext(f"{NAMESPACE}success") == "1"
        other.log_in(username, password)
        other.failover()


@dataclass
class PortalsSeen:
    """When the portal of each appliance answered well: begin and end of each good answer."""

    good: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def show_one_primary_at_a_time(self, old: str, new: str) -> None:
        """The old primary gave no good answer to a question asked after the new one's first good answer."""
        first = min(end for _, end in self.good[new])
        late = [begin for begin, _ in self.good[old] if begin > first]
        assert not late, f"{old} still served {late[-1] - first:.3f} s after {new}"
        gap = min(begin for begin, _ in self.good[new]) - max(end for _, end in self.good[old])
        print(f"nobody served for about {gap:.2f} s")


@contextmanager
def watching_the_portals(story: Story) -> Iterator[PortalsSeen]:
    """Ask both portals again and again meanwhile."""
    seen, until = PortalsSeen(), threading.Event()

    def watch(appliance: LiveAppliance) -> None:
        good = seen.good.setdefault(appliance.name, [])
        while not until.wait(0.1):
            begin = time.monotonic()
            if appliance.get("/")[0] == 200:
                good.append((begin, time.monotonic()))

    threads = [threading.Thread(target=watch, args=(site,)) for site in (story.site1, story.site2)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        until.set()
        for thread in threads:
            thread.join()
