"""The commands of the shell: what they print and how they end. Pairs of two processes are in tests/e2e."""

from __future__ import annotations

import datetime as dt
import io
import json
import socket
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper
from django.utils import timezone

from appliances.choices import ChangeKind, ProbeOutcome, Role, State, SyncStage, SyncStatus, SyncTrigger
from appliances.services.keys import generate_inter_appliance_key, set_inter_appliance_key
from sync import health, journal
from sync.datasync import lease
from sync.health import Health
from sync.management import shell
from sync.management.commands import sync_now
from sync.management.commands.sync_now import Command as SyncNow
from sync.models import FileScrub, PeerView, RoleChange, SyncRun
from sync.peer import identity
from sync.rules.progress import RunningSync
from tests.sync.pairs import establish

pytestmark = pytest.mark.django_db


def call(name: str, *arguments: str) -> tuple[int, str]:
    """The exit code of a command, and what it printed (with the error it ended with)."""
    printed = io.StringIO()
    try:
        call_command(name, *arguments, stdout=printed, stderr=printed)
    except CommandError as error:
        return error.returncode, printed.getvalue() + str(error)
    except SystemExit as end:
        return int(str(end.code)), printed.getvalue()
    return 0, printed.getvalue()


@pytest.fixture
def dead_peer(settings) -> int:
    """The port of a peer that does not answer; this appliance holds a key."""
    settings.ALLOW_LOOPBACK_TARGETS = True
    set_inter_appliance_key(generate_inter_appliance_key())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def see_peer(state: State, **fields: object) -> None:
    """The peer has just answered that it is in this state, running the same product."""
    status = {
        "header": {"state": state.value},
        "host_name": "site2.example.com",
        "build": identity.product_build(),
        "schema": identity.schema_digest(),
        "healthy": True,
    } | fields
    PeerView.objects.create(status=status, answered_at=timezone.now(), outcome=ProbeOutcome.ANSWERED)


@pytest.mark.parametrize(("command", "role"), [("become_primary", "primary"), ("become_backup", "backup")])
class TestBothRoleCommands:
    def test_without_a_relationship_refuse(self, command: str, role: str):
        assert call(command) == (1, "Failover is not configured. Establish a relationship first.")

    def test_end_well_at_once_when_the_role_is_there(self, command: str, role: str):
        establish(State.P_ACTIVE if role == "primary" else State.B_IDLE)
        assert call(command) == (0, f"This appliance is {role} already.\n")

    def test_with_force_need_a_confirmation(self, command: str, role: str, monkeypatch: pytest.MonkeyPatch):
        establish(State.B_IDLE if role == "primary" else State.P_ACTIVE)
        monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
        code, printed = call(command, "--force")
        assert code == 1
        assert f"This appliance becomes {role} even if its peer cannot be contacted." in printed
        assert "no data-sync has succeeded yet" in printed
        assert printed.endswith("Nothing was changed. Confirm with --yes.")

    def test_with_force_do_it_though_the_peer_is_dead(self, command: str, role: str, dead_peer: int):
        establish(State.B_IDLE if role == "primary" else State.P_ACTIVE, peer_port=dead_peer)
        code, printed = call(command, "--force", "--yes")
        assert (code, journal.read().role) == (0, role), printed
        assert f"This appliance is {role} now." in printed
        assert RoleChange.objects.get().requested_by.endswith("shell)")

    def test_without_force_change_nothing_while_the_peer_is_dead(self, command: str, role: str, dead_peer: int):
        establish(State.B_IDLE if role == "primary" else State.P_ACTIVE, peer_port=dead_peer)
        code, _ = call(command)
        assert (code, journal.read().role != role) == (1, True)

    def test_with_a_data_sync_are_refused_while_the_peer_is_dead(self, command: str, role: str, dead_peer: int):
        establish(State.B_IDLE if role == "primary" else State.P_ACTIVE, peer_port=dead_peer)
        code, printed = call(command, "--with-data-sync", "--force", "--yes")
        assert code == 1
        assert "no data-sync can be pulled" in printed

    def test_do_not_begin_beside_a_running_change(self, command: str, role: str, dead_peer: int):
        establish(State.B_IDLE if role == "primary" else State.P_ACTIVE, peer_port=dead_peer)
        see_peer(State.P_ACTIVE if role == "primary" else State.B_IDLE)
        RoleChange.objects.create(kind=ChangeKind.SWITCHOVER, target_role=Role.PRIMARY)
        code, _ = call(command)
        assert code == 1


def connections(peer_host: str, peer_port: str, reverse_host: str, reverse_port: str) -> list[str]:
    """The arguments of `establish`."""
    return [
        f"--peer-host={peer_host}",
        f"--peer-port={peer_port}",
        f"--reverse-host={reverse_host}",
        f"--reverse-port={reverse_port}",
    ]


