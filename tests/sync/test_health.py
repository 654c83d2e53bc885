"""The health of the appliance: what is looked at, and the file that carries it."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from pytest_django import Settings

from appliances import disk
from appliances.choices import State
from sync import cycle, failover, health, journal, serving
from sync.health import Health
from sync.models import PeerView, RoleJournal
from tests.sync import pair
from tests.sync.pairs import establish
from tests.tmpfs import FILLER, mounted


def put_on_file(**fields: object) -> None:
    content = {"healthy": True, "message": "This appliance is healthy.", "can_serve": True}
    content |= {"boottime": journal.boottime()} | fields
    settings.HEALTH_FILE.write_text(json.dumps(content))


def test_what_is_written_reads_back():
    health.write(Health(False, "The disk is nearly full."))
    assert health.read() == Health(False, "The disk is nearly full.")


def test_writing_leaves_one_file_and_no_other():
    health.write(Health(True, health.HEALTHY))
    health.write(Health(True, health.HEALTHY))
    assert list(settings.HEALTH_FILE.parent.glob("health*")) == [settings.HEALTH_FILE]


def test_a_folder_that_somebody_has_removed_is_made_again(settings: Settings, tmp_path: Path) -> None:
    settings.HEALTH_FILE = tmp_path / "removed" / "health.json"
    health.write(Health(True, health.HEALTHY))
    serving.renew(None, turn_began=1.0)
    assert health.read().is_healthy
    assert settings.HEALTH_FILE.parent.stat().st_mode & 0o777 == 0o700


def test_a_full_memory_ends_no_turn_and_nothing_is_left_behind(settings: Settings) -> None:
    with mounted(1, 100) as small:
        settings.HEALTH_FILE = small.folder / "health.json"
        health.write(Health(True, health.HEALTHY))
        small.fill(leaving=0)
        health.write(Health(False, "The disk is nearly full."))
        serving.renew(None, turn_began=1.0)
        assert health.read() == Health(True, health.HEALTHY)
        assert {file.name for file in small.folder.iterdir()} == {"health.json", FILLER}


@pytest.mark.django_db(transaction=True)
def test_a_primary_that_must_stop_does_though_its_health_cannot_be_written(settings: Settings, tmp_path: Path) -> None:
    """It stood still: nothing is known of when it turned last."""
    (tmp_path / "no-folder").touch()
    settings.HEALTH_FILE = tmp_path / "no-folder" / "health.json"
    establish(State.P_ACTIVE, peer_port=9)
    PeerView.load()
    status = pair.full_status(State.B_IDLE, acknowledged_timeout=None, takeover_after=10.0)
    PeerView.objects.update(status=status)
    cycle.turn(failover.Pulse())
    assert journal.read().state == State.P_UNCONFIRMED


def test_health_is_unknown_while_nothing_was_written():
    assert health.read() == health.UNKNOWN


def test_health_is_unknown_after_five_seconds_without_a_report():
    put_on_file(boottime=journal.boottime() - 4.5)
    assert health.read().is_healthy
    put_on_file(boottime=journal.boottime() - 5.1)
    assert health.read() == health.UNKNOWN


def test_a_report_from_before_the_machine_started_again_does_not_count():
    put_on_file(boottime=journal.boottime() + 1000)
    assert health.read() == health.UNKNOWN


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"7", b"\xff\xfe", b'{"healthy": true}', b"[" * 5000, b'{"healthy": NaN'],
)
def test_a_damaged_file_is_unknown_health_and_no_error(content: bytes):
    settings.HEALTH_FILE.write_bytes(content)
    assert health.read() == health.UNKNOWN


@pytest.mark.parametrize(
    "fields", [{"healthy": "yes"}, {"healthy": 1}, {"message": None}, {"boottime": "soon"}, {"boottime": None}]
)
def test_fields_of_the_wrong_kind_are_unknown_health(fields: dict[str, object]):
    put_on_file(**fields)
    assert health.read() == health.UNKNOWN


def test_a_folder_in_place_of_the_file_is_unknown_health():
    settings.HEALTH_FILE.mkdir()
    assert health.read() == health.UNKNOWN


@pytest.mark.django_db
@pytest.mark.usefixtures("running_broker")
class TestCollect:
    def test_an_appliance_without_relationship_is_healthy(self):
        assert health.collect() == Health(True, health.HEALTHY)

    @pytest.mark.parametrize("state", [State.P_ACTIVE, State.P_UNCONFIRMED, State.B_IDLE, State.B_YIELDED])
    def test_each_working_role_is_healthy(self, state: State):
        establish(state)
        assert health.collect().is_healthy

    def test_a_superseded_primary_is_not_healthy(self):
        establish(State.P_SUPERSEDED)
        assert health.collect().message.startswith("The peer has taken the primary role over")

    def test_a_role_without_relationship_is_not_healthy(self):
        RoleJournal.objects.create(pk=1, state=State.B_IDLE)
        assert "do not agree" in health.collect().message

    def test_a_relationship_without_role_is_not_healthy(self):
        establish(State.NONE)
        assert "do not agree" in health.collect().message

    def test_looking_changes_nothing(self):
        establish(State.P_ACTIVE)
        before = RoleJournal.objects.values().get()
        health.collect()
        assert RoleJournal.objects.values().get() == before

    def test_a_full_disk_is_not_healthy(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(disk, "least_bytes", lambda: 1 << 62)
        assert health.collect().message.startswith("The disk is nearly full")

    def test_a_data_folder_that_is_gone_is_not_healthy(self, settings, tmp_path: Path):
        settings.DATA_DIR = tmp_path / "gone"
        assert health.collect() == Health(False, "The data folder cannot be read.")

    def test_a_broker_that_does_not_answer_is_not_healthy(self, settings, tmp_path: Path):
        settings.REDIS_URL = f"redis+socket://{tmp_path / 'none.sock'}"
        assert health.collect().message.startswith("The message broker does not answer")

    def test_a_web_server_that_does_not_answer_is_not_healthy_and_cannot_serve(self):
        assert health.collect("It is silent.") == Health(False, "It is silent.", can_serve=False)

    def test_without_a_broker_clients_are_served_all_the_same(self, settings, tmp_path: Path):
        settings.REDIS_URL = f"redis+socket://{tmp_path / 'none.sock'}"
        assert health.collect().can_serve

    def test_a_broker_made_of_files_counts_as_reachable(self, settings):
        settings.REDIS_URL = "filesystem://"
        assert health.collect().is_healthy


@pytest.mark.django_db(transaction=True)
def test_a_database_that_takes_no_writes_is_not_healthy():
    if connection.vendor != "sqlite":
        pytest.skip("SQLite's own switch")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON")
        try:
            assert health.collect() == Health(False, "The database does not accept writes.", can_serve=False)
        finally:
            cursor.execute("PRAGMA query_only = OFF")


def test_threads_that_write_at_once_leave_one_whole_file():
    start, problems = threading.Barrier(3), []

    def write() -> None:
        start.wait()
        try:
            for _ in range(300):
                health.write(Health(True, health.HEALTHY))
        except OSError as error:
            problems.append(error)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert health.read() in (health.UNKNOWN, Health(True, health.HEALTHY))
    for thread in threads:
        thread.join()
    assert problems == []
    assert health.read().is_healthy
    assert list(settings.HEALTH_FILE.parent.glob("health*")) == [settings.HEALTH_FILE]
