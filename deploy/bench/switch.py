"""The gap of a planned swap on loopback: how long nobody serves the portal.

Starts a pair, fills it with demo content and synchronises it, then swaps the roles to and fro without the data-sync
box. Meanwhile a new TLS connection is opened to each appliance every 5 ms, and the portal is asked for. The gap runs
from the last good answer of the old primary to the first good answer of the new one. With the box, the same is measured
apart: there the users are disconnected for the final data-sync on purpose.

    .venv/bin/python deploy/bench/switch.py [--swaps 10] [--with-box 3]
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.e2e.live import LiveAppliance, LivePair, insecure_context, wait_for

INTERVAL_SECONDS = 0.005
AROUND_SECONDS = 1.5  # of polling before and after the swap
MOST_IN_FLIGHT = 4  # questions to one appliance at once: on a small machine, more would measure their own queue


@dataclass
class Poller:
    """Asks one appliance for its portal every 5 ms, each time over a new connection; keeps when it answered well."""

    appliance: LiveAppliance
    context: ssl.SSLContext = field(default_factory=insecure_context)
    good: list[float] = field(default_factory=list)
    asked: int = 0
    in_flight: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, until: asyncio.Event) -> None:
        """Ask until `until` is set."""
        due = time.perf_counter()
        while not until.is_set():
            if len(self.in_flight) < MOST_IN_FLIGHT:
                task = asyncio.create_task(self.ask())
                self.in_flight.add(task)
                task.add_done_callback(self.in_flight.discard)
            due += INTERVAL_SECONDS
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await asyncio.gather(*self.in_flight, return_exceptions=True)

    async def ask(self) -> None:
        """One question over a new connection."""
        self.asked += 1
        where = self.appliance
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection(where.address, where.port, ssl=self.context)
                writer.write(f"GET / HTTP/1.1\r\nHost: {where.address}\r\nConnection: close\r\n\r\n".encode())
                status = await reader.readline()
                moment = time.perf_counter()
                writer.close()
        except (OSError, TimeoutError):
            return
        if b" 200 " in status:
            self.good.append(moment)


async def measure_swap(old: LiveAppliance, new: LiveAppliance, *, with_box: bool) -> float:
    """The gap of one swap in seconds."""
    pollers, until = (Poller(old), Poller(new)), asyncio.Event()
    running = [asyncio.create_task(poller.run(until)) for poller in pollers]
    await asyncio.sleep(AROUND_SECONDS)
    parameters = {"role": "primary"} | ({"data_sync_first": "1"} if with_box else {})
    answer = await asyncio.to_thread(lambda: new.command("set_failover_role", **parameters))
    if not answer.tag.endswith("success"):
        raise SystemExit(f"The swap was refused: {answer.text}")
    await asyncio.to_thread(lambda: wait_for("the swap", lambda: new.role() == "primary", 120))
    await asyncio.sleep(AROUND_SECONDS)
    until.set()
    await asyncio.gather(*running)
    return min(pollers[1].good) - max(pollers[0].good)


def settle(old: LiveAppliance, new: LiveAppliance) -> None:
    """Wait until the swap has ended on both sides."""
    wait_for("roles", lambda: old.role() == "backup" and new.role() == "primary", 60)
    running = "SELECT 1 FROM sync_rolechange WHERE status = 'running'"
    wait_for("the end of the swap", lambda: not old.rows(running) and not new.rows(running), 60)


def measure(pair: LivePair, swaps: int, *, with_box: bool) -> None:
    """Swap to and fro and print each gap and the median."""
    name = "with the data-sync box (drain included)" if with_box else "without the data-sync box"
    gaps = []
    for _ in range(swaps):
        old, new = (pair.site1, pair.site2) if pair.site1.role() == "primary" else (pair.site2, pair.site1)
        gaps.append(asyncio.run(measure_swap(old, new, with_box=with_box)))
        settle(old, new)
        print(f"  {old.name} -> {new.name}: {gaps[-1] * 1000:8.1f} ms", flush=True)
    if gaps:
        print(f"planned swap {name}: median of {len(gaps)}: {statistics.median(gaps) * 1000:.1f} ms", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=10)
    parser.add_argument("--with-box", type=int, default=3)
    parser.add_argument("--port", type=int, default=9443)
    wishes = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="failover-bench-") as folder:
        pair = LivePair.below(Path(folder), port=wishes.port)
        try:
            pair.start()
            pair.site1.manage("demo_content")
            pair.establish_from_shell()
            pair.wait_until_synchronised()
            measure(pair, wishes.swaps, with_box=False)
            measure(pair, wishes.with_box, with_box=True)
        finally:
            pair.stop()


if __name__ == "__main__":
    main()