class TestEstablish:
    def test_without_a_key_names_the_step_and_the_remedy(self, settings):
        settings.ALLOW_LOOPBACK_TARGETS = True
        code, printed = call("establish", *connections("127.0.0.2", "8443", "127.0.0.1", "8443"))
        assert code == 1
        assert printed.startswith("Inter-appliance key: This appliance has no inter-appliance key.")

    @pytest.mark.django_db(transaction=True)
    def test_with_nobody_there_names_the_step(self, dead_peer: int):
        code, printed = call("establish", *connections("127.0.0.1", str(dead_peer), "127.0.0.1", "8443"))
        assert code == 1
        assert printed.startswith("TCP connection: ")

    @pytest.mark.parametrize("port", ["0", "-1", "65536", "99999999999999999999"])
    def test_a_port_that_is_none_is_refused(self, port: str, settings):
        settings.ALLOW_LOOPBACK_TARGETS = True
        set_inter_appliance_key(generate_inter_appliance_key())
        code, printed = call("establish", *connections("127.0.0.2", port, "127.0.0.1", "8443"))
        assert code == 1
        assert printed.startswith("What was entered: ")


class TestFailoverStatus:
    @pytest.fixture(autouse=True)
    def healthy(self) -> None:
        health.write(Health(True, health.HEALTHY))

    def healthy_pair(self) -> None:
        establish(State.P_ACTIVE)
        now = timezone.now()
        see_peer(State.B_IDLE, last_sync_at=now.timestamp(), last_sync_status="success")

    def test_without_a_relationship_ends_with_2(self):
        code, printed = call("failover_status")
        assert code == 2
        assert "not configured" in printed

    def test_of_a_healthy_pair_ends_with_0(self):
        self.healthy_pair()
        code, printed = call("failover_status")
        assert code == 0, printed
        assert "Problem" not in printed
        assert "site2.example.com (127.0.0.1:443): Backup" in printed

    def test_as_json_has_the_same_facts(self):
        self.healthy_pair()
        code, printed = call("failover_status", "--json")
        data = json.loads(printed)
        assert (code, data["problems"]) == (0, [])
        assert (data["appliance"]["role"], data["peer"]["role"]) == ("primary", "backup")
        assert data["last_data_sync"]["status"] == "success"

    def test_with_a_silent_peer_ends_with_1_and_says_so(self):
        self.healthy_pair()
        PeerView.objects.update(answered_at=timezone.now() - dt.timedelta(seconds=11))
        code, printed = call("failover_status")
        assert code == 1
        assert "The peer site2.example.com does not answer." in printed
        assert "does not answer, was: Backup" in printed

    def test_a_superseded_peer_is_not_listed_as_primary(self):
        establish(State.P_ACTIVE)
        see_peer(State.P_SUPERSEDED)
        _, printed = call("failover_status")
        assert "site2.example.com (127.0.0.1:443): does not serve, superseded by this appliance" in printed
        assert "Peer answered:       0 s ago, 2" in printed

    def test_with_another_build_on_the_peer_ends_with_1(self):
        self.healthy_pair()
        view = PeerView.objects.get()
        view.status["build"] = "2.0.0 (build-x)"
        view.save()
        code, printed = call("failover_status")
        assert code == 1
        assert "site2.example.com runs 2.0.0 (build-x)" in printed

    @pytest.mark.parametrize(
        "status",
        [{}, {"header": 7}, {"header": {"state": "nonsense"}}, {"last_sync_at": "soon"}, {"last_sync_at": 1e300}],
    )
    def test_survives_whatever_is_kept_of_the_peer(self, status: dict[str, object]):
        establish(State.B_IDLE)
        PeerView.objects.create(status=status)
        assert call("failover_status", "--json")[0] == 1

    def test_shows_what_is_going_on(self):
        self.healthy_pair()
        RoleChange.objects.create(kind=ChangeKind.SWITCHOVER, target_role=Role.BACKUP)
        SyncRun.objects.create(trigger=SyncTrigger.SYNC_NOW, rows_total=10, rows_done=5)
        _, printed = call("failover_status")
        assert "become backup: In progress, Requested" in printed
        assert "Comparing, 5 of 10 rows" in printed


class TestSyncNow:
    def test_without_a_relationship_is_refused(self):
        code, printed = call("sync_now")
        assert code == 1
        assert "not configured" in printed

    def test_on_a_primary_with_a_dead_backup_is_refused(self, dead_peer: int):
        establish(State.P_ACTIVE, peer_port=dead_peer)
        assert call("sync_now")[0] == 1

    @pytest.mark.usefixtures("running_broker")
    def test_without_a_worker_it_is_not_finished_in_time(self):
        establish(State.B_IDLE)
        code, printed = call("sync_now", "--timeout", "0.5")
        assert code == 2, printed
        assert "No worker has begun the data-sync." in printed

    def test_follows_one_that_runs_already(self):
        establish(State.B_IDLE)
        run = lease.claim(SyncTrigger.INTERVAL)
        SyncRun.objects.filter(pk=run.pk).update(rows_total=4, rows_done=1)
        code, printed = call("sync_now", "--timeout", "0.5")
        assert code == 2
        assert "A data-sync is running already: it is followed." in printed
        assert "Comparing, 1 of 4 rows" in printed
        assert printed.endswith("The time is up: the data-sync goes on.")


