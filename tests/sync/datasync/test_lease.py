"""One data-sync at a time; one whose process has died is ended by the next."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import time
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from appliances.choices import SyncStage, SyncStatus, SyncTrigger
from appliances.host.process import this_process
from sync import cycle, failover, journal
from sync.datasync import lease, pull
from sync.datasync.lease import LeaseLost, Progress
from sync.errors import SyncRefused
from sync.models import SyncRun

pytestmark = pytest.mark.django_db


def test_a_second_data_sync_is_refused_while_one_runs() -> None:
    run = lease.claim(SyncTrigger.FIRST)
    assert pull.is_running()
    with pytest.raises(SyncRefused) as caught:
        lease.claim(SyncTrigger.SYNC_NOW)
    assert caught.value.reason == "already_running"
    lease.end(run, SyncStatus.SUCCESS)
    assert not pull.is_running()
    assert SyncRun.objects.get(status=SyncStatus.SUCCESS) == run
    lease.claim(SyncTrigger.SYNC_NOW)


def test_a_run_whose_process_is_dead_is_taken_over() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    SyncRun.objects.create(trigger=SyncTrigger.FIRST, owner=f"{process.pid}:1:x", heartbeat_boottime=journal.boottime())
    assert not pull.is_running()
    run = lease.claim(SyncTrigger.SYNC_NOW)
    dead = SyncRun.objects.exclude(pk=run.pk).get()
    assert (dead.status, dead.code) == (SyncStatus.FAILED, "abandoned")
    assert dead.finished_at is not None


def test_the_sign_of_life_does_not_know_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    lease.claim(SyncTrigger.FIRST)
    tomorrow = time.time() + 86400
    monkeypatch.setattr(time, "time", lambda: tomorrow)
    monkeypatch.setattr(timezone, "now", lambda: dt.datetime.fromtimestamp(tomorrow, dt.UTC))
    assert pull.is_running()


def test_a_run_that_waits_for_one_answer_is_alive() -> None:
    lease.claim(SyncTrigger.FIRST)
    SyncRun.objects.update(heartbeat_boottime=journal.boottime() - 2 * pull.ANSWER_SECONDS)
    assert pull.is_running()


@pytest.mark.usefixtures("running_broker")
def test_a_turn_ends_the_dead_run_of_an_appliance_that_is_no_longer_backup() -> None:
    run = lease.claim(SyncTrigger.FIRST)
    cycle.turn(failover.Pulse())
    assert SyncRun.objects.get().status == SyncStatus.RUNNING
    pid, _, boot = this_process().split(":")
    SyncRun.objects.update(owner=f"{pid}:1:{boot}")
    cycle.turn(failover.Pulse())
    run.refresh_from_db()
    assert (run.status, run.code, run.message) == (SyncStatus.FAILED, "abandoned", lease.ABANDONED)
    assert run.finished_at is not None


def test_a_run_without_a_sign_of_life_is_taken_over_and_notices() -> None:
    run = lease.claim(SyncTrigger.FIRST)
    SyncRun.objects.update(heartbeat_boottime=journal.boottime() - lease.STALE_SECONDS - 1)
    other = lease.claim(SyncTrigger.SYNC_NOW)
    progress = Progress(run, lambda: None)
    with pytest.raises(LeaseLost):
        progress.save()
    with pytest.raises(LeaseLost):
        progress.hold()
    lease.end(run, SyncStatus.SUCCESS)
    run.refresh_from_db()
    other.refresh_from_db()
    assert (run.status, other.status) == (SyncStatus.FAILED, SyncStatus.RUNNING)


def test_progress_is_written_at_most_twice_a_second() -> None:
    run = lease.claim(SyncTrigger.FIRST)
    progress = Progress(run, lambda: None)
    progress.stage(SyncStage.ROWS)
    progress.add(rows=5, size_bytes=100)
    stored = SyncRun.objects.get()
    assert (stored.stage, stored.rows_done) == (SyncStage.ROWS, 0)
    progress.save()
    assert SyncRun.objects.get().rows_done == 5


@pytest.mark.django_db(transaction=True)
def test_an_end_that_the_full_disk_refuses_is_stored_as_soon_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    run = lease.claim(SyncTrigger.FIRST)

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE") and len(waited) < 2:
            raise OperationalError("database or disk is full")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        lease.end_surely(run, SyncStatus.FAILED, code="not_stored")
    assert not pull.is_running()
    assert SyncRun.objects.get().code == "not_stored"
    assert waited == [0.5, 1.0]
