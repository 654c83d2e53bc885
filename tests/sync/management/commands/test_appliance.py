"""What `manage.py appliance` makes sure of before it starts anything."""

from __future__ import annotations

import io
import socket
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from appliances.choices import State
from appliances.host.processes import SingleInstance
from appliances.models import Account, FileStoreFile, Site
from appliances.services.accounts import FIRST_PASSWORD
from sync.management.commands import appliance
from tests.sync.pairs import establish


def test_an_address_in_use_is_named_together_with_its_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(CommandError, match=f"LISTEN: {address} is in use"):
            appliance.check_addresses([address])


@pytest.mark.parametrize("listen", [[], ["8443"], ["192.0.2.1:8443"], ["127.0.0.1:8443x"]])
def test_an_address_that_cannot_be_used_is_refused(listen: list[str]) -> None:
    with pytest.raises(CommandError, match="LISTEN"):
        appliance.check_addresses(listen)


def test_a_second_start_in_the_same_data_folder_is_refused(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    with SingleInstance(tmp_path), pytest.raises(CommandError, match="in use"):
        call_command("appliance", stdout=io.StringIO())


def test_static_files_are_collected_again_only_when_they_have_changed(settings: Settings, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path / "static"
    appliance.collect_static_files()
    mark = tmp_path / "static" / "mark"
    mark.touch()
    appliance.collect_static_files()
    assert mark.exists()
    (tmp_path / "static" / ".collected").write_text("an older build")
    appliance.collect_static_files()
    assert not mark.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("state", [State.B_IDLE, State.P_UNCONFIRMED, State.P_SUPERSEDED])
def test_an_appliance_that_may_change_no_settings_starts_without_an_administrator(
    settings: Settings, tmp_path: Path, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DATA_DIR = tmp_path
    settings.SECRETS_DIR, settings.STATIC_ROOT = tmp_path / "secrets", tmp_path / "static"
    Site.load()
    establish(state)
    assert appliance.prepare(demo_content=False) is None
    assert not Account.objects.exists()
    assert not (settings.SECRETS_DIR / FIRST_PASSWORD).exists()
    assert "no administrator" in caplog.text


@pytest.mark.django_db
def test_demo_content_that_was_removed_does_not_come_back(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "demo-content").touch()
    appliance.fill_once(tmp_path / "demo-content")
    assert not FileStoreFile.objects.exists()
