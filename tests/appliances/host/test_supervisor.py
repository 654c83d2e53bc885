"""The supervisor, with real small child processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from appliances.host.supervisor import Backoff, Program, Supervisor

PATIENCE_SECONDS = 20


def shell(script: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", script)


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether a process runs; one that ended and was not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Watched(Supervisor):
    """A supervisor that stops as soon as a condition holds; it is looked at in each loop."""

    until: Callable[[Supervisor], object]
    end: float

    def _reap(self) -> None:
        super()._reap()
        assert time.monotonic() < self.end, "waited in vain"
        if not self._stops_wanted and self.until(self):
            self.stop()


def run(
    folder: Path, *programs: Program, until: Callable[[Supervisor], object], stop_seconds: float = 5.0
) -> tuple[Supervisor, list[str]]:
    """Run programs until a condition holds; the supervisor, and what it said."""
    said: list[str] = []
    backoff = Backoff(first_seconds=0.05, longest_seconds=0.4)
    supervisor = Watched(programs, folder=folder, say=said.append, backoff=backoff, stop_seconds=stop_seconds)
    supervisor.until, supervisor.end = until, time.monotonic() + PATIENCE_SECONDS
    supervisor.run()
    return supervisor, said


def test_a_child_that_ends_is_started_again(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    script = f"echo x >> {starts}; exit 3"
    run(tmp_path, Program("web", shell(script)), until=lambda _: starts.exists() and starts.read_text().count("x") == 3)


def test_the_wait_before_a_restart_doubles_up_to_its_limit() -> None:
    backoff = Backoff(first_seconds=0.5, longest_seconds=30)
    assert [backoff.delay(failures) for failures in (1, 2, 3, 7, 50)] == [0.5, 1, 2, 30, 30]


def test_a_child_that_ran_for_a_good_while_starts_again_without_a_grudge(tmp_path: Path) -> None:
    supervisor = Supervisor([Program("web", shell("true"))], folder=None, say=print, backoff=Backoff(good_seconds=60))
    child, now = supervisor.children[0], 1000.0
    supervisor.clock = lambda: now
    child.started_at = 990.0
    supervisor._failed(child, "test")
    supervisor._failed(child, "test")
    assert (child.failures, child.start_at) == (2, 1001.0)
    child.started_at = 900.0
    supervisor._failed(child, "test")
    assert (child.failures, child.start_at) == (1, 1000.5)


def test_the_next_program_starts_only_when_the_one_before_is_ready(tmp_path: Path) -> None:
    up, order = tmp_path / "up", tmp_path / "order"
    first = Program("first", shell(f"sleep 0.3; echo first >> {order}; touch {up}; sleep 60"), is_ready=up.exists)
    second = Program("second", shell(f"echo second >> {order}; sleep 60"))
    run(tmp_path, first, second, until=lambda _: order.exists() and "second" in order.read_text())
    assert order.read_text().split() == ["first", "second"]


def test_the_start_goes_on_without_a_program_that_is_not_ready_in_time(tmp_path: Path) -> None:
    up = tmp_path / "up"
    first = Program("first", shell("sleep 60"), is_ready=lambda: False, ready_within_seconds=0.2)
    run(tmp_path, first, Program("second", shell(f"touch {up}; sleep 60")), until=lambda _: up.exists())


def test_a_program_of_one_time_is_not_started_again_and_gets_its_input(tmp_path: Path) -> None:
    out = tmp_path / "out"
    step = Program("step", shell(f"cat >> {out}"), stdin=b"typed", once=True)
    after = tmp_path / "after"
    run(tmp_path, step, Program("next", shell(f"touch {after}; sleep 60")), until=lambda _: after.exists())
    assert out.read_text() == "typed"


def test_a_failed_program_of_one_time_is_remembered_and_does_not_hold_up_the_rest(tmp_path: Path) -> None:
    after = tmp_path / "after"
    supervisor, _ = run(
        tmp_path,
        Program("step", shell("echo wrong key; exit 1"), once=True),
        Program("next", shell(f"touch {after}; sleep 60")),
        until=lambda _: after.exists(),
    )
    assert [child.has_failed for child in supervisor.children] == [True, False]
    assert supervisor.children[0].last_line == "wrong key"


def test_a_program_of_one_time_that_is_not_needed_is_left_out(tmp_path: Path) -> None:
    out, after = tmp_path / "out", tmp_path / "after"
    step = Program("step", shell(f"touch {out}"), once=True, is_needed=lambda: False)
    run(tmp_path, step, Program("next", shell(f"touch {after}; sleep 60")), until=lambda _: after.exists())
    assert not out.exists()


def test_a_stop_ends_children_in_order_and_kills_those_that_do_not_listen(tmp_path: Path) -> None:
    up, order = tmp_path / "up", tmp_path / "order"
    base = Program(
        "base", shell(f"trap 'echo base >> {order}; exit' TERM; while :; do sleep 0.05; done"), stops_last=True
    )
    deaf = Program("deaf", shell(f"trap '' TERM; touch {up}; while :; do sleep 0.05; done"))
    good = Program("good", shell(f"trap 'echo good >> {order}; exit' TERM; while :; do sleep 0.05; done"))
    started = time.monotonic()
    supervisor, _ = run(
        tmp_path, base, deaf, good, until=lambda s: up.exists() and bool(s.children[2].process), stop_seconds=1.0
    )
    assert time.monotonic() - started < PATIENCE_SECONDS / 2
    assert order.read_text().split() == ["good", "base"]
    assert all(child.process is None for child in supervisor.children)


def test_a_stop_reaches_what_a_child_had_started_itself(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"sleep 300 & echo $! > {pid_file}.new; mv {pid_file}.new {pid_file}; wait"
    run(tmp_path, Program("web", shell(script)), until=lambda _: pid_file.exists())
    wait_until(lambda: not is_running(int(pid_file.read_text())))


def test_loud_lines_are_said_and_all_lines_are_kept(tmp_path: Path) -> None:
    loud = json.dumps({"level": "error", "event": "disk full"})
    quiet = json.dumps({"level": "info", "event": "turn"})
    script = f"echo '{quiet}'; echo '{loud}'; echo plain words; touch {tmp_path}/up; sleep 60"
    _, said = run(
        tmp_path / "logs",
        Program("web", shell(script), plain_level="info"),
        until=lambda _: (tmp_path / "up").exists() and "plain" in (tmp_path / "logs" / "web.log").read_text(),
    )
    assert said == [loud]
    kept = [json.loads(line) for line in (tmp_path / "logs" / "web.log").read_text().splitlines()]
    assert [fields["event"] for fields in kept] == ["turn", "disk full", "output"]


@pytest.fixture
def supervisor_process(tmp_path: Path) -> subprocess.Popen[bytes]:
    """A supervisor in a process of its own, with a child that writes down its pid and would run for ever."""
    script = textwrap.dedent(
        f"""
        from pathlib import Path
        from appliances.host.supervisor import Program, Supervisor
        child = ("/bin/sh", "-c", "echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; exec sleep 300")
        Supervisor([Program("web", child)], folder=Path("{tmp_path}"), say=print).run()
        """
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    wait_until((tmp_path / "pid").exists)
    return process


def test_no_child_outlives_a_killed_supervisor(supervisor_process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    child = int((tmp_path / "pid").read_text())
    assert is_running(child)
    supervisor_process.kill()
    supervisor_process.wait(PATIENCE_SECONDS)
    wait_until(lambda: not is_running(child))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything(
    supervisor_process: subprocess.Popen[bytes], tmp_path: Path, number: signal.Signals
) -> None:
    child = int((tmp_path / "pid").read_text())
    assert os.getpgid(child) != os.getpgid(supervisor_process.pid)
    supervisor_process.send_signal(number)
    assert supervisor_process.wait(PATIENCE_SECONDS) == 0
    assert not is_running(child)


def test_a_signal_that_comes_by_two_ways_still_lets_the_children_end_by_themselves(tmp_path: Path) -> None:
    up, order = tmp_path / "up", tmp_path / "order"
    slow = f"trap 'sleep 0.3; echo ended >> {order}; exit' TERM; touch {up}; while :; do sleep 0.05; done"

    def signal_twice(supervisor: Supervisor) -> bool:
        if up.exists() and not supervisor._stops_wanted:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
        return False

    run(tmp_path, Program("slow", shell(slow)), until=signal_twice)
    assert order.read_text() == "ended\n"
