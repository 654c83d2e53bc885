"""A pair that keeps its data in a real PostgreSQL and its messages in a real Redis: paired, synchronised, swapped."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from tests.e2e.compare import count, differences
from tests.e2e.conftest import running, settle
from tests.e2e.live import NAMESPACE, LiveAppliance, LivePair, wait_for

PORT = 9150
REDIS_PASSWORD = "a-password-of-redis"
POSTGRES_PASSWORD = "a-password-of-postgresql"
UNPRIVILEGED = ("postgres", "nobody")  # PostgreSQL refuses to run as root


def test_a_pair_on_postgresql_and_redis_is_synchronised_and_swapped(folder: Path) -> None:
    folder.chmod(0o755)
    with ExitStack() as stack:
        postgres = stack.enter_context(postgresql(folder / "postgresql"))
        redis_port = stack.enter_context(redis_server(folder))
        pair = LivePair.below(folder, port=PORT)
        # One by a password over TCP, the other by a Unix socket: both forms of REDIS_URL.
        pair.site1.environment = {
            "DATABASE_URL": f"{postgres}/site1",
            "REDIS_URL": f"redis://:{REDIS_PASSWORD}@127.0.0.1:{redis_port}/1",
        }
        pair.site2.environment = {
            "DATABASE_URL": f"{postgres}/site2",
            "REDIS_URL": f"redis+socket://:{REDIS_PASSWORD}@{folder}/redis.sock?virtual_host=2",
        }
        refuses_to_start_without_its_database(folder)
        stack.enter_context(running(pair.site1, pair.site2))
        pair.start()
        assert not (pair.site1.data_dir / "database.sqlite3").exists()
        assert not [line for line in pair.site1.processes().values() if "broker.sock" in line]
        filled = pair.site1.manage("demo_content")
        assert filled.returncode == 0, filled.stderr
        pair.establish_from_shell()
        pair.wait_until_synchronised()
        assert differences(pair.site1, pair.site2) == []
        assert count(pair.site2)["appliances.SupportSession"] >= 100

        answer = pair.site1.command("set_failover_role", role="backup", data_sync_first="1")
        assert answer.tag == f"{NAMESPACE}success", answer.text
        wait_for("the swap", lambda: (pair.site1.role(), pair.site2.role()) == ("backup", "primary"), 60)
        wait_for("the portal of site2", lambda: pair.site2.get("/")[0] == 200, 20)
        settle(pair)
        assert differences(pair.site1, pair.site2) == []


def refuses_to_start_without_its_database(folder: Path) -> None:
    """The start ends with one sentence that names the variable."""
    url = f"postgres://appliance:nothing@127.0.0.1:{free_port()}/nowhere"
    alone = LiveAppliance("site9.example.com", "127.0.0.9", PORT, folder / "site9", {"DATABASE_URL": url})
    refused = alone.manage("appliance")
    assert refused.returncode != 0
    assert "DATABASE_URL: the database does not answer" in refused.stderr
    assert "Traceback" not in refused.stderr


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A cluster of its own with the databases site1 and site2, on a port of loopback; the beginning of its URL."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), default=None)
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    user = _unprivileged()
    folder.mkdir()
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    word = folder / "password"
    word.write_text(POSTGRES_PASSWORD)
    word.chmod(0o644)
    access = ["-U", "appliance", "-A", "scram-sha-256", f"--pwfile={word}"]
    _run([programs / "initdb", "-D", data, *access, "--no-sync"], user)
    port = free_port()
    server = subprocess.Popen(
        [programs / "postgres", "-D", data, "-k", folder, "-h", "127.0.0.1", "-p", str(port)],
        user=user,
        group=_group(user),
        extra_groups=[] if user else None,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"postgres://appliance:{POSTGRES_PASSWORD}@127.0.0.1:{port}"
    try:
        wait_for("PostgreSQL", lambda: _answers(f"{url}/postgres"), 30)
        with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
            for name in ("site1", "site2"):
                connection.execute(f"CREATE DATABASE {name}".encode())
        yield url
    finally:
        server.terminate()
        server.wait(30)


@contextmanager
def redis_server(folder: Path) -> Iterator[int]:
    """A Redis with a password, on a port of loopback and on the Unix socket redis.sock."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("Redis is not installed")
    port = free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--unixsocket", str(folder / "redis.sock")]
    server = subprocess.Popen(
        [program, *options, "--requirepass", REDIS_PASSWORD, "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        with redis.Redis(port=port, password=REDIS_PASSWORD) as client:
            wait_for("Redis", lambda: _pings(client), 10)
        yield port
    finally:
        server.terminate()
        server.wait(10)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _unprivileged() -> str | None:
    """The user to run PostgreSQL as, where this process is root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in UNPRIVILEGED if name in known)


def _group(user: str | None) -> int | None:
    return pwd.getpwnam(user).pw_gid if user else None


def _run(command: Sequence[str | Path], user: str | None) -> None:
    done = subprocess.run(
        command,
        user=user,
        group=_group(user),
        extra_groups=[] if user else None,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _pings(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
