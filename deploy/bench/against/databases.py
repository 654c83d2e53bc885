"""The cases of rows: accounts and log lines against dump-and-load, on SQLite and PostgreSQL; and an idle data-sync."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg

from deploy.bench.against import measured
from deploy.bench.against.files import Contest
from deploy.bench.against.measured import Measured, Processes
from deploy.bench.against.postgres import Cluster, programs
from deploy.bench.against.product import Pair
from deploy.bench.against.table import OURS

SELECT_INSERT, BACKUP_API = "select, executemany", "backup API"
DUMP_RESTORE, DUMP_PLAIN = "pg_dump -Fc, pg_restore", "pg_dump, psql"
COPY_OUT, LOG = "COPY out only (limit)", "logical replication"
TABLES = ("appliances_account", "appliances_sessionevent")
IDLE_ROUNDS = 5
PART = 100  # every so many rows are changed or new
APPLIED_SECONDS = 60.0

Rivals = Callable[[int], dict[str, Callable[[], Measured]]]


def sqlite(contest: Contest) -> None:
    """Initial, no change, 1 % changed, on SQLite."""
    with Pair(contest.folder / "pair-sqlite") as pair:
        source = pair.primary.folder / "database.sqlite3"

        def rivals(number: int) -> dict[str, Callable[[], Measured]]:
            def copy(who: str, how: Callable[[Path, Path], None]) -> Measured:
                target = contest.folder / f"{how.__name__}-{number}-{time.monotonic_ns()}.sqlite3"
                measured.settle()
                return _in_this_process(lambda: how(source, target))

            return {
                SELECT_INSERT: lambda: copy(SELECT_INSERT, _select_insert),
                BACKUP_API: lambda: copy(BACKUP_API, _backup),
            }

        _phase(contest, pair, "sqlite", rivals)


def postgresql(contest: Contest) -> None:
    """Initial, no change, 1 % changed, on PostgreSQL: a cluster for each side."""
    with ExitStack() as stack:
        clusters = [stack.enter_context(Cluster(contest.folder / name)) for name in ("pg-source", "pg-backup")]
        source, backup = (cluster.create("appliance") for cluster in clusters)
        pids = (clusters[0].pid, clusters[1].pid)
        pair = stack.enter_context(Pair(contest.folder / "pair-postgresql", (source, backup), pids))
        sides = Processes(tuple, pids[:1]), Processes(tuple, pids[1:])
        replica = _Replica(source, clusters[1].create("replica"))

        def rivals(number: int) -> dict[str, Callable[[], Measured]]:
            def load(dump: tuple[str, ...], restore: tuple[str, ...]) -> Measured:
                target = clusters[1].create(f"load_{time.monotonic_ns()}")
                return _piped([*dump, source], [*restore, target], sides)

            return {
                DUMP_RESTORE: lambda: load(("pg_dump", "-Fc"), ("pg_restore", "--no-owner", "-d")),
                DUMP_PLAIN: lambda: load(("pg_dump",), ("psql", "-q", "-o", "/dev/null", "-d")),
                COPY_OUT: lambda: _copied_out(source),
            }

        _phase(contest, pair, "postgresql", rivals, replica)


def idle(contest: Contest) -> None:
    """A data-sync that has nothing to do, with very many log rows on both sides."""
    results = contest.results
    with Pair(contest.folder / "pair-idle") as pair:
        pair.primary.do(f"add_numbered_log({contest.sizes.idle_rows})")
        pair.backup.do(f"take_log({str(pair.primary.folder / 'database.sqlite3')!r})")
        for _ in range(IDLE_ROUNDS):
            results.add("idle, no change", OURS, contest.pull(pair, "idle, no change")())
    print(f"{contest.sizes.idle_rows} log rows:")
    contest.show(["idle, no change"])


def _phase(contest: Contest, pair: Pair, name: str, rivals: Rivals, replica: _Replica | None = None) -> None:
    sizes, results = contest.sizes, contest.results
    initial, same, changed, proof = (f"{name}, {what}" for what in ("initial", "no change", "1 % changed", "proof"))
    pair.primary.do(f"add_accounts(0, {sizes.accounts})")
    pair.primary.do(f"add_log({sizes.log_rows})")
    results.add(f"{name}, numbering the rows", OURS, Measured(pair.primary.do("seal()")))
    for number in range(sizes.rounds):
        pair.wipe_backup()
        contest.round(initial, {OURS: contest.pull(pair, initial)} | rivals(number), number)
        contest.round(same, {OURS: contest.pull(pair, same)}, number)
        results.add(proof, OURS, pair.proof())
        results.runs[proof] |= {who: runs for who, runs in results.runs[initial].items() if who != OURS}
        if replica is not None:
            replica.follow(number)
        committed = pair.primary.do(f"change_rows({sizes.accounts // PART}, {sizes.log_rows // PART}, {number})")
        if replica is not None:
            results.add(changed, LOG, replica.applied(committed, number))
        contest.round(changed, {OURS: contest.pull(pair, changed)} | rivals(number), number)
    if not pair.is_equal():
        raise SystemExit("The two appliances do not hold the same: the figures mean nothing.")
    contest.show((f"{name}, numbering the rows", initial, same, proof, changed))
    print(f"{name}: both appliances hold the same rows, by hashes of all of them made anew on both.", flush=True)


class _Replica:
    """A database that follows the accounts and log rows by PostgreSQL's own logical replication."""

    def __init__(self, source: str, target: str) -> None:
        self._source, self._target = source, target
        self._began = False

    def follow(self, number: int) -> None:
        """It is up to date and follows."""
        if not self._began:
            self._begin()
        self._execute(self._target, "ALTER SUBSCRIPTION bench ENABLE")
        name = f"Followed {number}"
        self._execute(self._source, f"UPDATE appliances_account SET last_name = '{name}' WHERE username = 'user000000'")  # noqa: S608
        self._wait(f"SELECT 1 FROM appliances_account WHERE last_name = '{name}'")  # noqa: S608

    def applied(self, committed: float, number: int) -> Measured:
        """From the commit on the source to the moment when the change is visible; then it rests."""
        self._wait(f"SELECT 1 FROM appliances_account WHERE display_name = 'Changed {number}' LIMIT 1")  # noqa: S608
        wall = time.monotonic() - committed
        self._execute(self._target, "ALTER SUBSCRIPTION bench DISABLE")
        return Measured(wall)

    def _begin(self) -> None:
        _piped(["pg_dump", "-s", self._source], ["psql", "-q", "-o", "/dev/null", "-d", self._target], ())
        self._execute(self._source, f"CREATE PUBLICATION bench FOR TABLE {', '.join(TABLES)}")
        self._execute(self._target, f"CREATE SUBSCRIPTION bench CONNECTION '{self._source}' PUBLICATION bench")
        self._began = True

    def _wait(self, query: str) -> None:
        deadline = time.monotonic() + APPLIED_SECONDS
        with psycopg.connect(self._target, autocommit=True) as connection:
            while not connection.execute(query.encode()).fetchone():
                if time.monotonic() > deadline:
                    raise SystemExit("Logical replication did not follow.")
                time.sleep(0.001)

    @staticmethod
    def _execute(url: str, statement: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())


