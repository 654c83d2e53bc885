"""What a settings table holds is read once, and again when it has changed, whoever changed it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext

from appliances.models import Account, EmailConfiguration, FileStoreFile, SessionEvent, Site
from sync import journal
from sync.datasync import differences, remembered, snapshots, triggers
from sync.datasync.registry import DATASETS, SETTINGS
from sync.datasync.rows import RowCodec, sum_of
from sync.datasync.wrapping import SecretWrap
from sync.models import RoleJournal, SettingsDigest
from sync.rules.diff import TableDigest
from tests.fakes import FakePeer
from tests.sync.datasync import world
from tests.sync.datasync.test_pull import There, sync

pytestmark = pytest.mark.django_db
WRAP, OTHER = SecretWrap(b"k" * 32, "s1"), SecretWrap(b"j" * 32, "s1")


def read_anew(wrap: SecretWrap = WRAP) -> list[TableDigest]:
    """The digests by way of `RowCodec`, which is slow and simple."""
    totals = [(dataset.label, sum_of(RowCodec(dataset, wrap))) for dataset in SETTINGS]
    return [TableDigest(label, total.rows, total.digest) for label, total in totals]


def fill() -> None:
    journal.read()
    account = Account.objects.get(pk=world.account("anna"))
    group = Group.objects.create(name="staff")
    account.groups.add(group)
    for owner in (group.permissions, account.user_permissions):
        owner.add(Permission.objects.get(codename="switch_roles"))
    mail = EmailConfiguration.load()
    mail.password = "hunter2"
    mail.save()
    FileStoreFile.objects.create(name="a", blob_id="0" * 64, size_bytes=1)
    Site.load()


CHANGES: list[Callable[[], object]] = [
    lambda: Account.objects.update(email="new@example.com"),
    lambda: world.account("bob"),
    lambda: FileStoreFile.objects.all().delete(),
    lambda: Group.objects.update(name="other"),
    lambda: Group.objects.get().permissions.clear(),
    lambda: EmailConfiguration.objects.update(sealed_password=b""),
    lambda: Permission.objects.filter(codename="switch_roles").update(codename="renamed"),
    lambda: ContentType.objects.filter(model="account").update(app_label="renamed"),
]


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_what_is_remembered_is_what_is_there_after_every_change(number: int) -> None:
    fill()
    remembered.remember(WRAP)
    assert remembered.digests(WRAP) == read_anew()
    before = read_anew()
    CHANGES[number]()
    assert read_anew() != before
    assert remembered.digests(WRAP) == read_anew()
    remembered.remember(WRAP)
    assert remembered.digests(WRAP) == read_anew()


def test_nothing_is_read_where_nothing_has_changed_and_only_what_has() -> None:
    fill()
    remembered.remember(WRAP)
    tables = {dataset.table for dataset in DATASETS}
    SessionEvent.objects.all().delete()
    with CaptureQueriesContext(
        connection,
    ) as asked:
        remembered.remember(WRAP)
        remembered.digests(WRAP)
    assert not [query["sql"] for query in asked.captured_queries if any(table in query["sql"] for table in tables)]
    Account.objects.update(last_login=world.MOMENT)
    assert SettingsDigest.objects.count() == len(SETTINGS)
    Account.objects.update(email="new@example.com")
    assert {dataset.label for dataset in SETTINGS} - set(SettingsDigest.objects.values_list("pk", flat=True)) == {
        "appliances.Account"
    }


def test_a_secret_is_compared_under_another_key_as_that_key_has_it() -> None:
    fill()
    remembered.remember(WRAP)
    assert remembered.digests(OTHER) == read_anew(OTHER) != read_anew(WRAP)
    remembered.remember(OTHER)
    assert remembered.digests(OTHER) == read_anew(OTHER)


def test_what_changes_while_it_is_read_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    fill()
    real = differences.read_digest

    def reading(codec: RowCodec) -> TableDigest:
        found = real(codec)
        RoleJournal.objects.update(settings_writes=RoleJournal.objects.get().settings_writes + 1)
        return found

    monkeypatch.setattr(remembered, "read_digest", reading)
    remembered.remember(WRAP)
    assert not SettingsDigest.objects.exists()


@pytest.mark.parametrize("number", range(-2, 0), ids=["permission", "content type"])
def test_a_permission_renamed_while_the_tables_are_read_is_not_overlooked(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fill()
    head = journal.read().head
    real = differences.read_digest

    def reading(codec: RowCodec) -> TableDigest:
        found = real(codec)
        if codec.dataset == SETTINGS[-1]:
            CHANGES[number]()
        return found

    with monkeypatch.context() as patched:
        patched.setattr(remembered, "read_digest", reading)
        # As on a connection of its own: PostgreSQL would not write in a transaction that only reads.
        patched.setattr(snapshots, "read_transaction", nullcontext)
        remembered.remember(WRAP)
    assert remembered.digests(WRAP) == read_anew()
    assert journal.read().head == head


def test_triggers_made_anew_remember_nothing() -> None:
    fill()
    remembered.remember(WRAP)
    triggers.remove(connection)
    Account.objects.update(email="unseen@example.com")
    triggers.install(connection)
    assert remembered.digests(WRAP) == read_anew()


@pytest.mark.django_db(transaction=True)
def test_an_idle_data_sync_reads_no_synchronised_table_on_the_backup(peer: FakePeer, there: There) -> None:
    there("account", "anna")
    there("store_file", "a", b"a")
    there("events", 20)
    sync(peer)
    sync(peer)
    peer.asked.clear()
    with CaptureQueriesContext(connection) as asked:
        sync(peer)
    assert peer.asked == ["pull-begin"]
    read = [query["sql"] for query in asked.captured_queries]
    for dataset in SETTINGS:
        if dataset.label == "appliances.Folder":
            continue  # which folders to walk is asked each time; there are a few
        assert not [sql for sql in read if f'"{dataset.table}"' in sql], dataset.label
    looks = [sql for sql in read if '"appliances_sessionevent"' in sql]
    assert all("LIMIT 1" in sql for sql in looks)
