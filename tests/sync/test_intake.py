"""What cannot be taken in stands in Status History; until when it is known what clients told either appliance."""

from __future__ import annotations

import dataclasses

import pytest
from django.utils import timezone

from appliances.choices import State, SyncStatus
from sync import intake, journal
from sync.models import StatusEvent, SyncRun
from tests.sync.pairs import establish

pytestmark = pytest.mark.django_db


def a_good_data_sync() -> SyncRun:
    return SyncRun.objects.create(trigger="interval", status=SyncStatus.SUCCESS, finished_at=timezone.now())


@pytest.mark.parametrize("state", [State.NONE, State.P_ACTIVE])
def test_who_serves_knows_what_clients_tell(state: State) -> None:
    establish(state)
    assert intake.known_until() is not None


def test_an_old_primary_knows_what_the_new_one_was_told_only_after_a_data_sync_as_its_backup() -> None:
    establish(State.B_IDLE)
    a_good_data_sync()  # as the backup that it was before
    for state in (State.P_ACTIVE, State.P_SUPERSEDED, State.B_IDLE):
        with journal.locked() as locked:
            locked.state = dataclasses.replace(locked.state, state=state)
        assert (intake.known_until() is not None) == (state == State.P_ACTIVE)
    run = a_good_data_sync()
    assert intake.known_until() == run.started_at
    SyncRun.objects.create(trigger="interval", status=SyncStatus.FAILED, finished_at=timezone.now())
    assert intake.known_until() == run.started_at


def told() -> list[str]:
    return list(StatusEvent.objects.order_by("pk").values_list("sentence", flat=True))


def test_what_stays_is_told_once_and_its_end_too() -> None:
    intake.tell({}, {})
    assert told() == []
    for _ in range(3):
        intake.tell({"'a.json' in the watched folder": "Operation not permitted"}, {})
    assert len(told()) == 1
    assert "'a.json' in the watched folder: Operation not permitted. All others are." in told()[0]
    for _ in range(2):
        intake.tell({}, {})
    assert told()[1:] == ["Nothing is left that could not be taken in."]


def test_a_refused_file_is_told_and_is_not_taken_for_what_stays() -> None:
    intake.tell({}, {f"{number}.json": "'x.webm' cannot be read: Input/output error." for number in range(7)})
    intake.tell({}, {})
    assert len(told()) == 1
    assert "0.json: 'x.webm' cannot be read: Input/output error; 1.json" in told()[0]
    assert "and 2 more" in told()[0]
