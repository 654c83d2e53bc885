"""What a turn observes: whether a data-sync is due."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from appliances import selectors
from appliances.choices import SyncStatus
from appliances.models import FailoverRelationship
from sync import history
from sync.models import StatusEvent, SyncRun
from sync.observe import observe
from tests.sync import pair

pytestmark = pytest.mark.django_db


def is_sync_due() -> bool:
    relationship = selectors.relationship()
    assert relationship is not None
    return observe(relationship, None, is_driven=False, is_sync_running=False).is_sync_due


@pytest.mark.parametrize("row", ["30", "26 superseded"])
def test_an_old_primary_that_has_become_backup_pulls_at_once_and_once(row: str) -> None:
    pair.backup()
    pair.sync_run(status=SyncStatus.SUCCESS)
    assert not is_sync_due()
    history.record(f"role.{row}", "It became backup.")
    assert is_sync_due()
    StatusEvent.objects.update(at=timezone.now() + dt.timedelta(hours=1))
    assert not is_sync_due(), "a clock that was set back does not make it pull for an hour"
    StatusEvent.objects.update(at=timezone.now() - dt.timedelta(seconds=20))  # a run of `pair` began 10 s ago
    pair.sync_run(status=SyncStatus.FAILED)
    assert not is_sync_due(), "the next try follows as after every other failure"


@pytest.mark.parametrize(
    ("status", "code", "is_due"),
    [
        (SyncStatus.FAILED, "peer_silent", True),
        (SyncStatus.REFUSED, "recording_lost", True),
        (SyncStatus.REFUSED, "other_schema", False),
        (SyncStatus.SUCCESS, "", False),
    ],
)
def test_what_the_next_data_sync_goes_on_without_is_no_reason_to_wait(
    status: SyncStatus, code: str, is_due: bool
) -> None:
    pair.backup()
    FailoverRelationship.objects.update(established_at=timezone.now() - dt.timedelta(hours=1))
    SyncRun.objects.all().delete()
    pair.sync_run(status=status, code=code)
    SyncRun.objects.update(started_at=timezone.now() - dt.timedelta(seconds=21))
    assert is_sync_due() is is_due
