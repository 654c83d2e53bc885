"""What the Failover page says to bad input, on living appliances: a clear message, the failed step, nothing changed."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, expect

from appliances.choices import EstablishStep
from tests.e2e.browser import Console
from tests.e2e.compare import role_rows
from tests.e2e.conftest import running
from tests.e2e.live import ROOT, LiveAppliance, LivePair

PORT = 9160
SHARED_HOST_NAME = "support.example.com"
UNKNOWN = "no-such-host.invalid"
PARTS = ("appliances", "failover_site", "sync", "templates", "manage.py")


@dataclass(frozen=True)
class Case:
    """What is entered in the two groups, and what the page must say. `step` None: said beside the field itself."""

    name: str
    peer: tuple[str, int | str]
    reverse: tuple[str, int | str]
    step: EstablishStep | None
    message: str


def test_the_page_refuses_what_cannot_be_a_pair_and_changes_nothing(browser: Browser, folder: Path) -> None:
    pair = LivePair.below(folder, port=PORT)
    third = LiveAppliance("site3.example.com", "127.0.0.3", PORT, folder / "site3")
    with running(pair.site1, pair.site2, third):
        pair.start()
        one, two = Console.of(browser, pair.site1), Console.of(browser, pair.site2)
        one.log_in()
        two.log_in()
        key = refusals_for_the_key(one, two)
        refusals_for_addresses(one, pair)
        refusal_of_another_build(one, pair, third, key, copy_of_the_source(folder / "other-build"))
        refusal_of_a_paired_appliance(browser, one, pair, third)
        assert one.complaints + two.complaints == []


def refusals_for_the_key(one: Console, two: Console) -> str:
    """No key here, none there, two different ones; afterwards both hold the same, which is returned."""
    there, here = (two.appliance.address, PORT), (one.appliance.address, PORT)
    weak = "the page says why a weak key is refused"
    with unchanged(weak, one.appliance):
        one.open("/login/management/security/")
        one.page.get_by_label("Inter-appliance key", exact=True).fill("password")
        one.page.get_by_role("button", name="Set this key").click()
        expect(one.page.locator(".field.errors .error").first).to_be_visible()
        assert not one.appliance.rows("SELECT 1 FROM appliances_interappliancekey")
    check(one, two, Case("no key at all", there, here, EstablishStep.KEY, "This appliance has no inter-appliance key"))
    first = one.generate_key()
    check(one, two, Case("no key there", there, here, EstablishStep.KEY, "key"))
    two.generate_key()
    assert one.key_words() != two.key_words()
    check(one, two, Case("another key there", there, here, EstablishStep.KEY, "key"))
    two.enter_key(first)
    return first


def refusals_for_addresses(one: Console, pair: LivePair) -> None:
    """Both hold the same key: whatever is refused now is refused for the addresses."""
    there, here = (pair.site2.address, PORT), (pair.site1.address, PORT)
    beside = None
    with closed_port() as closed, silent_port() as silent:
        cases = [
            Case("the own address in both", here, here, beside, "address of this appliance itself"),
            Case("the shared host name of the site", (SHARED_HOST_NAME, PORT), here, beside, "shared host name"),
            Case("the shared host name as reverse", there, (SHARED_HOST_NAME, PORT), beside, "shared host name"),
            Case("an address with a path", ("https://site2/", PORT), here, beside, "without https://"),
            Case("no host at all", ("", PORT), here, beside, "required"),
            Case("a port that is none", (pair.site2.address, 70000), here, beside, "65535"),
            Case("own address", here, (pair.site1.name, PORT), EstablishStep.IDENTITY, "this appliance itself"),
            Case(
                "unknown name", ("no-such-host.invalid", PORT), here, EstablishStep.NAME_LOOKUP, "no-such-host.invalid"
            ),
            Case("wrong port", (pair.site2.address, closed), here, EstablishStep.TCP, str(closed)),
            Case("nobody there", ("127.0.0.77", PORT), here, EstablishStep.TCP, "127.0.0.77"),
            Case("no TLS there", ("127.0.0.1", silent), here, EstablishStep.TLS, str(silent)),
            Case("wrong reverse port", there, (pair.site1.address, closed), EstablishStep.CALL_BACK, str(closed)),
            Case("reverse leads to the peer", there, there, beside, "the other appliance's address"),
        ]
        for case in cases:
            check(one, None, case, pair)


def refusal_of_another_build(one: Console, pair: LivePair, third: LiveAppliance, key: str, source: Path) -> None:
    """An appliance whose program differs by one line, though it holds the same key."""
    third.root = source
    third.start()
    third.wait_until_healthy()
    assert third.manage("inter_appliance_key", "--set-from-stdin", stdin=key).returncode == 0
    here, there = (pair.site1.address, PORT), (third.address, PORT)
    case = Case("another build", there, here, EstablishStep.VERSION, "The two appliances run different software")
    with unchanged(case.name, pair.site1, third):
        press(one, case)
    third.stop()
    third.root = ROOT


def refusal_of_a_paired_appliance(browser: Browser, one: Console, pair: LivePair, third: LiveAppliance) -> None:
    """A stranger with the right key and the right build comes too late: the two are a pair."""
    one.fill_connections((pair.site2.address, PORT), (pair.site1.address, PORT))
    one.press_establish()
    one.expect_roles("Primary", "Backup")
    third.start()
    third.wait_until_healthy()
    stranger = Console.of(browser, third)
    stranger.log_in()
    for site in (pair.site1, pair.site2):
        case = Case(
            f"{site.name} is paired",
            (site.address, PORT),
            (third.address, PORT),
            EstablishStep.STATE,
            "The other appliance is already in a failover relationship",
        )
        with unchanged(case.name, pair.site1, pair.site2, third):
            press(stranger, case)
    assert stranger.complaints == []
    assert (pair.site1.role(), pair.site2.role()) == ("primary", "backup")


def check(one: Console, two: Console | None, case: Case, pair: LivePair | None = None) -> None:
    """The case is refused on the page of `one`, and neither side has changed."""
    sides = (pair.site1, pair.site2) if pair else (one.appliance, two.appliance if two else one.appliance)
    with unchanged(case.name, *sides):
        press(one, case)


def press(console: Console, case: Case) -> None:
    """Press Establish Relationship; the page says what the case expects, with the step, and keeps what was entered."""
    console.fill_connections(case.peer, case.reverse)
    console.press_establish()
    if case.step is None:
        errors = console.page.locator(".field.errors .error")
        assert case.message in " ".join(errors.all_inner_texts()), (case.name, errors.all_inner_texts())
    else:
        alert = console.page.get_by_role("alert").filter(has_text="The relationship was not established")
        text = alert.inner_text() if alert.count() else console.page.locator("main").inner_text()
        assert case.message in text, (case.name, text)
        assert alert.locator(".chip.bad").inner_text() == case.step.label, (case.name, text)
        assert alert.locator("li.failed strong").inner_text() == case.step.label
        assert alert.locator(".notice p").count() == 1, f"{case.name}: no remedy in {text}"
    group = console.page.get_by_role("group", name="New Backup Site Connection Details")
    assert group.get_by_label("Host name or IP address").input_value() == case.peer[0]


@contextmanager
def unchanged(name: str, *appliances: LiveAppliance) -> Iterator[None]:
    """Role journal and relationship of these are the same afterwards, and stay so."""
    before = [role_rows(appliance) for appliance in appliances]
    yield
    assert [role_rows(appliance) for appliance in appliances] == before, name


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that nobody listens on, and that nobody gets meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@contextmanager
def silent_port() -> Iterator[int]:
    """A port where connections are accepted by the kernel and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def copy_of_the_source(folder: Path) -> Path:
    """The source tree with one line more."""
    folder.mkdir()
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / part)
    changed = folder / "sync/history.py"
    changed.write_text(changed.read_text() + "\n# One line more.\n")
    return folder
