"""The consoles of an appliance as somebody with a browser uses them: headless Chromium, by labels and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, expect, sync_playwright

from tests.e2e.live import LiveAppliance, wait_for

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGE_MILLISECONDS = 20_000  # an appliance that has just started, on a busy machine
FAILOVER = "/login/management/failover/"
SECURITY = "/login/management/security/"
# What Chromium itself says about answers that are meant to be refusals, or about an appliance that is down.
EXPECTED_IN_CONSOLE = re.compile(
    r"Failed to load resource|net::ERR_|Response Status Error Code|htmx:(sendError|timeout|afterRequest)"
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a new empty profile."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Console:
    """The pages of one appliance in a browser context of their own.

    `complaints` are errors of scripts, violations of the content security policy, and requests to other places.
    """

    appliance: LiveAppliance
    page: Page
    complaints: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, browser: Browser, appliance: LiveAppliance) -> Console:
        """A context without cookies, looking at nothing yet."""
        context = browser.new_context(ignore_https_errors=True, viewport={"width": 1280, "height": 900})
        context.set_default_timeout(PAGE_MILLISECONDS)
        console = cls(appliance, context.new_page())
        console.page.on("pageerror", lambda error: console.complaints.append(f"script: {error}"))
        console.page.on("console", console._on_console)
        console.page.on("request", console._on_request)
        return console

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not EXPECTED_IN_CONSOLE.search(message.text):
            self.complaints.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self.appliance.url, "data:", "about:", "blob:")):
            self.complaints.append(f"request to {request.url}")

    def close(self) -> None:
        """Forget the cookies."""
        self.page.context.close()

    def open(self, path: str) -> int:
        """Go to a page of this appliance; the status of the answer."""
        answer = self.page.goto(self.appliance.url + path)
        assert answer is not None
        return answer.status

    # --- Logging in -------------------------------------------------------------------------------------------

    def log_in(self, username: str = "admin", password: str = "") -> None:
        """Log in to `/login/` anew and see Status."""
        self.log_out()
        self.open("/login/")
        self.page.get_by_label("User name").fill(username)
        self.page.get_by_label("Password").fill(password or self.appliance.password)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.locator("#identity")).to_be_visible()

    def log_out(self) -> None:
        """Forget who was logged in."""
        self.page.context.clear_cookies()

    # --- The Security page ------------------------------------------------------------------------------------

    def generate_key(self) -> str:
        """Generate an inter-appliance key; what the page shows, once."""
        self.open(SECURITY)
        self.page.get_by_role("button", name="Generate a key").click()
        return self.page.locator("#made-key").inner_text().strip()

    def enter_key(self, key: str) -> None:
        """Enter the inter-appliance key of the other appliance."""
        self.open(SECURITY)
        self.page.get_by_label("Inter-appliance key", exact=True).fill(key)
        self.page.get_by_role("button", name="Set this key").click()
        expect(self.messages).to_contain_text("The inter-appliance key is set")

    def key_words(self) -> list[str]:
        """The words that stand for the key."""
        self.open(SECURITY)
        return self.page.locator("ol.words li").all_inner_texts()

    # --- The Failover page ------------------------------------------------------------------------------------

    @property
    def messages(self) -> Locator:
        """What the appliance said about the last thing pressed."""
        return self.page.locator("#messages")

    @property
    def headline(self) -> Locator:
        """The sentence about the pair."""
        return self.page.locator("#live .headline")

    @property
    def this_host(self) -> Locator:
        """The box of this appliance."""
        return self.page.get_by_role("region", name="This host")

    @property
    def peer_host(self) -> Locator:
        """The box of the other appliance."""
        return self.page.get_by_role("region", name="Peer host")

    def failover(self) -> None:
        """Open the Failover page."""
        assert self.open(FAILOVER) == 200

    def expect_roles(self, this: str, peer: str, seconds: float = 20) -> None:
        """The open Failover page shows these roles, by itself, within `seconds`."""
        expect(self.this_host.locator(".box-head .role")).to_have_text(this, timeout=seconds * 1000)
        expect(self.peer_host.locator(".box-head .role")).to_have_text(peer, timeout=seconds * 1000)

    def expect_headline(self, text: str | re.Pattern[str], seconds: float = 20) -> None:
        """The sentence about the pair contains this within `seconds`."""
        expect(self.headline).to_contain_text(text, timeout=seconds * 1000)

    def expect_safe(self, seconds: float = 60) -> None:
        """The page says that one serves and the other is ready."""
        self.expect_headline("Safe:", seconds)

    def fill_connections(self, peer: tuple[str, int | str], reverse: tuple[str, int | str]) -> None:
        """Fill the two groups of the page of an appliance without a relationship."""
        self.failover()
        groups = {
            "New Backup Site Connection Details": peer,
            "Reverse Connection Details To This Primary Site": reverse,
        }
        for name, (host, port) in groups.items():
            group = self.page.get_by_role("group", name=name)
            group.get_by_label("Host name or IP address").fill(host)
            group.get_by_label("TLS port").fill(str(port))

    def press_establish(self) -> None:
        """Press Establish Relationship and wait for the next page."""
        with self.page.expect_navigation(timeout=60_000):
            self.page.get_by_role("button", name="Establish Relationship").click()

    def sync_now(self) -> None:
        """Press Sync Now."""
        self.failover()
        self.page.get_by_role("button", name="Sync Now").click()
        expect(self.messages).to_contain_text("A data-sync is starting")

    def ask_for_change(self, role: str, *, with_sync: bool | None = None, force: bool = False) -> None:
        """Press Become <role>…, and see what will happen. `with_sync` None leaves the box as it is."""
        self.failover()
        if with_sync is not None:
            self.page.locator("[name=want_final_sync]").set_checked(with_sync)
        if force:
            self.page.locator("[name=without_peer]").check()
        self.page.get_by_role("button", name=f"Become {role}…").click()
        expect(self.page.get_by_role("heading", name=f"{self.appliance.name} becomes {role}")).to_be_visible()

    def confirm_change(self, *, accept_loss: bool = False) -> None:
        """Press the button under what will happen."""
        if accept_loss:
            self.page.locator("[name=accept_loss]").check()
        with self.page.expect_navigation(timeout=60_000):
            self.page.get_by_role("button", name=re.compile(f"^Make {re.escape(self.appliance.name)} the")).click()

    def steps_done(self) -> list[str]:
        """The steps of the role change that the page shows as done at this moment."""
        return self.page.locator("#change-slot .steps li.done strong").all_inner_texts()

    def running_step(self) -> list[str]:
        """The step that the page shows as being in progress at this moment."""
        return self.page.locator("#change-slot .steps li.now strong").all_inner_texts()

    # --- What an administrator changes ------------------------------------------------------------------------

    def set_portal_text(self, text: str) -> None:
        """Change the text of the public portal."""
        self.open("/login/appliances/site/")
        self.page.locator("[name=portal_text]").fill(text)
        self._save()

    def configure_mail(self, *, relay: tuple[str, int], sender: str, receivers: str) -> None:
        """Enter the mail server, the sender and the admin contacts."""
        self.open("/login/appliances/emailconfiguration/1/change/")
        fields = {"relay_host": relay[0], "relay_port": str(relay[1]), "from_address": sender}
        for name, value in {**fields, "admin_contacts": receivers}.items():
            self.page.locator(f"[name={name}]").fill(value)
        self._save()

    def upload(self, file: Path) -> None:
        """Put a public file into the file store."""
        self.open("/login/appliances/filestorefile/add/")
        self.page.locator("[name=upload]").set_input_files(file)
        self.page.locator("[name=is_public]").check()
        self._save()

    def add_account(self, username: str, password: str) -> None:
        """Add an administrator with all rights who may use the API."""
        self.open("/login/appliances/account/add/")
        self.page.locator("[name=username]").fill(username)
        self.page.locator("[name=password1]").fill(password)
        self.page.locator("[name=password2]").fill(password)
        self._save()
        for right in ("is_staff", "is_superuser", "may_use_command_api"):
            self.page.locator(f"[name={right}]").check()
        self._save()

    def _save(self) -> None:
        with self.page.expect_navigation():
            self.page.locator("[name=_save]").click()
        assert not self.page.locator(".errornote, .error, .errorlist").count(), self.page.inner_text("body")[:2000]


def wait_for_step(console: Console, step: str, seconds: float = 30) -> None:
    """The open page shows `step` as done within `seconds`."""
    wait_for(f"{step} on {console.appliance.name}", lambda: step in console.steps_done(), seconds)
