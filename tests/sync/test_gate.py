"""What each role state lets pages do."""

from __future__ import annotations

import pytest
from pytest_django import DjangoAssertNumQueries

from appliances import gate as pages_gate
from appliances.choices import OperationKind, Role, State
from appliances.models import FailoverRelationship
from sync import gate
from sync.models import RoleJournal
from sync.rules.facts import Operation, RoleState


def pair_with(host: str, port: int) -> None:
    FailoverRelationship.objects.create(
        peer_name="site2.example.com",
        peer_host=host,
        peer_port=port,
        reverse_host="site1.example.com",
        reverse_port=443,
        is_founding_primary=True,
    )


def operation(*, with_data_sync: bool) -> Operation:
    return Operation(OperationKind.DRAIN, (2, 1), 3, with_data_sync)


@pytest.mark.django_db
@pytest.mark.parametrize("state", State)
def test_every_state_that_does_not_serve_says_why(state: State):
    here = gate.gate_of(RoleState(state=state))
    assert here.is_serving == (state in {State.NONE, State.P_ACTIVE})
    assert here.is_writable == here.is_serving
    assert bool(here.sentence) != here.is_serving


@pytest.mark.django_db
def test_while_serving_one_query_is_enough(django_assert_num_queries: DjangoAssertNumQueries):
    RoleJournal.objects.create(state=State.P_ACTIVE)
    with django_assert_num_queries(1):
        assert pages_gate.read().role == Role.PRIMARY


@pytest.mark.django_db
def test_a_backup_points_to_its_peer(django_assert_num_queries: DjangoAssertNumQueries):
    RoleJournal.objects.create(state=State.B_IDLE)
    pair_with("127.0.0.2", 8443)
    with django_assert_num_queries(2):
        here = gate.read()
    assert here.role == Role.BACKUP
    assert here.primary_url == "https://127.0.0.2:8443/"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("host", "port", "url"),
    [("site2.example.com", 443, "https://site2.example.com/"), ("2001:db8::2", 8443, "https://[2001:db8::2]:8443/")],
)
def test_the_link_to_the_primary_is_written_as_browsers_want_it(host: str, port: int, url: str):
    pair_with(host, port)
    assert gate.gate_of(RoleState(state=State.B_IDLE)).primary_url == url


@pytest.mark.django_db
def test_a_primary_that_has_just_started_points_nowhere():
    pair_with("127.0.0.2", 8443)
    assert gate.gate_of(RoleState(state=State.P_UNCONFIRMED)).primary_url is None


@pytest.mark.django_db
@pytest.mark.parametrize("with_data_sync", [True, False])
def test_log_ins_are_refused_only_while_a_data_sync_comes_first(with_data_sync: bool):
    here = gate.gate_of(RoleState(state=State.P_DRAINING, op=operation(with_data_sync=with_data_sync)))
    assert here.operation_running
    assert here.refuses_log_ins == with_data_sync
    assert ("data-sync" in here.sentence) == with_data_sync


@pytest.mark.django_db
def test_the_backup_never_refuses_log_ins_in_a_swap():
    here = gate.gate_of(RoleState(state=State.B_SYNCING, op=operation(with_data_sync=True)))
    assert here.operation_running
    assert not here.refuses_log_ins
