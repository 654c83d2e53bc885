"""What the reading commands say."""

from __future__ import annotations

import datetime as dt

import pytest

from appliances import selectors
from appliances.choices import FileProblem, RepairState, State, SyncStatus, SyncTrigger
from appliances.models import Account, FailoverRelationship
from sync import health, journal
from sync.api import answers
from sync.api.xml import document
from sync.health import Health
from sync.models import DamagedFile, PeerView, SyncRun
from sync.peer import identity
from sync.rules.facts import header_of
from tests.sync.pairs import establish

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("healthy")]

MOMENT = dt.datetime(2026, 11, 22, 9, 0, tzinfo=dt.UTC)


def run(status: str, **fields: object) -> None:
    SyncRun.objects.create(trigger=SyncTrigger.INTERVAL, status=status, **fields)


def test_check_health_without_a_relationship():
    guid = selectors.this_appliance().guid
    assert document(answers.check_health()).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        "\n"
        '<health_check xmlns="http://www.bomgar.com/namespaces/API/command">\n'
        f'\t<appliance id="{guid}">site1.example.com</appliance>\n'
        f"\t<version>{identity.product_build()}</version>\n"
        "\t<success>1</success>\n"
        "\t<failover_role>none</failover_role>\n"
        "</health_check>\n"
    )


def test_check_health_of_an_unwell_backup_has_every_element_in_order():
    establish(State.B_IDLE)
    FailoverRelationship.objects.update(established_at=MOMENT)
    health.write(Health(False, "The disk is nearly full."))
    run(SyncStatus.SUCCESS, reflects_at=MOMENT)
    run(SyncStatus.FAILED)
    guid = selectors.this_appliance().guid
    assert document(answers.check_health()).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        "\n"
        '<health_check xmlns="http://www.bomgar.com/namespaces/API/command">\n'
        f'\t<appliance id="{guid}">site1.example.com</appliance>\n'
        f"\t<version>{identity.product_build()}</version>\n"
        "\t<success>0</success>\n"
        "\t<error_message>The disk is nearly full.</error_message>\n"
        "\t<failover_role>backup</failover_role>\n"
        '\t<last_data_sync_time ts="1795338000">2026-11-22T09:00:00+00:00</last_data_sync_time>\n'
        "\t<last_data_sync_status>failed</last_data_sync_status>\n"
        "</health_check>\n"
    )


def test_the_version_is_of_the_form_that_clients_know():
    name, build = identity.product_build().split(" ")
    assert name.count(".") == 2
    assert build.startswith("(build-")
    assert len(build) == len("(build-)") + 40


def test_a_primary_tells_of_the_data_sync_that_its_backup_reported():
    establish(State.P_ACTIVE)
    FailoverRelationship.objects.update(established_at=MOMENT)
    PeerView.objects.create(status={"last_sync_at": MOMENT.timestamp(), "last_sync_status": "success"})
    text = document(answers.check_health()).decode()
    assert '<last_data_sync_time ts="1795338000">2026-11-22T09:00:00+00:00<' in text
    assert "<last_data_sync_status>success<" in text


def test_before_the_first_data_sync_neither_time_nor_status_is_told():
    establish(State.P_ACTIVE)
    assert b"last_data_sync" not in document(answers.check_health())


def test_a_dead_role_worker_is_told():
    health.write(Health(True, health.HEALTHY))
    from django.conf import settings

    settings.HEALTH_FILE.unlink()
    text = document(answers.check_health()).decode()
    assert "<success>0</success>" in text
    assert f"<error_message>{health.UNKNOWN.message}</error_message>" in text


def test_files_lost_on_both_are_told_and_the_appliance_stays_well() -> None:

    DamagedFile.objects.create(blob_id="ab" * 32, name="a.txt", problem=FileProblem.CORRUPT, state=RepairState.LOST)
    text = document(answers.check_health()).decode()
    assert "<success>1</success>" in text
    assert "<error_message>One stored file is damaged or missing here" in text


def test_get_appliances_lists_both_of_the_pair():
    establish(State.P_ACTIVE)
    state = header_of(journal.read())
    PeerView.objects.create(status={"header": {"state": State.B_IDLE.value}})
    assert state.role == "primary"
    guid = selectors.this_appliance().guid
    expected = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        "\n"
        '<appliances xmlns="http://www.bomgar.com/namespaces/API/command">\n'
        f'\t<appliance id="{guid}">\n'
        "\t\t<name>site1.example.com</name>\n"
        "\t\t<public_hostname>192.0.2.1</public_hostname>\n"
        "\t\t<cluster_role>single</cluster_role>\n"
        "\t\t<failover_role>primary</failover_role>\n"
        "\t\t<accepting_connections>1</accepting_connections>\n"
        "\t\t<timezone_offset>0</timezone_offset>\n"
        "\t</appliance>\n"
        f'\t<appliance id="{"b" * 32}">\n'
        "\t\t<name>site2.example.com</name>\n"
        "\t\t<public_hostname>127.0.0.1</public_hostname>\n"
        "\t\t<cluster_role>single</cluster_role>\n"
        "\t\t<failover_role>backup</failover_role>\n"
        "\t\t<accepting_connections>1</accepting_connections>\n"
        "\t\t<timezone_offset>0</timezone_offset>\n"
        "\t</appliance>\n"
        "</appliances>\n"
    )
    assert document(answers.appliances()).decode() == expected


def test_get_appliances_without_a_relationship_lists_this_one():
    assert document(answers.appliances()).count(b"<appliance ") == 1


def test_get_api_info_has_the_documented_root_and_elements():
    account = Account(is_superuser=True, may_use_command_api=True)
    text = document(answers.api_information(account)).decode()
    assert text.startswith(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        "\n"
        '<api_information xmlns="http://www.bomgar.com/namespaces/API/command">\n'
        "\t<api_version>1.19.0</api_version>\n"
        "\t<company_name>Support Portal</company_name>\n"
        "\t<timestamp>"
    )
    assert '\t\t<permission name="perm_command">full_access</permission>\n' in text
    assert '\t\t<permission name="perm_backup">0</permission>\n' in text
