"""Sync Now and role changes while the message broker is gone (in the tests nobody listens at REDIS_URL)."""

from __future__ import annotations

import logging
import uuid

import pytest
from django.test import Client

from appliances.choices import ChangeKind, ChangeStatus, Role, State
from appliances.models import Account
from sync import tasks
from sync.errors import MessageRefused, SyncRefused
from sync.models import RoleChange, RoleJournal
from sync.peer import messages
from tests.sync.management.test_commands import call
from tests.sync.pairs import establish, settings_open

pytestmark = pytest.mark.django_db


@pytest.fixture
def backup() -> None:
    establish(State.B_IDLE)
    RoleJournal.objects.update(initialised=True)


def not_queued(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.task for record in caplog.records if record.message == "task not queued"]  # type: ignore[attr-defined]


@pytest.mark.usefixtures("backup")
def test_sync_now_says_that_the_broker_is_gone_and_what_to_do() -> None:
    with pytest.raises(SyncRefused, match="broker of the backup does not answer") as caught:
        tasks.sync_now("anna")
    assert (caught.value.reason, "log" in caught.value.remedy) == ("no_broker", True)


@pytest.mark.usefixtures("backup")
def test_sync_now_pressed_on_the_primary_is_refused_with_the_same_words() -> None:
    with pytest.raises(MessageRefused, match="broker of the backup does not answer") as caught:
        tasks.answer_sync_wish(messages.SyncWish("anna"))
    assert (caught.value.reason, caught.value.status) == ("no_broker", 409)


@pytest.mark.usefixtures("backup")
def test_the_page_shows_it_instead_of_an_error_page(client: Client) -> None:
    with settings_open():
        anna = Account.objects.create_superuser("anna", password="x")
    client.force_login(anna)
    answer = client.post("/login/management/failover/sync-now/", follow=True)
    assert answer.status_code == 200
    assert b"broker of the backup does not answer" in answer.content


@pytest.mark.usefixtures("backup")
def test_the_command_is_refused() -> None:
    code, printed = call("sync_now")
    assert (code, "broker of the backup does not answer" in printed) == (1, True)


@pytest.mark.usefixtures("backup")
def test_a_role_change_stands_though_its_hint_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    change = RoleChange.objects.create(kind=ChangeKind.SWITCHOVER, target_role=Role.PRIMARY)
    with caplog.at_level(logging.WARNING, logger="sync.tasks"):
        assert tasks.start_role_change(change) is False
    change.refresh_from_db()
    assert (change.status, not_queued(caplog)) == (ChangeStatus.RUNNING, ["sync.drive"])


@pytest.mark.usefixtures("backup")
def test_the_wish_of_the_primary_is_taken_though_its_hint_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    wish = messages.SwapWish(uuid.uuid4().hex, want_final_sync=True, requested_by="anna")
    with caplog.at_level(logging.WARNING, logger="sync.tasks"):
        assert isinstance(tasks.answer_swap_wish(wish), messages.Done)
    assert RoleChange.objects.get().status == ChangeStatus.RUNNING
    assert not_queued(caplog) == ["sync.drive"]
