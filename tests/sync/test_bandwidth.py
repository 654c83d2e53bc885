"""The bandwidth limit of a data-sync between two real appliances, measured on the line between them."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from appliances.choices import ProbeOutcome
from sync.rules.due import PROBE_TOTAL_SECONDS
from tests.sync.boxes import KEY, Box
from tests.sync.datasync.test_over_the_wire import PULL

MEGABYTE = 1_000_000
PIECE = 16 * 1024
FILLED_SECONDS = 1.0  # until the buffers of the relay and of the kernels are full, which they are at once
WAIT_SECONDS = 30.0
RECEIVE_BUFFER = 256 * 1024  # the kernel of the backup takes so much ahead of its reader, at once after a stall
RECORDING = "import os; from tests.sync.datasync import world; world.recording('r', os.urandom({size}))"


class Relay:
    """A line to an appliance that notes when how many bytes went over it, in both directions."""

    def __init__(self, address: str, target: tuple[str, int]) -> None:
        self.listening = socket.create_server((address, 0))
        self.port = int(self.listening.getsockname()[1])
        self.target = target
        self.passed: list[tuple[float, int]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.listening.accept()
                far = socket.create_connection(self.target)
                # What waits in the relay would look like a burst on the line.
                far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * PIECE)
                near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * PIECE)
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError), closing(source), closing(sink):
            while piece := source.recv(PIECE):
                sink.sendall(piece)
                self.passed.append((time.monotonic(), len(piece)))

    def wait_for(self, amount: int) -> None:
        """Until so many bytes went over it."""
        until = time.monotonic() + WAIT_SECONDS
        while sum(count for _, count in list(self.passed)) < amount:
            assert time.monotonic() < until, "too little came over the line"
            time.sleep(0.05)

    def rate(self, begin: float, end: float) -> float:
        """Bytes a second between two moments."""
        return sum(count for at, count in self.passed if begin <= at < end) / (end - begin)

    def worst(self, begin: float, end: float) -> float:
        """The most bytes within one second between two moments."""
        return max(self.rate(at, at + 1.0) for at, _ in self.passed if begin <= at <= end - 1.0)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[tuple[Box, Box, Relay]]:
    """A primary, a backup, and the line by which the backup reaches the primary."""
    primary = Box(tmp_path / "a", "127.0.0.1", name="a.example.com")
    backup = Box(tmp_path / "b", "127.0.0.2", name="b.example.com")
    relay = Relay("127.0.0.3", (primary.address, primary.port))
    try:
        for box in (primary, backup):
            box.set_key(KEY)
            box.start()
        answer = primary.establish(backup, reverse_host="127.0.0.3", reverse_port=relay.port)
        assert "error" not in answer, answer
        yield primary, backup, relay
    finally:
        relay.listening.close()
        for box in (primary, backup):
            box.close()


def limit(box: Box, amount: float | None, unit: str = "MB/s") -> None:
    """As somebody sets it on the page, from another process than the one that pulls."""
    with closing(sqlite3.connect(box.folder / "database.sqlite3", timeout=10)) as database, database:
        database.execute("UPDATE appliances_backupsettings SET bandwidth_limit = ?, bandwidth_unit = ?", (amount, unit))


def pulled(backup: Box) -> tuple[float, float]:
    """Pull; when it began and ended."""
    began = time.monotonic()
    assert backup.run(PULL)["status"] == "success"
    return began, time.monotonic()


def stretch(relay: Relay, since: float) -> tuple[float, float]:
    """From when to when files travelled (what is larger than any question) at the rate at which they were read."""
    moments = [at for at, count in relay.passed if at >= since and count > 4096]
    return moments[0] + FILLED_SECONDS, moments[-1]


@pytest.mark.slow
def test_a_data_sync_keeps_to_the_limit_down_and_up(line: tuple[Box, Box, Relay]) -> None:
    primary, backup, relay = line
    backup.run("from appliances.models import BackupSettings; BackupSettings.load().save()")
    limit(backup, 8, "Mbit/s")
    primary.run(RECORDING.format(size=6 * MEGABYTE))
    began, _ = pulled(backup)
    first, last = stretch(relay, began)
    down = relay.rate(first, last)
    assert 0.85 * MEGABYTE <= down <= 1.15 * MEGABYTE
    worst = relay.worst(first, last)
    assert worst <= 1.15 * MEGABYTE + RECEIVE_BUFFER

    backup.run(RECORDING.format(size=4 * MEGABYTE))
    began, _ = pulled(backup)
    first, last = stretch(relay, began)
    up = relay.rate(first, last)
    assert 0.85 * MEGABYTE <= up <= 1.15 * MEGABYTE
    print(f"down {down:.0f} B/s, up {up:.0f} B/s, worst second {worst:.0f} B")  # shown with -s


@pytest.mark.slow
def test_a_changed_limit_takes_effect_within_two_seconds_and_probes_are_never_held_up(
    line: tuple[Box, Box, Relay],
) -> None:
    primary, backup, relay = line
    backup.run("from appliances.models import BackupSettings; BackupSettings.load().save()")
    limit(backup, 500, "kB/s")
    primary.run(RECORDING.format(size=14 * MEGABYTE))
    running = threading.Thread(target=pulled, args=(backup,))
    began = time.monotonic()
    running.start()
    relay.wait_for(3 * MEGABYTE)
    slow_until = time.monotonic()  # whoever sets a limit may wait for the database
    limit(backup, 2)
    changed = time.monotonic()
    looks: list[tuple[str, float]] = []
    while time.monotonic() < changed + 4.0:
        asked = time.monotonic()
        outcome = primary.run("from sync import probes\nresult = str(probes.look_at_peer().outcome)")
        looks.append((outcome, time.monotonic() - asked))
        time.sleep(0.2)
    quick_until = time.monotonic()
    limit(backup, None)
    freed = time.monotonic()
    running.join(30)
    ended = time.monotonic()

    assert {outcome for outcome, _ in looks} == {ProbeOutcome.ANSWERED}
    slowest = max(seconds for _, seconds in looks)
    assert slowest < PROBE_TOTAL_SECONDS, "a look that takes longer is a failure"
    first, last = stretch(relay, began)
    before, after = relay.rate(first, slow_until), relay.rate(changed + 2.0, quick_until)
    assert 0.85 * 0.5 * MEGABYTE <= before <= 1.15 * 0.5 * MEGABYTE
    assert 0.85 * 2 * MEGABYTE <= after <= 1.15 * 2 * MEGABYTE
    assert last - freed < 2.5  # what was left came at once
    print(f"{before:.0f} B/s, then {after:.0f} B/s, slowest probe {slowest:.2f} s, end {ended - freed:.2f} s")
