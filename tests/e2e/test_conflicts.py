"""Both appliances primary, or both backup, for real; Fix This Error from either side, and from both at one moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browser import FAILOVER, Console
from tests.e2e.conftest import settle
from tests.e2e.drill import Drill, drilled_pair, journal_of
from tests.e2e.live import LiveAppliance, wait_for
from tests.e2e.pages import LOG_IN, Pages

PORT = 9220
SEEN_SECONDS = 60.0  # a conflict is one once two looks, seconds apart, have found it


@pytest.fixture(scope="module")
def living(folder: Path) -> Iterator[Drill]:
    """One pair for all conflicts."""
    with drilled_pair(folder, port=PORT) as drill:
        yield drill


@pytest.fixture
def drill(living: Drill) -> Iterator[Drill]:
    """The pair, well and in step; afterwards one is primary and the other its backup, and both hold the same."""
    living.wait_until_well()
    living.synchronise()
    yield living
    living.wait_until_well()
    settle(living.pair)
    living.synchronise()
    assert living.watch.broken == []


def make_both_primary(drill: Drill, *, crash_at: str = "") -> tuple[LiveAppliance, LiveAppliance]:
    """The old primary, with settings of its own, comes back to a backup that was made primary meanwhile.

    Returns the old primary, where a process dies at `crash_at` meanwhile, and the new one.
    """
    old, new = drill.roles()
    drill.change_something()
    old.kill()
    Pages(new).press("role-change", target="primary", accept_loss="1")
    assert journal_of(new)[0] == "p_active"
    if crash_at:
        drill.arm(old, crash_at)
    drill.start_again(old)
    if crash_at:
        drill.wait_for_crash(old)
    wait_for("the old primary gives way", lambda: journal_of(old)[0] == "p_superseded", SEEN_SECONDS)
    wait_until_it_answers(old)
    return old, new


def make_both_backup(drill: Drill) -> tuple[LiveAppliance, LiveAppliance]:
    """The primary becomes backup though its peer is dead, and the peer comes back.

    Returns the one that was primary last, and the other.
    """
    last, other = drill.roles()
    drill.change_something()
    other.kill()
    Pages(last).press("role-change", target="backup", without_peer="1")
    assert journal_of(last)[0] == "b_idle"
    drill.start_again(other)
    wait_until_it_answers(other)
    for site in drill.sites:
        wait_for(f"{site.name} sees the conflict", partial(sees_the_conflict, site), SEEN_SECONDS)
    return last, other


def wait_until_it_answers(site: LiveAppliance) -> None:
    """Its consoles can be used, whatever its role."""
    wait_for("its console answers", lambda: site.get(LOG_IN)[0] == 200, SEEN_SECONDS)


def sees_the_conflict(site: LiveAppliance) -> bool:
    """Whether it has found both in one role twice."""
    return bool(site.rows("SELECT 1 FROM sync_peerview WHERE same_role_polls >= 2"))


def fix_in_browser(browser: Browser, presses: LiveAppliance, *, primary: LiveAppliance) -> None:
    """Press Fix This Error… on a page that says what is wrong; see the evidence and the decision; then press it."""
    console = Console.of(browser, presses)
    try:
        console.log_in()
        console.failover()
        expect(console.page.locator("#live")).to_contain_text("Fix This Error", timeout=30_000)
        before = [journal_of(presses)]
        console.page.get_by_role("link", name="Fix This Error…").first.click()
        expect(console.page.get_by_role("heading", name="Fix This Error")).to_be_visible()
        evidence_is_shown(console.page, primary)
        assert [journal_of(presses)] == before, "showing the evidence changes nothing"
        with console.page.expect_navigation(timeout=60_000):
            console.page.get_by_role("button", name="Fix This Error").click()
        expect(console.messages).to_contain_text("The conflict is resolved")
        console.expect_safe()
        mine, theirs = ("Primary", "Backup") if presses is primary else ("Backup", "Primary")
        console.expect_roles(mine, theirs)
        assert console.complaints == []
    finally:
        console.close()


def evidence_is_shown(page: Page, primary: LiveAppliance) -> None:
    """A table with a column for each, and which of the two is to be primary."""
    expect(page.locator("main table").first).to_contain_text("Version of its settings")
    expect(page.locator("main")).to_contain_text(primary.name)


@pytest.mark.parametrize("presses", ["old", "new"])
def test_both_primary_is_fixed_from_either_side(drill: Drill, browser: Browser, presses: str) -> None:
    old, new = make_both_primary(drill)
    fix_in_browser(browser, old if presses == "old" else new, primary=new)
    assert drill.roles() == (new, old)


@pytest.mark.parametrize("presses", ["last primary", "other"])
def test_both_backup_is_fixed_from_either_side(drill: Drill, browser: Browser, presses: str) -> None:
    before = {site.name: mails(site) for site in drill.sites}
    last, other = make_both_backup(drill)
    for site in drill.sites:
        wait_for(f"{site.name} mails it", partial(has_mailed, site, 0, before), SEEN_SECONDS)
    fix_in_browser(browser, last if presses == "last primary" else other, primary=last)
    assert drill.roles() == (last, other)
    for site in drill.sites:
        wait_for(f"{site.name} mails its end", partial(has_mailed, site, 1, before), SEEN_SECONDS)
        assert mails(site) == (before[site.name][0] + 1, before[site.name][1] + 1), "once"


def has_mailed(site: LiveAppliance, which: int, before: dict[str, tuple[int, int]]) -> bool:
    """Whether it wrote a mail since: 0 of a conflict that began, 1 of one that was over."""
    return mails(site)[which] > before[site.name][which]


def mails(site: LiveAppliance) -> tuple[int, int]:
    """How many mails it wrote of a conflict that began, and of one that was over."""
    told = [event for (event,) in site.rows("SELECT event FROM sync_alertmail")]
    return told.count("conflict.begun"), told.count("conflict.ended")


@pytest.mark.parametrize("role", ["primary", "backup"])
def test_a_conflict_is_fixed_from_both_sides_at_one_moment(drill: Drill, role: str) -> None:
    """Whoever comes second may be told that it is resolved, or to press again: in the end there is one primary."""
    first, second = make_both_primary(drill) if role == "primary" else make_both_backup(drill)
    winner = second if role == "primary" else first
    barrier = threading.Barrier(2)
    answers: dict[str, tuple[int, str]] = {}
    pages = {site.name: Pages(site) for site in drill.sites}
    assert all(page.log_in() for page in pages.values())

    def press(name: str) -> None:
        barrier.wait()
        answers[name] = pages[name].press("fix")

    threads = [threading.Thread(target=press, args=(name,)) for name in pages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(status == 200 for status, _ in answers.values())
    print([journal_of(site) for site in drill.sites])
    if not is_resolved(drill):  # at worst both are backup, and pressing again is safe
        pages[winner.name].press("fix")
    wait_for("one primary", lambda: is_resolved(drill), SEEN_SECONDS)
    assert drill.roles()[0] is winner
    assert winner.get(FAILOVER)[0] == 302


def is_resolved(drill: Drill) -> bool:
    """Whether one serves and the other is its idle backup."""
    return sorted(journal_of(site)[0] for site in drill.sites) == ["b_idle", "p_active"]
