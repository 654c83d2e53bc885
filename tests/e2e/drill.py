"""A pair that is made to die at named points, and what it must be again soon after."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

from appliances.host.runtime import runtime_folder
from sync import crash
from sync.serving import FILE_NAME
from tests.e2e.compare import differences
from tests.e2e.conftest import established_pair
from tests.e2e.live import LiveAppliance, LivePair, wait_for
from tests.e2e.own_folder import OwnFolder
from tests.e2e.shell import Shell, ShellError

RECOVERY_SECONDS = 15.0  # from the return of what died to a pair that serves: testing.md, R5
WAIT_SECONDS = 60.0  # for what is not measured, on a busy machine
SERVING = frozenset({"p_active", "p_draining"})
RUNS = "SELECT id, status, code, message FROM sync_syncrun"
MOST_KILLS = 3
RUNNING = "SELECT * FROM sync_rolechange WHERE status = 'running'"
LAST_LINES = "SELECT at, event, sentence FROM sync_statusevent ORDER BY at DESC LIMIT 15"
JOURNAL = "SELECT state, term, own_term FROM sync_rolejournal"

# Something of each kind of data: settings and a file on the primary, a session with its recording on either.
CHANGE_SETTINGS = """
from appliances import blobs
from appliances.models import FileStoreFile, Site
Site.objects.update(portal_text=word)
stored = blobs.store([word.encode() * 1000])
FileStoreFile.objects.create(name=f"{word}.txt", blob_id=stored.blob_id, size_bytes=stored.size_bytes)
"""
ADD_SESSION = """
import datetime as dt
from django.utils import timezone
from appliances import blobs
from appliances.models import Recording, SupportSession
now = timezone.now()
session = SupportSession.objects.create(
    started_at=now - dt.timedelta(minutes=5), ended_at=now, account_name=word, customer_name=word, subject=word,
)
stored = blobs.store([f"recording {word}".encode() * 1000])
Recording.objects.create(
    session_id=session.pk, name=word, started_at=session.started_at, duration=dt.timedelta(minutes=5),
    blob_id=stored.blob_id, size_bytes=stored.size_bytes,
)
"""
SYNC_NOW = """
from sync import tasks
tasks.sync_now("drill")
"""
ASK = """
from appliances.choices import Role
from sync import role_changes, tasks
change = role_changes.request(
    Role(role), want_final_sync=box, without_peer=force, accepts_loss=True, requested_by="drill"
)
tasks.start_role_change(change)
"""


@dataclass
class Watch:
    """Reads both role journals again and again: two that serve, a lost term or a shared one is never seen."""

    pair: LivePair
    broken: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    looks: int = 0

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        one, two = self.pair.site1, self.pair.site2
        terms = [-1, -1]
        while not self._stop.wait(0.03):
            is_first = serves(one)
            is_other = serves(two)
            other, again = journal_of(two), journal_of(one)
            self.looks += 1
            if is_first and is_other and serves(one):
                self._note(f"two serve: {again}, {other}")
            if other[2] >= 0 and other[2] == again[2]:
                self._note(f"one term has two owners: {again}, {other}")
            for number, state in enumerate((again, other)):
                if state[0] != "none" and state[1] < terms[number]:
                    self._note(f"a term fell from {terms[number]}: {state}")
                terms[number] = state[1]

    def _note(self, what: str) -> None:
        if what not in self.broken:
            self.broken.append(what)


def journal_of(appliance: LiveAppliance) -> tuple[str, int, int]:
    """State, term and own term as they stand in its database."""
    [[state, term, own_term]] = appliance.rows(JOURNAL)
    return state, term, own_term


def serves(appliance: LiveAppliance) -> bool:
    """Whether it runs, has begun its role anew since it was started, and is in a role that serves clients."""
    [[state, since]] = appliance.rows("SELECT state, since_boottime FROM sync_rolejournal")
    is_running = appliance.process is not None and appliance.process.poll() is None
    return is_running and state in SERVING and since >= appliance.started_boottime and not _is_held(appliance)


def _is_held(appliance: LiveAppliance) -> bool:
    """Whether the word of its keeper has run out, so that nobody is let in whatever its journal says."""
    try:
        until = json.loads((runtime_folder(appliance.data_dir) / FILE_NAME).read_text())["until"]
    except FileNotFoundError:
        return False
    return until is not None and time.clock_gettime(time.CLOCK_BOOTTIME) > until


@dataclass
class Drill:
    """A living pair with a shell on each side."""

    pair: LivePair
    shells: dict[str, Shell]
    watch: Watch
    words: int = 0
    kills: dict[str, int] = field(default_factory=dict)  # of single processes since the start of their supervisor
    own_folder: OwnFolder | None = None

    @property
    def sites(self) -> tuple[LiveAppliance, LiveAppliance]:
        """Both."""
        return self.pair.site1, self.pair.site2

    def roles(self) -> tuple[LiveAppliance, LiveAppliance]:
        """The primary that serves and its idle backup."""
        one, two = self.sites
        primary, backup = (one, two) if journal_of(one)[0] == "p_active" else (two, one)
        assert (journal_of(primary)[0], journal_of(backup)[0]) == ("p_active", "b_idle")
        return primary, backup

    def run(self, appliance: LiveAppliance, code: str, **values: object) -> object:
        """Run code in the shell of an appliance."""
        return self.shells[appliance.name].run(code, **values)

    def change_something(self) -> None:
        """There is something of each kind to be synchronised, in both directions."""
        primary, backup = self.roles()
        self.words += 1
        self.run(primary, CHANGE_SETTINGS, word=f"word-{self.words}")
        self.run(primary, ADD_SESSION, word=f"primary-{self.words}")
        self.run(backup, ADD_SESSION, word=f"backup-{self.words}")
        if self.own_folder is not None:
            self.own_folder.change(primary)

    def arm(self, appliance: LiveAppliance, point: str, *, whole: bool = False) -> None:
        """The next process of this appliance that comes by `point` dies, or all of it does."""
        assert point in crash.names(), point
        (appliance.data_dir / crash.CRASHED).unlink(missing_ok=True)
        temporary = appliance.data_dir / "crash-at.new"
        temporary.write_text(f"{point}\n{crash.WHOLE_APPLIANCE if whole else ''}")
        temporary.rename(appliance.data_dir / crash.ARMED)

    def wait_for_crash(self, appliance: LiveAppliance, *, whole: bool = False) -> None:
        """It has died at the armed point; an appliance that died as a whole is started again, as a host does it."""
        if whole:
            self.wait_until_dead(appliance)
            self.start_again(appliance)
        else:
            self._await_crash(appliance)
            self.kills[appliance.name] = self.kills.get(appliance.name, 0) + 1

    def wait_until_dead(self, appliance: LiveAppliance) -> None:
        """It died as a whole at the armed point."""
        self._await_crash(appliance)
        assert appliance.process is not None
        appliance.process.wait(10)

    def _await_crash(self, appliance: LiveAppliance) -> None:
        try:
            wait_for("the crash", partial(self.has_crashed, appliance), WAIT_SECONDS, 0.02)
        except AssertionError:
            with suppress(FileNotFoundError):  # it came at the last moment
                armed = (appliance.data_dir / crash.ARMED).read_text().split("\n")[0]
                raise AssertionError(f"{appliance.name} never passed {armed!r}\n{self.story()}") from None

    def story(self) -> str:
        """What both were at last and how they came to it, for the report of a failed test."""
        lines = []
        for site in self.sites:
            lines.append(f"{site.name}: {journal_of(site)}, health {site.get('/check_health')}")
            lines += [
                f"  runs: {change}" for change in site.rows("SELECT * FROM sync_rolechange WHERE status='running'")
            ]
            lines += [f"  {at} {event}: {sentence}" for at, event, sentence in reversed(site.rows(LAST_LINES))]
        return "\n".join(lines)

    def start_again(self, appliance: LiveAppliance) -> None:
        """An appliance whose supervisor is dead is started, as a host does it."""
        wait_for("the end of all its programs", lambda: not self._programs(appliance), 10, 0.05)
        appliance.start()
        self.kills[appliance.name] = 0

    @staticmethod
    def _programs(appliance: LiveAppliance) -> list[int]:
        own = ("gunicorn", "celery", "broker.sock")
        return [pid for pid, command in appliance.processes().items() if any(part in command for part in own)]

    def rest(self) -> None:
        """The supervisors bear no grudge: one that restarted programs often waits longer and longer with the next.

        What a failed test left behind, an armed point or a dead appliance, fails no other one.
        """
        for site in self.sites:
            (site.data_dir / crash.ARMED).unlink(missing_ok=True)
            is_dead = site.process is None or site.process.poll() is not None
            if is_dead or self.kills.get(site.name, 0) >= MOST_KILLS:
                site.kill()
                self.start_again(site)
        self.wait_until_well()

    @staticmethod
    def has_crashed(appliance: LiveAppliance) -> bool:
        """Whether one of its processes has died at the armed point."""
        return (appliance.data_dir / crash.CRASHED).exists()

    def is_well(self) -> bool:
        """One serves, the other is its idle backup, nothing runs, and both web servers answer."""
        states = sorted(journal_of(site)[0] for site in self.sites)
        return (
            states == ["b_idle", "p_active"]
            and all(site.has_no_role_change() for site in self.sites)
            and all(site.says_healthy() for site in self.sites)
        )

    def wait_until_well(self, *, seconds: float = WAIT_SECONDS) -> float:
        """The seconds until the pair was well."""
        began = time.monotonic()
        try:
            wait_for("a pair that is well", self.is_well, seconds, 0.05)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.story()}") from None
        return time.monotonic() - began

    def ask(self, appliance: LiveAppliance, role: str, *, box: bool = True, force: bool = False) -> None:
        """Press Become <role> on an appliance."""
        self.run(appliance, ASK, role=role, box=box, force=force)

    def start_sync(self, backup: LiveAppliance) -> None:
        """Press Sync Now on the backup."""
        self.run(backup, SYNC_NOW)

    def synchronise(self) -> None:
        """Both hold the same after one more data-sync; one that runs already is let go on first."""
        self.pull()
        assert differences(*self.sites) == []
        if self.own_folder is not None:
            assert self.own_folder.differences() == []

    def pull(self) -> None:
        """One more data-sync goes well."""
        _, backup = self.roles()
        known = {run for run, *_ in backup.rows(RUNS)}

        def is_done() -> bool:
            new = [run for run in backup.rows(RUNS) if run[0] not in known]
            failed = [run for run in new if run[1] not in ("running", "success")]
            assert not failed, failed
            if not any(status == "running" for _, status, *_ in backup.rows(RUNS)) and not new:
                with suppress(ShellError):  # one of its own accord came first
                    self.start_sync(backup)
            return any(status == "success" for _, status, *_ in new)

        wait_for("a data-sync", is_done, WAIT_SECONDS)

    def add_own_folder(self, root: Path) -> None:
        """From now on the pair copies a folder of its administrator's, too, which lies below `root`."""
        folder = OwnFolder(root, *self.roles())
        folder.define(self.pull)
        self.own_folder = folder


@contextmanager
def drilled_pair(folder: Path, *, port: int, **environment: str) -> Iterator[Drill]:
    """A pair with demo content that dies where it is told to; watched all the time."""
    with established_pair(folder, port=port, CRASH_POINTS="1", **environment) as pair:
        with Shell(pair.site1) as one, Shell(pair.site2) as two, Watch(pair) as watch:
            yield Drill(pair, {pair.site1.name: one, pair.site2.name: two}, watch)
        assert watch.broken == []
