"""The consoles of an appliance without a browser: log in, press, read; quick, and blind to how it looks."""

from __future__ import annotations

import http.client
import urllib.parse
from http.cookies import SimpleCookie

from tests.e2e.browser import FAILOVER
from tests.e2e.live import LiveAppliance, insecure_context

PRESS_SECONDS = 60.0
LOG_IN = "/login/login/"


class Pages:
    """One log-in to one appliance."""

    def __init__(self, appliance: LiveAppliance) -> None:
        self.appliance = appliance
        self._cookies: dict[str, str] = {}

    def log_in(self) -> bool:
        """Logged in anew as the first administrator; False if this appliance lets nobody in now."""
        self._cookies = {}
        status, _ = self.post(LOG_IN, username="admin", password=self.appliance.password, next=FAILOVER)
        return status == 302

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; (0, "") when the connection breaks."""
        return self._ask("GET", path, None)

    def post(self, path: str, /, **fields: str) -> tuple[int, str]:
        """Press a button with these fields; status and body, (0, "") when the connection breaks."""
        if "csrftoken" not in self._cookies:
            self.get(LOG_IN)
        body = urllib.parse.urlencode({"csrfmiddlewaretoken": self._cookies.get("csrftoken", ""), **fields})
        return self._ask("POST", path, body)

    def press(self, name: str, **fields: str) -> tuple[int, str]:
        """Press a button of the Failover page, logging in first where needed; the page that follows."""
        status, body = self.post(f"{FAILOVER}{name}/", **fields)
        if status in (302, 403) and (status == 403 or LOG_IN in self._location):
            assert self.log_in(), f"nobody can log in to {self.appliance.name}"
            status, body = self.post(f"{FAILOVER}{name}/", **fields)
        return self.get(self._location) if status == 302 else (status, body)

    def _ask(self, method: str, path: str, body: str | None) -> tuple[int, str]:
        connection = http.client.HTTPSConnection(
            self.appliance.address, self.appliance.port, timeout=PRESS_SECONDS, context=insecure_context()
        )
        headers = {
            "Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items()),
            "Referer": f"{self.appliance.url}/login/",
        }
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()
        for line in answer.headers.get_all("Set-Cookie") or ():
            for name, morsel in SimpleCookie(line).items():
                self._cookies[name] = morsel.value
        self._location = answer.headers.get("Location", "")
        return answer.status, text
