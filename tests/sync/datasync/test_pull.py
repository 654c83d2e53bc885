"""A data-sync between two real databases and stores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from appliances.choices import SyncStatus, SyncTrigger
from sync import journal
from sync.datasync import pull
from sync.models import SyncRun
from sync.rules.facts import Head
from tests.fakes import FakePeer
from tests.sync.datasync import world

There = Callable[..., Any]


def sync(peer: FakePeer, trigger: SyncTrigger = SyncTrigger.SYNC_NOW) -> SyncRun:
    return pull.pull_data(trigger, client=peer)  # type: ignore[arg-type]


def test_everything_of_the_primary_arrives_exactly(peer: FakePeer, there: There) -> None:
    there("account", "anna")
    there("account", "bob")
    there("store_file", "a.txt", b"content")
    there("store_file", "empty", b"")
    there("recording", "r", b"x" * 3_000_000)
    there("support_session", "Carol")
    there("events", 2500)

    run = sync(peer)

    assert run.status == SyncStatus.SUCCESS
    assert world.contents() == there("contents")
    assert world.blob_ids() == there("blob_ids")
    assert journal.read().initialised
    assert journal.read().head == Head(*there("head"))
    assert (run.rows_done, run.blobs_done) == (2 + 2 + 1 + 1 + 2500, 3)