def _in_this_process(do: Callable[[], None]) -> Measured:
    cpu, began = time.process_time(), time.perf_counter()
    do()
    return Measured(time.perf_counter() - began, (time.process_time() - cpu,))


def _backup(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def _select_insert(source: Path, target: Path) -> None:
    """Rows first, indexes last, in one durable transaction."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        new.execute("PRAGMA journal_mode=WAL")
        new.execute("PRAGMA synchronous=FULL")
        for table in TABLES:
            [(made,)] = old.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", [table])
            new.execute(made)
            rows = old.execute(f"SELECT * FROM {table}")  # noqa: S608
            places = ", ".join("?" * len(rows.description))
            new.executemany(f"INSERT INTO {table} VALUES ({places})", rows)  # noqa: S608
            indexes = "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL"
            for (index,) in old.execute(indexes, [table]):
                new.execute(index)
        new.commit()


def _copied_out(url: str) -> Measured:
    """What reading alone takes, and how many bytes the rows are."""
    began, size = time.perf_counter(), 0
    with psycopg.connect(url) as connection:
        for table in TABLES:
            with connection.cursor().copy(f"COPY {table} TO STDOUT".encode()) as rows:
                size += sum(len(piece) for piece in rows)
    return Measured(time.perf_counter() - began, wire=size)


def _piped(first: list[str], second: list[str], sides: tuple[Processes, ...]) -> Measured:
    """Run `first | second`; what the servers used counts too."""
    folder = programs()
    assert folder is not None
    measured.settle()
    for side in sides:
        side.begin()
    began = time.perf_counter()
    with (
        subprocess.Popen([folder / first[0], *first[1:]], stdout=subprocess.PIPE) as one,
        subprocess.Popen([folder / second[0], *second[1:]], stdin=one.stdout) as two,
    ):
        assert one.stdout is not None
        one.stdout.close()
        used = [measured.reap(one), measured.reap(two)]
        wall = time.perf_counter() - began
    if one.returncode or two.returncode:
        raise SystemExit(f"{first[0]} or {second[0]} failed.")
    servers = [side.end()[0] for side in sides] or [0.0, 0.0]
    return Measured(wall, (used[0] + servers[0], used[1] + servers[1]))
