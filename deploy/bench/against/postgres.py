"""A PostgreSQL cluster of its own, at its defaults but for logical replication, on a port of loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psycopg

from tests.sync.boxes import free_port

PASSWORD = "a-password-of-postgresql"  # noqa: S105  (of a cluster that lives as long as a benchmark)
UNPRIVILEGED = ("postgres", "nobody")  # PostgreSQL refuses to run as root
START_SECONDS = 30.0


def programs() -> Path | None:
    """The folder of the newest PostgreSQL's programs, or None."""
    found = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "postgres").exists()]
    return max(found, key=lambda path: int(path.parent.name), default=None)


class Cluster:
    """Runs from `with` to its end; its files stay."""

    def __init__(self, folder: Path) -> None:
        found = programs()
        assert found is not None
        self._programs, self._folder, self._port = found, folder, free_port("127.0.0.1")
        self._as: dict[str, Any] = {"cwd": "/", "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        folder.mkdir()
        if os.geteuid() == 0:
            known = {entry.pw_name: entry.pw_gid for entry in pwd.getpwall()}
            user = next(name for name in UNPRIVILEGED if name in known)
            shutil.chown(folder, user)
            self._as |= {"user": user, "group": known[user], "extra_groups": []}
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The postmaster."""
        assert self._server is not None
        return self._server.pid

    def __enter__(self) -> Cluster:
        data, word = self._folder / "data", self._folder / "password"
        word.write_text(PASSWORD)
        word.chmod(0o644)
        access = ["-U", "appliance", "-A", "scram-sha-256", f"--pwfile={word}"]
        subprocess.run([self._programs / "initdb", "-D", data, *access, "--no-sync"], check=True, **self._as)
        options = ["-k", str(self._folder), "-h", "127.0.0.1", "-p", str(self._port), "-c", "wal_level=logical"]
        command = [str(self._programs / "postgres"), "-D", str(data), *options]
        server: subprocess.Popen[bytes] = subprocess.Popen(command, **self._as)
        self._server = server
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if server.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise SystemExit("PostgreSQL does not start.")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)  # fast: clients are disconnected
            self._server.wait(START_SECONDS)

    def create(self, name: str) -> str:
        """A new database; its URL."""
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self._url(name)

    def _url(self, name: str) -> str:
        return f"postgres://appliance:{PASSWORD}@127.0.0.1:{self._port}/{name}"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True
