"""What an automatic data-sync is called in the history."""

from __future__ import annotations

import pytest
from django.utils import timezone

from appliances.choices import State, SyncStatus, SyncTrigger
from appliances.models import FailoverRelationship
from sync.datasync import pull
from sync.models import SyncRun
from tests.sync.pairs import establish

pytestmark = pytest.mark.django_db


def test_the_first_of_a_relationship_is_called_so_and_the_next_is_by_interval() -> None:
    establish(State.B_IDLE)
    assert pull.automatic_trigger() == SyncTrigger.FIRST
    SyncRun.objects.create(trigger=SyncTrigger.FIRST, status=SyncStatus.SUCCESS)
    assert pull.automatic_trigger() == SyncTrigger.INTERVAL


def test_after_a_swap_the_first_one_in_the_other_direction_is_by_interval() -> None:
    establish(State.B_IDLE)
    FailoverRelationship.objects.update(last_pulled_at=timezone.now())
    assert pull.automatic_trigger() == SyncTrigger.INTERVAL
