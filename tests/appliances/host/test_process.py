"""The name of a process is nobody else's, now or later."""

from __future__ import annotations

import os
import subprocess
import sys

from appliances.host.process import is_alive, this_process


def name_of(process: subprocess.Popen[bytes]) -> str:
    with open(f"/proc/{process.pid}/stat") as stat:
        started = stat.read().rpartition(")")[2].split()[19]
    return f"{process.pid}:{started}:{this_process().split(':')[2]}"


def test_this_process_lives():
    assert is_alive(this_process())


def test_a_process_that_has_ended_is_dead_before_and_after_it_is_waited_for():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = name_of(process)
    assert is_alive(name)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and not yet waited for
    assert not is_alive(name)
    process.communicate()
    assert not is_alive(name)


def test_a_number_that_was_given_anew_is_not_the_old_process():
    pid, _, boot = this_process().split(":")
    assert not is_alive(f"{pid}:1:{boot}")


def test_a_process_from_before_the_machine_started_again_is_dead():
    pid, started, _ = this_process().split(":")
    assert not is_alive(f"{pid}:{started}:00000000")


def test_what_names_no_process_is_dead():
    assert [is_alive(name) for name in ("", "7", "7::", "x:y:z", ":::")] == [False] * 5
