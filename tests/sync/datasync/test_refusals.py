"""When a data-sync must not happen, or stops: each case with its code, and nothing changed."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from appliances import blobs
from appliances.choices import SyncStatus, SyncTrigger
from appliances.models import (
    Account,
    Appliance,
    FailoverRelationship,
    FileStoreFile,
)
from sync import journal
from sync.datasync import pull
from sync.errors import SyncError
from sync.models import SyncRun
from sync.rules.facts import Head
from tests.fakes import FakePeer
from tests.sync.datasync import world
from tests.sync.datasync.test_pull import There, both_hold_the_same, sync


def refused(peer: FakePeer, code: str) -> None:
    before = world.contents()
    with pytest.raises(SyncError):
        sync(peer)
    assert world.contents() == before
    run = SyncRun.objects.first()
    assert run is not None
    assert (run.status, run.code) == (SyncStatus.REFUSED, code)
    assert run.message
    assert not pull.is_running()


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ({"state": "b_idle"}, "source_not_serving"),
        ({"state": "p_superseded"}, "source_not_serving"),
        ({"state": "p_unconfirmed"}, "source_not_serving"),
        ({"state": "none"}, "source_not_serving"),
        ({"state": "p_active", "term": 4}, "source_not_serving"),
        ({"state": "p_draining", "op_kind": "drain", "op_term": 0, "op_number": 1}, "operation_running"),
    ],
)
def test_a_source_that_may_not_serve_refuses(peer: FakePeer, there: There, state: dict[str, Any], code: str) -> None:
    there("account", "anna")
    there("set_state", state)
    refused(peer, code)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("pair_id", "cd" * 16, "other_pair"),
        ("guid", "33" * 16, "other_pair"),
        ("product", "another", "other_product"),
        ("build", "another", "other_build"),
        ("schema", "another", "other_schema"),
        ("head", Head(-1, 0), "source_older"),
        ("own_term", -1, "source_older"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    peer: FakePeer, there: There, field: str, value: Any, code: str
) -> None:
    import dataclasses

    there("account", "anna")
    world.set_state({"head_term": 0, "own_term": 0})
    peer.reply = lambda reply: dataclasses.replace(reply, **{field: value}) if hasattr(reply, field) else reply
    refused(peer, code)


def test_older_settings_are_refused(peer: FakePeer, there: There) -> None:
    there("account", "anna")
    world.set_state({"head_term": 0, "head_seq": 999})
    refused(peer, "source_older")


def test_another_asker_is_refused(peer: FakePeer, there: There) -> None:
    Appliance.objects.update(guid="33" * 16)
    refused(peer, "other_pair")


def test_without_a_backup_role_nothing_is_asked(peer: FakePeer) -> None:
    world.set_state({"state": "p_active"})
    with pytest.raises(SyncError, match="not the backup"):
        sync(peer)
    assert peer.asked == []
    assert not SyncRun.objects.exists()


@pytest.mark.parametrize("path", ["pull-rows", "pull-blobs", "push-append"])
def test_a_role_that_changes_meanwhile_stops_the_data_sync(peer: FakePeer, there: There, path: str) -> None:
    there("store_file", "a", b"a")
    world.event("ours")
    peer.before = lambda asked: world.set_state({"state": "p_active"}) if asked == path else None
    with pytest.raises(SyncError, match="not the backup"):
        sync(peer)
    assert not FileStoreFile.objects.exists()


def test_a_primary_that_gives_up_its_role_meanwhile_hands_out_nothing_more(peer: FakePeer, there: There) -> None:
    there("store_file", "a", b"a")
    peer.before = lambda asked: there("set_state", {"state": "b_idle"}) if asked == "pull-rows" else None
    refused(peer, "source_not_serving")


def test_a_final_data_sync_belongs_to_its_swap(peer: FakePeer, there: There) -> None:
    op = {"op_kind": "drain", "op_term": 0, "op_number": 1, "op_new_term": 1, "op_final_sync": True}
    there("account", "anna")
    there("set_state", {"state": "p_draining", **op})
    world.set_state({"state": "b_syncing", **op, "op_kind": "offered"})
    operation = journal.read().op
    run = pull.pull_data(SyncTrigger.ROLE_CHANGE, for_operation=operation, client=peer)  # type: ignore[arg-type]
    assert run.status == SyncStatus.SUCCESS
    both_hold_the_same(there)

    there("set_state", {"state": "p_active"})
    there("account", "bob")
    there("set_state", {"state": "p_draining"})
    peer.before = lambda asked: world.set_state({"state": "b_idle", "op_kind": ""}) if asked == "pull-rows" else None
    with pytest.raises(SyncError, match="has ended"):
        pull.pull_data(SyncTrigger.ROLE_CHANGE, for_operation=operation, client=peer)  # type: ignore[arg-type]
    assert SyncRun.objects.first().status == SyncStatus.CANCELLED  # type: ignore[union-attr]
    assert Account.objects.count() == 1


def test_an_ordinary_data_sync_makes_way_for_a_swap(peer: FakePeer, there: There) -> None:
    op = {"op_kind": "offered", "op_term": 0, "op_number": 1, "op_new_term": 1}
    there("store_file", "a", b"a")
    peer.before = lambda asked: world.set_state({"state": "b_syncing", **op}) if asked == "pull-rows" else None
    refused(peer, "operation_running")


def test_a_file_larger_than_the_disk_is_refused_before_it_is_fetched(peer: FakePeer, there: There) -> None:
    free = shutil.disk_usage("/").free
    there(
        "run",
        "from appliances.models import *; "
        f"FileStoreFile.objects.create(name='big', blob_id='0' * 64, size_bytes={free})",
    )
    if free < blobs.MAX_BLOB_BYTES:
        refused(peer, "no_space")
        assert "pull-blobs" not in peer.asked
    there(
        "run", f"from appliances.models import *; FileStoreFile.objects.update(size_bytes={blobs.MAX_BLOB_BYTES + 1})"
    )
    refused(peer, "blob_too_large")


def test_the_snapshot_is_gone_after_every_end(peer: FakePeer, there: There) -> None:
    left = (
        "from django.conf import settings; from pathlib import Path; "
        "result = [p.name for p in (Path(settings.DATA_DIR) / 'snapshots').glob('*')]"
    )
    there("account", "anna")
    sync(peer)
    assert there("run", left) == []
    there("account", "bob")
    peer.change = lambda path, frame: frame[:-3]
    with pytest.raises(SyncError):
        sync(peer)
    assert there("run", left) == []
    assert FailoverRelationship.objects.get().last_pulled_at is None
