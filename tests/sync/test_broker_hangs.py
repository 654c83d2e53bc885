"""A message broker that hangs without closing holds up neither the turns nor the mails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliances.host import broker

HELD_SECONDS = 4.0
PROGRAM = """
import json, os, signal, time
import django
django.setup()
from sync import tasks
first = tasks._enqueue(tasks.send_mail, expires=5)
os.kill({pid}, signal.SIGSTOP)
took = []
for _ in range(3):
    began = time.monotonic()
    assert tasks._enqueue(tasks.send_mail, expires=5) is False
    took.append(time.monotonic() - began)
os.kill({pid}, signal.SIGCONT)
print(json.dumps([first, took, tasks._enqueue(tasks.send_mail, expires=5)]))
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """A message broker of its own: its process id and its URL."""
    program = broker.find_server()
    if program is None:
        pytest.skip("there is no Redis or Valkey here")
    path = tmp_path / "broker.sock"
    with subprocess.Popen(broker.server_argv(program, path, tmp_path), stdout=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 10
            while not (path.exists() and broker.answers(path)):
                assert time.monotonic() < until, "the broker did not start"
                time.sleep(0.05)
            yield process.pid, f"redis+socket://{path}"
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


def test_what_puts_a_task_into_the_queue_of_a_stopped_broker_is_free_again_after_seconds(
    server: tuple[int, str], tmp_path: Path
) -> None:
    pid, url = server
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "REDIS_URL": url, "LOG_FORMAT": "json"}
    environment["DJANGO_SETTINGS_MODULE"] = "failover_site.settings"
    command = [sys.executable, "-c", PROGRAM.format(pid=pid)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=40, check=True)
    before, took, after = json.loads(done.stdout.splitlines()[-1])
    assert (before, after) == (True, True)
    assert max(took) < HELD_SECONDS
