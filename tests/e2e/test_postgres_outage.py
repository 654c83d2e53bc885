"""PostgreSQL stops under a primary: said, survived without a loop of restarts, and over when it is back."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.conftest import running
from tests.e2e.drill import journal_of
from tests.e2e.live import LiveAppliance, LivePair, wait_for
from tests.e2e.pages import LOG_IN
from tests.e2e.test_postgres_redis import postgresql

PORT = 9250
STOPPED_SECONDS = 15.0
PATHS = ("/", LOG_IN, "/appliance/", "/api/command?action=check_health")


@dataclass
class Server:
    """The PostgreSQL of a folder, which can be stopped and started again."""

    folder: Path
    argv: list[bytes] = field(default_factory=list)
    owner: int = 0
    process: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """A fast shutdown: every connection ends."""
        pid = int((self.folder / "data/postmaster.pid").read_text().split()[0])
        self.argv = (Path(f"/proc/{pid}/cmdline").read_bytes()).rstrip(b"\0").split(b"\0")
        self.owner = Path(f"/proc/{pid}").stat().st_uid
        os.kill(pid, signal.SIGINT)
        wait_for("the end of PostgreSQL", lambda: not (self.folder / "data/postmaster.pid").exists(), 30)

    def start(self) -> None:
        """It is there again."""
        quiet = subprocess.DEVNULL
        user = {"user": self.owner, "group": self.owner, "extra_groups": []} if os.geteuid() == 0 else {}
        self.process = subprocess.Popen(self.argv, stdout=quiet, stderr=quiet, **user)  # type: ignore[call-overload]

    def end(self) -> None:
        """What `start` started has ended."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)


@pytest.fixture
def pair(folder: Path) -> Iterator[tuple[LivePair, Server]]:
    """site1, which keeps its data in PostgreSQL, is the primary of site2, which keeps its own in SQLite."""
    folder.chmod(0o755)
    with ExitStack() as stack:
        url = stack.enter_context(postgresql(folder / "postgresql"))
        server = Server(folder / "postgresql")
        stack.callback(server.end)
        pair = LivePair.below(folder, port=PORT)
        pair.site1.environment = {"DATABASE_URL": f"{url}/site1"}
        stack.enter_context(running(pair.site1, pair.site2))
        pair.start()
        pair.establish_from_shell()
        pair.wait_until_synchronised()
        yield pair, server


def test_a_stopped_database_is_said_and_ends_no_program(pair: tuple[LivePair, Server]) -> None:
    (one, two), server = (pair[0].site1, pair[0].site2), pair[1]
    before = programs(one)
    server.stop()
    wait_for("a bad health", lambda: one.get("/check_health")[0] == 500, 30)
    until = time.monotonic() + STOPPED_SECONDS
    while time.monotonic() < until:
        for path in PATHS:
            status, body = one.get(path, timeout=30.0)
            # The command API answers each failure with 200 and an error document.
            assert status == 200 if path.startswith("/api/command") else status >= 500, path
            assert b"Traceback" not in body
            assert b"database" in body.lower(), (path, body[:300])
        time.sleep(1)
    assert programs(one) == before, "no program was restarted"
    assert journal_of(two)[0] == "b_idle"
    server.start()
    wait_for("health", lambda: one.says_healthy() and one.get("/")[0] == 200, 60)
    assert (journal_of(one)[0], journal_of(two)[0]) == ("p_active", "b_idle")
    assert programs(one) == before


def programs(site: LiveAppliance) -> set[int]:
    """The workers and web processes that run."""
    return {pid for pid, command in site.processes().items() if "celery" in command or "gunicorn" in command}
