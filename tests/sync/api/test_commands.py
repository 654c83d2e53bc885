"""set_failover_role, as far as one appliance alone can show it; swaps of two are in tests/e2e."""

from __future__ import annotations

import socket
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest
from pytest_django import Settings

from appliances.choices import ChangeKind, ChangeStatus, Role, State
from appliances.services.keys import generate_inter_appliance_key, set_inter_appliance_key
from sync import journal
from sync.models import RoleChange, RoleJournal
from tests.sync.api.conftest import NAMESPACE
from tests.sync.pairs import establish

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("healthy")]

Ask = Callable[..., ET.Element]


def text(root: ET.Element, tag: str) -> str:
    assert root.tag == f"{NAMESPACE}{tag}"
    return root.text or ""


@pytest.fixture
def dead_port() -> int:
    """A port of 127.0.0.1 where nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.mark.parametrize("role", [None, "", "none", "Primary", "primary ", "x" * 5000, "\x00", "\ufffd"])
def test_an_unknown_role_is_an_error(ask: Ask, role: str | None):
    root = ask("set_failover_role", **({} if role is None else {"role": role}))
    assert text(root, "error") == "The parameter role must be primary or backup."


@pytest.mark.parametrize("name", ["data_sync_first", "force"])
@pytest.mark.parametrize("value", ["2", "yes", "true", "-1", "\uff11"])
def test_a_switch_that_is_neither_1_nor_0_is_an_error(ask: Ask, name: str, value: str):
    root = ask("set_failover_role", role="backup", **{name: value})
    assert text(root, "error") == f"The parameter {name} must be 1 or 0."


def test_without_a_relationship_there_is_no_role_to_set(ask: Ask):
    answer = text(ask("set_failover_role", role="primary"), "error")
    assert answer == "Failover is not configured. Establish a relationship first."


@pytest.mark.parametrize(("state", "role"), [(State.P_ACTIVE, "primary"), (State.B_IDLE, "backup")])
@pytest.mark.parametrize("switches", [{}, {"data_sync_first": "1", "force": "1"}])
def test_the_role_it_has_already_is_a_success_at_once(ask: Ask, state: State, role: str, switches: dict[str, str]):
    establish(state)
    assert text(ask("set_failover_role", role=role, **switches), "success") == "Successfully changed role."
    assert not RoleChange.objects.exists()


def test_a_role_change_that_runs_is_not_hidden_by_the_role_it_has(ask: Ask):
    establish(State.P_ACTIVE)
    RoleChange.objects.create(kind=ChangeKind.SWITCHOVER, target_role=Role.BACKUP, status=ChangeStatus.RUNNING)
    assert text(ask("set_failover_role", role="primary"), "error")


class TestWithADeadPeer:
    @pytest.fixture(autouse=True)
    def alone(self, dead_port: int, settings) -> None:
        settings.ALLOW_LOOPBACK_TARGETS = True
        set_inter_appliance_key(generate_inter_appliance_key())
        self.port = dead_port

    def test_the_backup_becomes_primary_without_force(self, ask: Ask):
        establish(State.B_IDLE, peer_port=self.port)
        assert text(ask("set_failover_role", role="primary"), "success") == "Successfully changed role."
        assert journal.read().role == Role.PRIMARY

    def test_the_primary_becomes_backup_with_force_only(self, ask: Ask):
        establish(State.P_ACTIVE, peer_port=self.port)
        assert "cannot be contacted" in text(ask("set_failover_role", role="backup"), "error")
        assert journal.read().role == Role.PRIMARY
        answer = text(ask("set_failover_role", role="backup", force="1"), "success")
        assert (answer, journal.read().role) == ("Successfully changed role.", Role.BACKUP)

    @pytest.mark.parametrize("state", [State.P_SUPERSEDED, State.P_UNCONFIRMED])
    def test_a_primary_that_has_stopped_serving_serves_again_with_force_only(self, ask: Ask, state: State):
        establish(state, peer_port=self.port)
        RoleJournal.objects.update(parity=0, term=3, own_term=2)
        assert "say that this appliance is to serve again" in text(ask("set_failover_role", role="primary"), "error")
        assert journal.read().state == state
        answer = text(ask("set_failover_role", role="primary", force="1"), "success")
        assert (answer, journal.read().state) == ("Successfully changed role.", State.P_ACTIVE)
        assert (journal.read().own_term, journal.read().term) == (4, 4)

    @pytest.mark.parametrize("state", [State.B_IDLE, State.P_SUPERSEDED])
    @pytest.mark.parametrize("name", ["FENCING_COMMAND", "WITNESS_COMMAND"])
    def test_nobody_becomes_primary_alone_without_the_fence_and_the_witness(
        self, ask: Ask, settings: Settings, name: str, state: State
    ):
        establish(state, peer_port=self.port)
        setattr(settings, name, "false")
        answer = text(ask("set_failover_role", role="primary", force="1"), "error")
        assert "did not confirm that the peer is off" in answer or "The witness did not grant" in answer
        assert (journal.read().state, RoleChange.objects.count()) == (state, 0)
        setattr(settings, name, "true")
        assert text(ask("set_failover_role", role="primary", force="1"), "success")
        assert journal.read().state == State.P_ACTIVE

    @pytest.mark.parametrize(("state", "role"), [(State.P_ACTIVE, "backup"), (State.B_IDLE, "primary")])
    def test_a_data_sync_first_is_refused(self, ask: Ask, state: State, role: str):
        establish(state, peer_port=self.port)
        answer = text(ask("set_failover_role", role=role, data_sync_first="1", force="1"), "error")
        assert "no data-sync can be pulled" in answer

    def test_who_asked_is_on_record(self, ask: Ask):
        establish(State.B_IDLE, peer_port=self.port)
        ask("set_failover_role", role="primary")
        assert RoleChange.objects.get().requested_by == "robot (API, 127.0.0.1)"
