"""Real appliances as processes, started as a real host starts them; used by the end-to-end tests and the benchmarks."""

from __future__ import annotations

import http.client
import os
import re
import signal
import sqlite3
import ssl
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psycopg

from appliances.host.programs import is_free

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 90.0
STOP_SECONDS = 30.0
MOST_LINES = 60  # of a traceback
FREE_SECONDS = 15.0  # after a kill, until the last of its programs has let go of the address
NAMESPACE = "{http://www.bomgar.com/namespaces/API/command}"


def insecure_context() -> ssl.SSLContext:
    """A TLS context that accepts any certificate: the appliances' are self-issued."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def wait_for(what: str, is_true: Callable[[], Any], seconds: float = 30.0, pause: float = 0.1) -> Any:
    """The first true value of `is_true()`; fails naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if value := is_true():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(pause)


def processes_of(data_dir: Path) -> dict[int, str]:
    """The command line of every living process of a data folder, by process id.

    It has DATA_DIR in its environment, or (a broker writes its title over that) the folder in its command line.
    """
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile, or is another user's
        if f"DATA_DIR={data_dir}".encode() in environment or f"{data_dir}/" in command:
            found[int(folder.name)] = command
    return found


@dataclass
class LiveAppliance:
    """One appliance with its own data folder and address."""

    name: str
    address: str
    port: int
    data_dir: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    root: Path = ROOT  # the source tree that it runs from
    changed_password: str = ""  # of `admin`, once it is another than the generated one
    started_boottime: float = 0.0

    @property
    def url(self) -> str:
        """The address for a browser."""
        return f"https://{self.address}:{self.port}"

    @property
    def listen(self) -> str:
        """Where its web server listens."""
        return f"{self.address}:{self.port}"

    @property
    def password(self) -> str:
        """The password of the first administrator, `admin`."""
        return self.changed_password or (self.data_dir / "secrets" / "first-password").read_text().strip()

    def begin_with_password(self, password: str) -> None:
        """Let the first administrator be born with this password; before the first start."""
        secrets = self.data_dir / "secrets"
        secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
        (secrets / "first-password").write_text(f"{password}\n")

    def env(self) -> dict[str, str]:
        """The environment of every process of this appliance."""
        own = {
            "DATA_DIR": str(self.data_dir),
            "HOST_NAME": self.name,
            "LISTEN": self.listen,
            "ALLOW_LOOPBACK_TARGETS": "1",
            "FIRST_SYNC_DELAY_SECONDS": "3",
        }
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return inherited | own | self.environment

    def command_env(self) -> dict[str, str]:
        """The environment of a command of the shell: its data folder, and the URLs that hold passwords."""
        own = {"DATA_DIR": str(self.data_dir)}
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return inherited | own | {name: url for name, url in self.environment.items() if name.endswith("_URL")}

    def start(self) -> None:
        """Start it in a process group of its own; does not wait until it serves.

        Whoever else listens at its address would answer in its place, and be taken for it.
        """
        what = f"nobody else listens on {self.listen}, the address of {self.name}"
        wait_for(what, lambda: is_free(self.listen), FREE_SECONDS)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.started_boottime = time.clock_gettime(time.CLOCK_BOOTTIME)
        with open(self.data_dir / "console.log", "ab") as console:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "appliance"],
                cwd=self.root,
                env=self.env(),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )

    def wait_until_healthy(self, seconds: float = START_SECONDS) -> None:
        """Wait until `/check_health` says 200."""

        def is_healthy() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"{self.name} ended: {self.console()[-2000:]}"
            return self.get("/check_health")[0] == 200

        wait_for(f"{self.name} is healthy", is_healthy, seconds)

    def says_healthy(self) -> bool:
        """Whether `/check_health` says 200."""
        return self.get("/check_health")[0] == 200

    def has_no_role_change(self) -> bool:
        """Whether no role change runs on it."""
        return not self.rows("SELECT 1 FROM sync_rolechange WHERE status = 'running'")

    def console(self) -> str:
        """What it printed so far."""
        return (self.data_dir / "console.log").read_text(errors="replace")

    def stop(self) -> None:
        """Stop it as Ctrl-C does."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        self.process = None

    def kill(self) -> None:
        """End the supervisor with SIGKILL; its children die with it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(STOP_SECONDS)
        self.process = None

    def get(self, path: str, *, timeout: float = 5.0) -> tuple[int, bytes]:
        """Status and body of a GET; (0, b"") when nobody answers."""
        connection = http.client.HTTPSConnection(self.address, self.port, timeout=timeout, context=insecure_context())
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def command(self, action: str, **parameters: str) -> ElementTree.Element:
        """The answer of the command API, by user and password."""
        query = urllib.parse.urlencode({"action": action, "username": "admin", "password": self.password, **parameters})
        status, body = self.get(f"/api/command?{query}", timeout=40.0)
        assert status == 200, f"{action}: HTTP {status}"
        return ElementTree.fromstring(body)

    def role(self) -> str:
        """The role that the API tells."""
        element = self.command("check_health").find(f"{NAMESPACE}failover_role")
        assert element is not None
        assert element.text
        return element.text

    def manage(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run `manage.py` on this appliance."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.root,
            env=self.command_env() if arguments[0] != "appliance" else self.env(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query on its database, read only."""
        if url := self.environment.get("DATABASE_URL"):
            with psycopg.connect(url, options="-c default_transaction_read_only=on") as connection:
                return connection.execute(query.encode()).fetchall()
        place = f"file:{self.data_dir}/database.sqlite3?mode=ro"
        with closing(sqlite3.connect(place, uri=True, timeout=20)) as database:
            return database.execute(query).fetchall()

    def blobs(self) -> dict[str, int]:
        """Every file of its content-addressed store with its size."""
        store = self.data_dir / "blobs"
        return {str(path.relative_to(store)): path.stat().st_size for path in store.rglob("*") if path.is_file()}

    def processes(self) -> dict[int, str]:
        """The command line of every process that runs with this data folder, by process id."""
        return processes_of(self.data_dir)

    def has_ended(self) -> bool:
        """Whether no process of it is left."""
        return not self.processes()

    def pid_of(self, part: str) -> int:
        """The oldest of its processes whose command line contains `part`."""
        found = [pid for pid, command in sorted(self.processes().items()) if part in command]
        assert found, f"{self.name} runs no {part}"
        return found[0]

    def tracebacks(self) -> list[str]:
        """Every traceback of its logs: the line that carries it, and what follows it where that is plain text."""
        lines = self._lines()
        return [
            "\n".join(lines[number : number + 1 if '"level"' in line else number + MOST_LINES])
            for number, line in enumerate(lines)
            if "Traceback (most recent call last)" in line
        ]

    def loud_lines(self) -> list[str]:
        """Every line of its logs that is a warning or worse."""
        return [line for line in self._lines() if re.search('"level": "(warning|error|critical)"', line)]

    def _lines(self) -> list[str]:
        logs = [self.data_dir / "console.log", *sorted((self.data_dir / "logs").glob("*.log*"))]
        return [
            f"{path.name}: {line[:3000]}"
            for path in logs
            if path.exists()
            for line in path.read_text(errors="replace").splitlines()
        ]


@dataclass
class LivePair:
    """Two appliances on loopback."""

    site1: LiveAppliance
    site2: LiveAppliance

    @classmethod
    def below(cls, folder: Path, *, port: int, **environment: str) -> LivePair:
        """A pair that keeps everything below `folder`, on 127.0.0.1 and 127.0.0.2."""
        return cls(
            LiveAppliance("site1.example.com", "127.0.0.1", port, folder / "site1", environment),
            LiveAppliance("site2.example.com", "127.0.0.2", port, folder / "site2", environment),
        )

    def start(self) -> None:
        """Start both and wait until both are healthy; they are born with one password, as `make run` does it."""
        for appliance in (self.site1, self.site2):
            if not appliance.data_dir.exists():
                appliance.begin_with_password("first-password-of-the-pair")
        self.site1.start()
        self.site2.start()
        self.site1.wait_until_healthy()
        self.site2.wait_until_healthy()

    def stop(self) -> None:
        """Stop both."""
        for appliance in (self.site1, self.site2):
            appliance.stop()

    def establish_from_shell(self) -> None:
        """Give both the same inter-appliance key and make site2 the backup of site1."""
        made = self.site1.manage("inter_appliance_key", "--generate")
        assert made.returncode == 0, made.stderr
        key = made.stdout.strip().splitlines()[-1]
        entered = self.site2.manage("inter_appliance_key", "--set-from-stdin", stdin=key)
        assert entered.returncode == 0, entered.stderr
        done = self.establish()
        assert done.returncode == 0, done.stderr + done.stdout

    def establish(self) -> subprocess.CompletedProcess[str]:
        """Run `establish` on site1: it becomes the primary."""
        peer, own = self.site2, self.site1
        return own.manage(
            "establish",
            *("--peer-host", peer.address, "--peer-port", str(peer.port)),
            *("--reverse-host", own.address, "--reverse-port", str(own.port)),
        )

    def wait_until_synchronised(self, seconds: float = 60.0) -> None:
        """Wait for a good data-sync on the backup."""
        wait_for(
            "a good data-sync",
            lambda: (
                self.site2.rows("SELECT 1 FROM sync_syncrun WHERE status = 'success'")
                or self.site1.rows("SELECT 1 FROM sync_syncrun WHERE status = 'success'")
            ),
            seconds,
        )
