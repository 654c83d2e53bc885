"""Two versions of the settings: what differs, and what one takes over of the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import OperationalError, connection, transaction
from psycopg.errors import DeadlockDetected

from appliances import blobs
from appliances.choices import State
from appliances.models import Account, EmailConfiguration, FileStoreFile, Site
from sync import journal
from sync.errors import SyncRefused
from sync.models import ConfigurationBackup, RoleJournal, StatusEvent
from sync.versions import compare, merge, primary, shown
from sync.versions.objects import Version

pytestmark = pytest.mark.django_db


class Undo(Exception):
    """Ends a transaction without keeping it."""


def other_version(change: Callable[[], object]) -> Version:
    """The settings as `change` would make them; nothing is kept of it."""
    found: list[Version] = []
    try:
        with transaction.atomic():
            change()
            found.append(primary.own().version)
            raise Undo
    except Undo:
        return found[0]


@pytest.fixture(autouse=True)
def settings_of_both() -> None:
    """Both versions begin with an account, a group, a site and a mail configuration."""
    RoleJournal.load()
    group = Group.objects.create(name="Support")
    Account.objects.create(username="anna", display_name="Anna", password="argon2$one").groups.add(group)
    Site.load()
    EmailConfiguration.load()


def difference(mine: Version, theirs: Version) -> list[tuple[str, list[str]]]:
    return [(shown.name_of(d), [f.name for f in d.fields]) for d in compare.differences(mine, theirs)]


def take(mine: Version, *names: str) -> None:
    """The settings of this appliance take these things over."""
    present = primary.own()
    found = compare.differences(mine, present.version)
    keys = {d.key for d in found if not names or shown.name_of(d) in names}
    changes = merge.plan(mine, present.version, merge.with_needed(found, keys))
    if changes:
        primary.take(changes, compared=present.header, requested_by="admin", why="admin chose.")


def rename_and_join() -> None:
    anna = Account.objects.get(username="anna")
    anna.display_name = "Anna B."
    anna.save()
    anna.groups.set([Group.objects.create(name="Night")])


def test_equal_versions_do_not_differ() -> None:
    assert compare.differences(primary.own().version, primary.own().version) == []


def test_fields_and_memberships_differ_by_name() -> None:
    mine = other_version(rename_and_join)
    assert difference(mine, primary.own().version) == [
        ("Group Night", []),
        ("Account anna", ["display_name", "groups"]),
    ]


def test_a_chosen_account_brings_the_group_that_it_belongs_to() -> None:
    take(other_version(rename_and_join), "Account anna")
    anna = Account.objects.get(username="anna")
    assert anna.display_name == "Anna B."
    assert [group.name for group in anna.groups.all()] == ["Night"]
    assert Group.objects.filter(name="Support").exists()


def test_two_new_accounts_under_one_number_are_both_kept() -> None:
    mine = other_version(lambda: Account.objects.create(username="mia", email="mia@example.com"))
    Account.objects.create(username="theo")
    theo = Account.objects.get(username="theo").pk
    assert {thing.number for thing in mine.things["appliances.Account"] if thing.name == "mia"} == {theo}
    take(mine, "Account mia")
    assert Account.objects.get(username="theo").pk == theo
    assert Account.objects.get(username="mia").email == "mia@example.com"
    Account.objects.create(username="later")  # the numbers go on above those that were put


def test_one_user_name_made_on_both_is_one_account_with_the_number_of_the_primary() -> None:
    def made_here() -> None:
        Account.objects.create(username="before")
        mia = Account.objects.create(username="mia", display_name="from here")
        mia.groups.add(Group.objects.create(name="Night"))

    mine = other_version(made_here)
    there = Account.objects.create(username="mia", display_name="from there")
    take(mine, "Account mia")
    there.refresh_from_db()
    assert there.display_name == "from here"
    assert [group.name for group in there.groups.all()] == ["Night"]
    assert Account.objects.filter(username="mia").count() == 1
    assert not Account.objects.filter(username="before").exists()


def test_a_renamed_account_is_one_account() -> None:
    mine = other_version(lambda: Account.objects.filter(username="anna").update(username="anne"))
    assert difference(mine, primary.own().version) == [("Account anne", ["username"])]
    number = Account.objects.get(username="anna").pk
    take(mine)
    assert Account.objects.get(username="anne").pk == number
    assert [group.name for group in Account.objects.get(username="anne").groups.all()] == ["Support"]


def test_what_the_chosen_version_lacks_goes_with_its_memberships() -> None:
    mine = other_version(lambda: Group.objects.all().delete())
    take(mine, "Group Support")
    assert not Group.objects.exists()
    assert not Account.objects.get(username="anna").groups.exists()


def test_two_accounts_that_change_their_names_with_each_other() -> None:
    Account.objects.create(username="bert", display_name="Bert")

    def swap() -> None:
        Account.objects.filter(username="anna").update(username="x")
        Account.objects.filter(username="bert").update(username="anna")
        Account.objects.filter(username="x").update(username="bert")

    mine = other_version(swap)
    take(mine)
    assert Account.objects.get(username="anna").display_name == "Bert"
    assert Account.objects.get(username="bert").display_name == "Anna"
    assert compare.differences(mine, primary.own().version) == []


def test_everything_taken_makes_the_versions_equal_whatever_differed() -> None:
    def much() -> None:
        rename_and_join()
        Group.objects.get(name="Night").permissions.add(*Permission.objects.all()[:3])
        Account.objects.create(username="new").user_permissions.add(Permission.objects.first())  # type: ignore[arg-type]
        Site.objects.update(portal_text="Hello")
        row = EmailConfiguration.load()
        row.password = "hunter2"
        row.save()

    mine = other_version(much)
    Account.objects.create(username="new", email="other@example.com")
    Account.objects.create(username="gone")
    take(mine)
    assert compare.differences(mine, primary.own().version) == []
    assert EmailConfiguration.load().password == "hunter2"


def test_the_change_moves_the_head_and_is_refused_when_the_head_has_moved() -> None:
    RoleJournal.objects.update(state=State.P_ACTIVE)
    mine, present = other_version(rename_and_join), primary.own()
    found = compare.differences(mine, present.version)
    changes = merge.plan(mine, present.version, found)
    Site.objects.update(name="Changed meanwhile")
    with pytest.raises(SyncRefused, match="changed meanwhile"):
        primary.take(changes, compared=present.header, requested_by="admin", why="x")
    assert Account.objects.get().display_name == "Anna"
    before = journal.read().head
    take(mine)
    assert journal.read().head > before
    assert ConfigurationBackup.objects.get().reason == "take_over"
    assert StatusEvent.objects.filter(event="settings.taken").exists()


def test_a_deadlock_with_a_change_of_somebody_else_is_tried_again_once() -> None:
    RoleJournal.objects.update(state=State.P_ACTIVE)
    deadlocks: list[str] = []

    def once(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("INSERT") and f'"{Account._meta.db_table}"' in sql[:60] and not deadlocks:
            deadlocks.append(sql)
            raise OperationalError("deadlock detected") from DeadlockDetected("deadlock detected")
        return execute(sql, params, many, context)

    mine = other_version(rename_and_join)
    with connection.execute_wrapper(once):
        take(mine)
    assert deadlocks
    assert compare.differences(mine, primary.own().version) == []


def test_a_backup_changes_no_settings() -> None:
    mine = other_version(rename_and_join)
    RoleJournal.objects.update(state=State.B_IDLE)
    with pytest.raises(SyncRefused, match="on the primary only"):
        take(mine)
    assert Account.objects.get().display_name == "Anna"


def test_a_file_without_its_content_is_refused() -> None:
    blob = blobs.store([b"content"])
    mine = other_version(lambda: FileStoreFile.objects.create(name="a.txt", blob_id=blob.blob_id, size_bytes=7))
    blobs.path(blob.blob_id).unlink()
    with pytest.raises(SyncRefused, match="not on this appliance"):
        take(mine)


def test_secrets_are_never_shown() -> None:
    def change() -> None:
        Account.objects.update(password="argon2$secret-hash")
        row = EmailConfiguration.load()
        row.password = "hunter2"
        row.save()

    found = compare.differences(other_version(change), primary.own().version)
    said = repr([(line.label, line.mine, line.theirs) for each in shown.shown(found) for line in each.lines])
    assert "hunter2" not in said
    assert "argon2" not in said
    assert said.count("never shown") == 4  # both fields, on both sides
    alone = compare.differences(
        other_version(lambda: Account.objects.create(username="z", password="argon2$z")), primary.own().version
    )
    assert "argon2" not in repr([each.lines for each in shown.shown(alone)])


def test_the_part_of_a_long_text_that_differs_is_marked() -> None:
    text = "word " * 300
    Site.objects.update(portal_text=f"{text}one {text}")
    mine = other_version(lambda: Site.objects.update(portal_text=f"{text}two {text}"))
    [each] = shown.shown(compare.differences(mine, primary.own().version))
    [line] = each.lines
    assert line.mine is not None
    assert [part.text for part in line.mine if part.is_marked] == ["two"]
    assert sum(len(part.text) for part in line.mine) < 200
