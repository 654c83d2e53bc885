"""The own web server is watched from outside: as it runs, stopped, dead; nobody waits for it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core import signing
from django.test import Client

from appliances.choices import State
from sync import failover, health, journal, portal
from sync.health import Health
from sync.models import PeerView
from sync.portal import Portal
from sync.rules.timing import derive
from tests.sync import pair
from tests.sync.boxes import Box

TIMES = derive(10)
ASK = "from sync import portal\nresult = portal.ask_own_web_server(1.0)"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    made = Box(tmp_path_factory.mktemp("portal"), "127.0.0.1", name="site1.example.com")
    try:
        yield made
    finally:
        made.close()


def processes_of(box: Box) -> list[int]:
    """The web server and its workers."""
    assert box.web is not None
    children = Path(f"/proc/{box.web.pid}/task/{box.web.pid}/children").read_text().split()
    return [box.web.pid, *map(int, children)]


def test_the_web_server_answers_hangs_answers_again_and_dies(box: Box) -> None:
    assert box.run(ASK) is False
    box.start()
    assert box.run(ASK) is True
    stopped = processes_of(box)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        assert box.run(ASK) is False
        assert time.monotonic() - started < 3
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert box.run(ASK) is True
    box.stop_web()
    assert box.run(ASK) is False


@pytest.mark.django_db
def test_strangers_get_no_answer(client: Client) -> None:
    for token in ("", "x", "a:b:c"):
        assert client.get(portal.PATH, headers={"X-Token": token}).status_code == 404
    assert portal.answer(signing.dumps(["n", journal.boottime() - 60], salt="sync.portal.question")) is None


def test_nobody_waits_for_a_web_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    release, asked = threading.Event(), []

    def hang(_: float) -> bool:
        asked.append(1)
        return release.wait(10)

    now = [100.0]
    monkeypatch.setattr(journal, "boottime", lambda: now[0])
    watch = Portal(hang)
    watch.ask_if_due(TIMES)
    now[0] = 105.0
    watch.ask_if_due(TIMES)
    assert len(asked) == 1
    assert watch.problem(TIMES) == portal.NOT_YET
    release.set()
    deadline = time.monotonic() + 5
    while watch.served is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert watch.served == 100.0, "counted from when it was asked"
    assert watch.problem(TIMES) == portal.SILENT
    now[0] = 102.0
    assert watch.problem(TIMES) == ""


def armed_primary() -> None:
    """This appliance is primary, and its backup would take over after 10 s."""
    pair.paired(State.P_ACTIVE)
    status = pair.full_status(State.B_IDLE, acknowledged_timeout=None, takeover_after=10.0)
    PeerView.objects.update(status=status, answered_boottime=journal.boottime())


@pytest.mark.django_db(transaction=True)
def test_a_primary_whose_web_server_is_silent_stops_serving_in_time() -> None:
    armed_primary()
    pulse = failover.Pulse(Portal(lambda _: False))
    health.write(Health(False, portal.SILENT, can_serve=False))
    assert pulse.portal is not None
    pulse.portal.served = journal.boottime() - TIMES.isolation + 1
    failover.consider(pulse, stood_still=0)
    assert journal.read().state == State.P_ACTIVE
    pulse.portal.served = journal.boottime() - TIMES.isolation
    failover.consider(failover.Pulse(pulse.portal), stood_still=0)
    assert journal.read().state == State.P_UNCONFIRMED


@pytest.mark.django_db(transaction=True)
def test_a_primary_without_a_broker_goes_on_serving() -> None:
    armed_primary()
    pulse = failover.Pulse()
    health.write(Health(False, "The message broker does not answer: no background work is done."))
    failover.consider(pulse, stood_still=0)
    pulse.unwell_since = pulse.unwell_since and pulse.unwell_since - 100
    failover.consider(pulse, stood_still=0)
    assert journal.read().state == State.P_ACTIVE
