"""What `manage.py pair` gives to each of its two appliances."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliances.services import accounts, keys
from sync.management.commands import pair


@pytest.fixture
def sites(tmp_path: Path) -> tuple[pair.Site, pair.Site]:
    return (
        pair.Site("site1", tmp_path / "site1", "127.0.0.1:8443"),
        pair.Site("site2", tmp_path / "site2", "127.0.0.2:8443"),
    )


def test_each_appliance_has_its_own_folder_name_and_address(sites: tuple[pair.Site, pair.Site]) -> None:
    first, second = (site.environment for site in sites)
    assert not {name for name in ("DATA_DIR", "HOST_NAME", "LISTEN") if first[name] == second[name]}


def test_a_variable_with_a_prefix_is_for_one_appliance_alone(
    sites: tuple[pair.Site, pair.Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITE2_DATABASE_URL", "postgres://192.0.2.1/site2")
    assert "DATABASE_URL" not in sites[0].environment
    assert sites[1].environment["DATABASE_URL"] == "postgres://192.0.2.1/site2"


def test_both_are_born_with_the_same_first_password_and_keep_theirs_later(sites: tuple[pair.Site, pair.Site]) -> None:
    pair.share_first_password(sites)
    passwords = [(site.folder / "secrets" / accounts.FIRST_PASSWORD).read_text() for site in sites]
    assert passwords[0] == passwords[1]
    pair.share_first_password(sites)
    assert (sites[0].folder / "secrets" / accounts.FIRST_PASSWORD).read_text() == passwords[0]
    assert passwords[0].strip() in pair.first_password(sites[0])


def test_a_changed_password_is_not_printed(sites: tuple[pair.Site, pair.Site]) -> None:
    assert pair.first_password(sites[0]) == "as you changed it"


def test_both_get_the_same_strong_key_on_standard_input_and_not_on_the_command_line(
    sites: tuple[pair.Site, pair.Site], tmp_path: Path
) -> None:
    first, second, establish = pair.pairing(tmp_path, sites)
    assert first.stdin == second.stdin
    key = first.stdin.decode().strip()
    assert len(keys.canonical(key)) >= 52
    assert not [argument for program in (first, second, establish) for argument in program.argv if key in argument]


def test_a_relationship_that_was_broken_by_hand_is_not_established_again(
    sites: tuple[pair.Site, pair.Site], tmp_path: Path
) -> None:
    programs = pair.pairing(tmp_path, sites)
    assert all(program.is_needed() for program in programs)
    pair.paired_marker(tmp_path).touch()
    assert not any(program.is_needed() for program in programs)


def test_demo_content_goes_to_the_first_appliance_unless_it_is_not_wanted(
    sites: tuple[pair.Site, pair.Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ["--demo-content" in program.argv for program in pair.appliances(sites)] == [True, False]
    monkeypatch.setenv("DEMO", "0")
    assert ["--demo-content" in program.argv for program in pair.appliances(sites)] == [False, False]
