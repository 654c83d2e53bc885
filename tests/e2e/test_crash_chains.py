"""Kill -9 at each step of what is done when the other one is dead, or both have one role; then it is done again."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e import crash_cases as cases
from tests.e2e.drill import Drill, drilled_pair, journal_of
from tests.e2e.live import LiveAppliance, wait_for
from tests.e2e.pages import Pages
from tests.e2e.test_automatic_failover import ARM, TIMEOUT, wait_until_armed
from tests.e2e.test_conflicts import make_both_primary, wait_until_it_answers
from tests.e2e.test_outages import outcome, programs

PORT = 9210
TURNS = 2  # after which a role worker that died is surely at work again
PRESSED_SECONDS = 30.0
NO_ANSWER = "240.0.0.1"  # RFC 1112, class E: nobody has it
WISHES = """
import datetime as dt
from appliances.models import BackupSettings
row = BackupSettings.load()
row.enable_automatic_failover, row.accept_no_test_ips, row.connectivity_test_ips = automatic, True, test_ips
row.primary_timeout = dt.timedelta(seconds=timeout)
row.save()
"""
# Instead of two minutes of waiting: the present state began so much earlier.
LONG_AGO = """
from django.db.models import F
from sync.models import RoleJournal
from sync.rules.due import OPERATION_SECONDS
RoleJournal.objects.update(since_boottime=F("since_boottime") - OPERATION_SECONDS)
"""


@pytest.fixture(scope="module")
def living(folder: Path) -> Iterator[Drill]:
    """One pair for all of this module."""
    with drilled_pair(folder, port=PORT) as drill:
        yield drill


@pytest.fixture
def drill(living: Drill) -> Iterator[Drill]:
    """The pair, well; afterwards well again, with what was changed then on both."""
    living.rest()
    yield living
    living.wait_until_well()
    living.change_something()
    living.synchronise()
    assert living.watch.broken == []


def press_and_crash(
    drill: Drill, presses: LiveAppliance, button: str, dies: LiveAppliance, point: str, **fields: str
) -> None:
    """A button is pressed, and one of the two loses the process of its web server that comes by this point.

    Where it did not come so far, because the other one was slow to answer, the page says so, and it is pressed again.
    """
    drill.arm(dies, point)

    def has_pressed() -> bool:
        try:
            status, page = Pages(presses).press(button, **fields)
        except AssertionError:  # nobody is let in at this moment
            return False
        print(point, status, *re.findall(r'class="notice.*?<div>(.*?)</div>', page, re.DOTALL), states(*drill.sites))
        return drill.has_crashed(dies)

    with suppress(AssertionError):  # the next line says more
        wait_for("a crash", has_pressed, PRESSED_SECONDS, 1)
    drill.wait_for_crash(dies)


def die_at_each(drill: Drill, site: LiveAppliance, points: Sequence[str]) -> None:
    """A process dies at the first point, which is armed, the one after it at the next, and so on."""
    for point in points[1:]:
        drill.wait_for_crash(site)
        drill.arm(site, point)
    drill.wait_for_crash(site)


def states(*sites: LiveAppliance) -> tuple[str, ...]:
    return tuple(journal_of(site)[0] for site in sites)


def test_the_backup_is_made_primary_by_hand_and_the_old_one_returns(drill: Drill) -> None:
    old, new = drill.roles()
    old.kill()
    for point in cases.BY_HAND:
        assert states(new) == ("b_idle",)
        press_and_crash(drill, new, "role-change", new, point, target="primary", accept_loss="1")
    assert states(new) == ("p_active",)
    for point in cases.RETURN:
        drill.arm(old, point, whole=True)
        drill.start_again(old)
        drill.wait_until_dead(old)
    drill.start_again(old)
    drill.wait_until_well()
    assert drill.roles() == (new, old)


def test_the_backup_takes_over_by_itself(drill: Drill) -> None:
    old, new = drill.roles()
    drill.run(new, ARM.format(automatic=True, timeout=TIMEOUT))
    wait_until_armed(new)
    drill.arm(new, cases.TAKE_OVER[0])
    old.kill()
    die_at_each(drill, new, cases.TAKE_OVER)  # its role worker, and the next one goes on
    wait_for("the take-over", lambda: journal_of(new)[0] == "p_active", 60)
    drill.run(new, ARM.format(automatic=False, timeout=TIMEOUT))
    drill.start_again(old)
    drill.wait_until_well()
    assert drill.roles() == (new, old)


def test_both_are_backup(drill: Drill) -> None:
    """The primary steps down though its backup is dead; whichever process dies then, pressing again is safe."""
    last, other = drill.roles()
    drill.change_something()
    other.kill()
    for point in cases.STEP_DOWN:
        assert states(last) == ("p_active",)
        press_and_crash(drill, last, "role-change", last, point, target="backup", without_peer="1")
    assert states(last) == ("b_idle",)
    drill.start_again(other)
    wait_until_it_answers(other)
    wait_for("an answer of the peer", lambda: outcome(last) == "answered")
    for side, point in cases.BOTH_BACKUP:
        assert states(last, other) == ("b_idle", "b_idle"), point
        dies = last if side == cases.PRIMARY else other
        press_and_crash(drill, last, "role-change", dies, point, target="primary")
    drill.wait_until_well()
    assert drill.roles() == (last, other)


@pytest.mark.parametrize(("presses", "dies", "point"), cases.BOTH_PRIMARY)
def test_both_are_primary(drill: Drill, presses: str, dies: str, point: str) -> None:
    """The loser steps down first: a crash leaves one primary, or what was before."""
    old, new = make_both_primary(drill)
    sites = {cases.OLD: old, cases.NEW: new}
    press_and_crash(drill, sites[presses], "fix", sites[dies], point)
    drill.wait_until_well()
    assert drill.roles() == (new, old)


def test_the_winner_of_a_conflict_dies_before_it_begins_its_new_term(drill: Drill) -> None:
    """The loser is backup of a higher term: the winner stops at its sight, and then serves in one of its own."""
    old, new = make_both_primary(drill, crash_at=cases.SUPERSEDED)
    term = journal_of(new)[1]
    before, *alone = cases.DESERTED
    press_and_crash(drill, new, "fix", new, before)
    for point in alone:
        drill.arm(new, point)
        drill.wait_for_crash(new)
    drill.wait_until_well()
    assert drill.roles() == (new, old)
    assert journal_of(new)[2] > term


def test_the_old_primary_serves_again_and_the_new_one_gives_way(drill: Drill) -> None:
    old, new = make_both_primary(drill)
    new.kill()
    for point in cases.SERVE_AGAIN:
        assert states(old) == ("p_superseded",)
        press_and_crash(drill, old, "serve-again", old, point, accept_loss="1")
    assert states(old) == ("p_active",)
    drill.start_again(new)
    wait_for("the new primary gives way", lambda: states(new) == ("p_superseded",), 60)
    wait_until_it_answers(new)
    for point in cases.GIVE_WAY:
        assert states(old, new) == ("p_active", "p_superseded")
        press_and_crash(drill, new, "fix", new, point)
    drill.wait_until_well()
    assert drill.roles() == (old, new)


def test_nobody_serves_and_the_role_is_handed_over(drill: Drill) -> None:
    old, new = make_both_primary(drill)
    sites = {cases.OLD: old, cases.NEW: new}
    for presses, button, dies, point in cases.NOBODY_SERVES:
        press_and_crash(drill, sites[presses], button, sites[dies], point, target="backup")
    drill.wait_until_well()
    assert drill.roles() == (new, old)


def test_the_role_of_a_swap_can_be_taken_no_more(drill: Drill) -> None:
    old, new = drill.roles()
    again, *void = cases.VOID
    with stopped(old, "role@"), stopped(new, "role@"):  # they would repeat the grant
        drill.arm(new, "row.14 before")
        drill.ask(new, "primary", box=False)
        drill.wait_for_crash(new)
        assert states(old, new) == ("b_yielded", "b_ready")
        # The page may think the other one silent by now: nobody looks while the role worker stands still.
        press_and_crash(drill, old, "role-change", old, again, target="primary", accept_loss="1")
        assert states(old, new) == ("b_yielded", "b_idle")
        drill.arm(old, void[0])
    die_at_each(drill, old, void)
    assert states(old, new) == ("b_idle", "b_idle")
    press_and_crash(drill, new, "fix", old, cases.TAKEN_BACK)
    drill.wait_until_well()
    assert drill.roles() == (old, new)


def test_the_grant_of_a_swap_comes_after_that_was_given_up(drill: Drill) -> None:
    old, new = drill.roles()
    drill.run(new, WISHES, automatic=False, timeout=TIMEOUT, test_ips="")
    drill.arm(old, "row.10 durable", whole=True)
    drill.ask(new, "primary", box=False)
    drill.wait_until_dead(old)
    drill.run(new, LONG_AGO)
    wait_for("the backup gives the swap up", lambda: states(old, new) == ("b_yielded", "b_idle"))
    drill.arm(new, cases.LATE[0])
    drill.start_again(old)
    die_at_each(drill, new, cases.LATE)
    drill.wait_until_well()
    assert drill.roles() == (new, old)


def test_a_primary_is_cut_off_and_serves_alone_when_it_is_not(drill: Drill) -> None:
    primary, backup = drill.roles()
    with armed(drill, backup):
        backup.kill()
        cut_off, *alone, again = cases.CUT_OFF
        drill.arm(primary, cut_off)
        hear_test_ip(drill, primary, yes=False)
        drill.wait_for_crash(primary)
        assert states(primary) == ("p_unconfirmed",)
        drill.arm(primary, alone[0])
        hear_test_ip(drill, primary, yes=True)
        die_at_each(drill, primary, alone)
        wait_for_turns(primary)  # it may have been away for so long that it has to ask itself once more
        wait_for("its role", lambda: states(primary) == ("p_active",), 60)
        drill.arm(primary, again)
        hear_test_ip(drill, primary, yes=False)
        drill.wait_for_crash(primary)
        hear_test_ip(drill, primary, yes=True)
        drill.start_again(backup)
        drill.wait_until_well()
    assert drill.roles() == (primary, backup)


@pytest.mark.parametrize("point", cases.UNWELL)
def test_the_web_server_of_a_primary_hangs(drill: Drill, point: str) -> None:
    primary, backup = drill.roles()
    with armed(drill, backup):
        drill.arm(primary, point)
        with stopped(backup, "role@"), stopped(primary, "gunicorn"):
            drill.wait_for_crash(primary)
            wait_for("the end of its role", lambda: states(primary) == ("p_unconfirmed",))
        drill.wait_until_well()
    assert drill.roles() == (primary, backup)


def test_a_primary_that_stood_still_is_back_at_the_last_moment(drill: Drill) -> None:
    primary, backup = drill.roles()
    begun, *given_up = cases.GIVEN_UP
    with armed(drill, backup):
        drill.arm(backup, begun)
        with ExitStack() as later:
            with stopped(primary):
                drill.wait_for_crash(backup)
                later.enter_context(stopped(backup, "manage.py appliance"))  # it would start the role worker again
                drill.arm(backup, given_up[0])
                drill.arm(primary, cases.STOOD_STILL[0])
            wait_until_it_answers(primary)
        die_at_each(drill, primary, cases.STOOD_STILL)
        die_at_each(drill, backup, given_up)
        drill.wait_until_well()
    assert drill.roles() == (primary, backup)


def hear_test_ip(drill: Drill, site: LiveAppliance, *, yes: bool) -> None:
    """None is asked, which counts as an answer, or one that nobody has."""
    drill.run(site, WISHES, automatic=False, timeout=TIMEOUT, test_ips="" if yes else NO_ANSWER)


@contextmanager
def armed(drill: Drill, backup: LiveAppliance) -> Iterator[None]:
    """The backup would take over after the shortest timeout, and the primary knows it; no test IP is asked."""
    drill.run(backup, WISHES, automatic=True, timeout=TIMEOUT, test_ips="")
    wait_until_armed(backup)
    yield
    drill.run(backup, WISHES, automatic=False, timeout=TIMEOUT, test_ips="")


@contextmanager
def stopped(site: LiveAppliance, part: str = "") -> Iterator[None]:
    """Its programs with this in their command line stand still."""
    pids = programs(site, part)
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def wait_for_turns(site: LiveAppliance) -> None:
    """Its role worker runs, and has turned more than once."""
    looks: set[float] = set()

    def has_turned() -> bool:
        [[asked]] = site.rows("SELECT asked_boottime FROM sync_peerview")
        looks.add(asked)
        return len(looks) > TURNS

    wait_for("turns", has_turned, 60)


def test_the_relationship_is_broken_and_established_again(drill: Drill) -> None:
    one, two = drill.roles()
    before, durable, lost = cases.BREAK
    press_and_crash(drill, one, "break", two, before)
    assert states(one, two) == ("none", "b_idle"), "whoever breaks it leaves in any case"
    press_and_crash(drill, two, "break", two, durable)
    assert states(one, two) == ("none", "none")
    for side, point in cases.ESTABLISH:
        if states(one) != ("none",):
            press_and_crash(drill, one, "break", two, lost)
            assert states(one, two) == ("none", "none")
        press_and_crash(drill, one, "establish", two if side == cases.BACKUP else one, point, **where(one, two))
    drill.wait_until_well()
    assert drill.roles() == (one, two)


def where(one: LiveAppliance, two: LiveAppliance) -> dict[str, str]:
    """What is entered on one to make the other its backup."""
    return {
        "peer_host": two.address,
        "peer_port": str(two.port),
        "reverse_host": one.address,
        "reverse_port": str(one.port),
    }
