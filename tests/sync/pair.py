"""Rows that put this appliance into a situation, as the other parts would have written them."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, replace
from typing import Any

from django.utils import timezone

from appliances.choices import (
    ChangeKind,
    ChangeStep,
    FolderState,
    OperationKind,
    ProbeOutcome,
    Role,
    State,
    SyncStage,
    SyncStatus,
    SyncTrigger,
)
from appliances.models import FailoverRelationship, Folder, FolderPlace
from sync import health, history, probes
from sync.health import Health
from sync.models import PeerView, RoleChange, RoleJournal, SyncRun
from sync.peer import identity, messages
from sync.rules.facts import RoleState, header_of
from tests.sync.pairs import settings_open

LAG = dt.timedelta(minutes=4)


def paired(state: State = State.P_ACTIVE, peer_state: State = State.B_IDLE, **status: Any) -> None:
    """This appliance in `state` with a peer in `peer_state` that answered just now and synchronised 4 minutes ago."""
    now = timezone.now()
    FailoverRelationship.objects.create(
        pair_id="a" * 32,
        peer_guid="b" * 32,
        peer_name="site2.example.com",
        peer_host="10.0.4.12",
        peer_port=8443,
        reverse_host="10.0.4.11",
        reverse_port=8443,
        is_founding_primary=True,
    )
    FailoverRelationship.objects.update(established_at=now - dt.timedelta(days=1))
    health.write(Health(True, health.HEALTHY))
    RoleJournal.load()
    RoleJournal.objects.update(state=state, term=4, own_term=4, initialised=True)
    PeerView.load()
    said = {
        "header": {"state": peer_state, "term": 4, "op": None},
        "host_name": "site2.example.com",
        "product": "1.0.0",
        "build": identity.product_build(),
        "schema": identity.schema_digest(),
        "healthy": True,
        "last_sync_at": (now - LAG).timestamp(),
        "backup_operations": True,
        "data_sync_interval": 900.0,
        **status,
    }
    PeerView.objects.update(status=said, answered_at=now, probed_at=now, outcome=ProbeOutcome.ANSWERED)
    history.record("test.paired", "The relationship was established.", evidence={"requested_by": "<admin>"})


def backup(**status: Any) -> None:
    """This appliance is the backup, last synchronised 4 minutes ago."""
    paired(State.B_IDLE, State.P_ACTIVE, **status)
    sync_run(status=SyncStatus.SUCCESS, stage=SyncStage.DONE, reflects_at=timezone.now() - LAG)


def conflict() -> None:
    """Both appliances are primary, seen more than once."""
    paired(State.P_ACTIVE, State.P_ACTIVE)
    PeerView.objects.update(same_role_polls=3)


def silent(minutes: int = 3) -> None:
    """The peer has not answered for some minutes."""
    PeerView.objects.update(
        outcome=ProbeOutcome.SILENT,
        answered_at=timezone.now() - dt.timedelta(minutes=minutes),
        detail="10.0.4.12:8443 refused the connection.",
    )


def sync_run(**fields: Any) -> SyncRun:
    """A data-sync, running in the middle of its files unless told otherwise."""
    values = {
        "trigger": SyncTrigger.INTERVAL,
        "stage": SyncStage.BLOBS,
        "rows_total": 2310,
        "rows_done": 2310,
        "blobs_total": 41,
        "blobs_done": 12,
        "bytes_total": 38_500_000,
        "bytes_done": 14_200_000,
        **fields,
    }
    run = SyncRun.objects.create(**values)
    SyncRun.objects.filter(pk=run.pk).update(started_at=timezone.now() - dt.timedelta(seconds=10))
    return run


def swapping() -> RoleChange:
    """This primary is in the middle of a planned swap with the data-sync first."""
    paired(State.P_DRAINING)
    RoleJournal.objects.update(op_kind=OperationKind.DRAIN, op_term=4, op_number=1, op_new_term=5, op_final_sync=True)
    return RoleChange.objects.create(
        kind=ChangeKind.SWITCHOVER,
        target_role=Role.BACKUP,
        want_final_sync=True,
        requested_by="admin",
        step=ChangeStep.FINAL_SYNC,
    )


def full_status(state: State, **fields: Any) -> dict[str, Any]:
    """A whole STATUS of the peer in `state`, as it is kept."""
    header = header_of(RoleState(state=state, term=4, own_term=4 if state == State.P_ACTIVE else 3, initialised=True))
    status = messages.Status(
        header=header,
        guid="b" * 32,
        host_name="site2.example.com",
        site_host_name="support.example.com",
        product="1.0.0",
        build=identity.product_build(),
        schema="s",
        clock=0.0,
        free_bytes=2**40,
        healthy=True,
        health_message="",
        backup_operations=True,
        data_sync_interval=900.0,
        takeover_after=None,
        test_ips=[],
        acknowledged_timeout=None,
        last_sync_at=None,
        last_sync_status="",
        change="",
        pins=[],
        acknowledged=probes.announcement(),
    )
    return asdict(replace(status, **fields))


def folder(state: FolderState, **said: object) -> None:
    """A folder whose latest data-sync ended so."""
    with settings_open():
        Folder.objects.get_or_create(name="web")
    outcome = {"state": state.value, "reported_count": 0, **said}
    FolderPlace.objects.update_or_create(name="web", defaults={"path": "/srv/web", "outcome": outcome})