def test_the_outcome_of_a_data_sync_is_the_exit_code():
    asked_at = timezone.now()
    run = SyncRun.objects.create(trigger=SyncTrigger.SYNC_NOW, status=SyncStatus.SUCCESS)
    printed = io.StringIO()
    SyncNow(stdout=printed)._follow(asked_at, 5)
    assert printed.getvalue().startswith("Done: ")
    assert "Done: Done" not in printed.getvalue()
    for status, code in ((SyncStatus.FAILED, 1), (SyncStatus.REFUSED, 1), (SyncStatus.CANCELLED, 2)):
        SyncRun.objects.filter(pk=run.pk).update(status=status, message="why")
        with pytest.raises(CommandError, match="why") as caught:
            SyncNow(stdout=printed)._follow(asked_at, 5)
        assert caught.value.returncode == code


class Terminal(io.StringIO):
    """Where a person looks."""

    def isatty(self) -> bool:
        return True


def running(**fields: Any) -> RunningSync:
    run = SyncRun(trigger=SyncTrigger.SYNC_NOW, stage=SyncStage.BLOBS, started_at=timezone.now(), **fields)
    return run.progress(timezone.now())


def test_a_terminal_gets_a_bar_that_is_drawn_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "120")
    printed = Terminal()
    display = shell.Display(OutputWrapper(printed))
    for done in (0, 20_000_000, 40_000_000):
        display.show(running(blobs_total=4, blobs_done=1, bytes_total=40_000_000, bytes_done=done, rate=2e6))
    display.clear()
    text = printed.getvalue()
    assert "\n" not in text
    assert f"[{'#' * 12}{'-' * 12}]  50 % Receiving files, 1 of 4 files, 20.0 of 40.0 MB" in text
    assert "100 %" in text
    assert text.endswith("\r\x1b[2K")


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch):
    printed = io.StringIO()
    display = shell.Display(OutputWrapper(printed))
    for done in (1, 2, 3):
        display.show(running(bytes_total=40_000_000, bytes_done=done * 10_000_000, rate=2e6))
    assert printed.getvalue() == "Receiving files, 10.0 of 40.0 MB, 2.0 MB/s, about 15 s left\n"
    monkeypatch.setattr(shell, "LINE_SECONDS", 0.0)
    display.show(running(bytes_total=40_000_000, bytes_done=39_000_000))
    assert len(printed.getvalue().splitlines()) == 2


def test_a_data_sync_whose_worker_was_stopped_is_followed_into_the_next(monkeypatch: pytest.MonkeyPatch):
    asked_at, printed = timezone.now(), io.StringIO()
    fields = {"trigger": SyncTrigger.SYNC_NOW, "finished_at": timezone.now()}
    cut = SyncRun.objects.create(status=SyncStatus.FAILED, code=lease.ABANDONED_CODE, **fields)
    with monkeypatch.context() as patch:
        patch.setattr(sync_now, "RESTART_SECONDS", 0.0)
        with pytest.raises(CommandError, match="did not succeed"):
            SyncNow(stdout=printed)._follow(asked_at, 5)
    next_one = SyncRun.objects.create(status=SyncStatus.SUCCESS, rows_total=3, rows_done=3, **fields)
    watched = iter([SyncRun.objects.get(pk=cut.pk), next_one])
    monkeypatch.setattr(SyncNow, "_watch", lambda *_: next(watched))
    SyncNow(stdout=printed)._follow(asked_at, 5)
    assert "The worker was stopped in the middle." in printed.getvalue()
    assert "Done: 3 of 3 rows." in printed.getvalue()


def test_one_that_ran_already_is_followed_to_its_end(monkeypatch: pytest.MonkeyPatch):
    run, printed = lease.claim(SyncTrigger.INTERVAL), io.StringIO()
    monkeypatch.setattr("time.sleep", lambda _: lease.end(run, SyncStatus.SUCCESS))
    SyncNow(stdout=printed)._follow(timezone.now(), 5)
    assert "Done: nothing had changed." in printed.getvalue()


def test_ctrl_c_leaves_the_data_sync_running_and_says_so(monkeypatch: pytest.MonkeyPatch):
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    establish(State.B_IDLE)
    run = lease.claim(SyncTrigger.INTERVAL)
    monkeypatch.setattr("time.sleep", interrupted)
    code, printed = call("sync_now")
    assert (code, SyncRun.objects.get(pk=run.pk).status) == (2, SyncStatus.RUNNING)
    assert "the data-sync goes on in its worker" in printed


def test_the_state_of_the_stored_files_is_told():
    establish(State.B_IDLE)
    at = timezone.now().timestamp() - 7200
    FileScrub.objects.create(counts={"00": 3}, checked={"00": [at, 2, at]})
    assert "2 of 3 verified, oldest check 2 h ago" in call("failover_status")[1]
    assert json.loads(call("failover_status", "--json")[1])["stored_files"]["verified"] == 2
