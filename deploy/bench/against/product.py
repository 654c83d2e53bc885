"""This product: a pair whose primary runs the product's own web server, and whose backup pulls as its worker does."""

from __future__ import annotations

import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from deploy.bench.against import measured
from deploy.bench.against.measured import Measured, Processes
from deploy.bench.against.network import delayed
from tests.sync.boxes import KEY, Box

WARMING = 8
PREAMBLE = "from deploy.bench.against import inside\n"


class Appliance(Box):
    """One side. Nothing else runs on it meanwhile: no keeper, no beat, no probes."""

    def web_command(self) -> list[str]:
        """The product's own."""
        return [sys.executable, "-m", "gunicorn", "-c", "python:failover_site.server"]

    def do(self, call: str) -> Any:
        """The result of a call of `inside` in the process of this appliance."""
        return self.run(f"{PREAMBLE}result = inside.{call}")

    def pids(self) -> list[int]:
        """The process that pulls, and the web server."""
        return [self.console.pid] + ([self.web.pid] if self.web else [])


class Pair:
    """A primary and its backup, established; each of `urls` is a database of its own, else they use SQLite.

    `servers` are the processes of the databases of either side, so that what they use counts too.
    """

    def __init__(self, folder: Path, urls: tuple[str, ...] = (), servers: tuple[int, ...] = ()) -> None:
        folder.mkdir()
        own = [{**_database(urls[number : number + 1]), "FOLDER_ROOTS": str(folder.parent)} for number in range(2)]
        self.primary = Appliance(folder / "primary", "127.0.0.1", name="a.example.com", environment=own[0])
        try:
            self.backup = Appliance(folder / "backup", "127.0.0.2", name="b.example.com", environment=own[1])
        except BaseException:
            self.primary.close()
            raise
        self._source = Processes(self.primary.pids, servers[:1])
        self._target = Processes(self.backup.pids, servers[1:])
        self._wiped = 0

    def __enter__(self) -> Pair:
        try:
            for box in (self.primary, self.backup):
                box.set_key(KEY)
                box.start()
            made = self.primary.establish(self.backup)
            if "error" in made:
                raise SystemExit(f"No relationship: {made}")
            for _ in range(WARMING):  # what each web process does once, it has done: probes see to it in real life
                self.backup.do("pull_data()")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.primary.close()
        self.backup.close()

    def pull(self, delay: float = 0.0, profile: Path | None = None, limit: int = 0) -> Measured:
        """One data-sync over a line that delays for so many seconds each way, with this limit in bytes a second."""
        with delayed(self.primary.address, self.primary.port, delay) as port:
            call = f"pull_data({port}, {str(profile) if profile else ''!r}, {limit})"
            return measured.of_appliances(self._source, self._target, lambda: self.backup.do(call))

    def wipe_backup(self, *, keep_files: bool = True) -> None:
        """The backup holds nothing of what is synchronised; its files are kept aside until the end, or removed."""
        self._wiped += 1
        self.backup.do(f"wipe({self._wiped})")
        if not keep_files:
            shutil.rmtree(self.backup.folder / f"blobs.parked-{self._wiped}", ignore_errors=True)

    def proof(self) -> Measured:
        """The proof that both hold the same, from the rows themselves and not from what is kept about them."""
        with ThreadPoolExecutor(2) as sides:
            began = time.perf_counter()
            one, other = sides.map(lambda box: box.do("contents()"), (self.primary, self.backup))
            wall = time.perf_counter() - began
        if one != other:
            raise SystemExit("The two appliances do not hold the same: the figures mean nothing.")
        return Measured(wall)

    def is_equal(self) -> bool:
        """Whether every synchronised table holds the same, by hashes of all rows made anew on both sides."""
        return bool(self.primary.do("contents()") == self.backup.do("contents()"))


def _database(url: tuple[str, ...]) -> dict[str, str]:
    return {"DATABASE_URL": url[0]} if url else {}
