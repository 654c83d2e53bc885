"""Configuration backups: what is kept, how long, and that it comes back."""

from __future__ import annotations

import datetime as dt
import gzip
import os
import stat
import time

import pytest
from django.contrib.auth.models import Group
from pytest_django import Settings

from appliances import blobs
from appliances.choices import BackupReason
from appliances.models import Account, EmailConfiguration, FileStoreFile
from sync.datasync import backups, tidy
from sync.errors import SyncRefused
from sync.models import ConfigurationBackup
from sync.versions import compare, primary
from sync.versions.choose import of_backup, restore
from sync.versions.objects import Version

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def own_data_folder(settings: Settings, tmp_path: object) -> None:
    settings.DATA_DIR = tmp_path


def account(name: str) -> None:
    Account.objects.create(username=name, password="argon2$x")


def test_a_backup_holds_the_settings_and_no_secret_in_clear() -> None:
    account("anna")
    row = EmailConfiguration.load()
    row.password = "hunter2"
    row.save()
    made = backups.save(BackupReason.BY_HAND)
    path = backups.path_of(made)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert b"hunter2" not in gzip.decompress(path.read_bytes())
    assert compare.differences(Version(backups.read(made)), primary.own().version) == []


def test_five_of_each_kind_are_kept_and_frequent_ones_push_out_no_other() -> None:
    first = backups.save(BackupReason.ROLE_CHANGE)
    for number in range(8):
        account(f"user{number}")
        backups.save(BackupReason.DATA_SYNC)
    kept = list(ConfigurationBackup.objects.values_list("reason", flat=True))
    assert kept.count("data_sync") == backups.KEEP
    assert ConfigurationBackup.objects.get(reason="role_change").pk == first.pk
    files = {file.name for file in backups.path_of(first).parent.iterdir()}
    assert files == {key.hex for key in ConfigurationBackup.objects.values_list("pk", flat=True)}


def test_equal_settings_are_kept_once_for_each_kind() -> None:
    account("anna")
    one, two = backups.save(BackupReason.ROLE_CHANGE), backups.save(BackupReason.ROLE_CHANGE)
    assert one.pk == two.pk
    assert backups.save(BackupReason.BY_HAND).pk != one.pk


def test_one_object_or_all_come_back_and_the_version_before_is_kept() -> None:
    account("anna")
    Group.objects.create(name="Support")
    made = backups.save(BackupReason.BY_HAND)
    Account.objects.update(email="changed@example.com")
    Group.objects.all().delete()
    it = of_backup(made)
    keys = {each.key for each in it.found if each.kind.dataset.label == "auth.Group"}
    said = restore(it, keys, made, "admin")
    assert "Group Support" in said
    assert Group.objects.filter(name="Support").exists()
    assert Account.objects.get().email == "changed@example.com"
    it = of_backup(made)
    restore(it, {each.key for each in it.found}, made, "admin")
    assert Account.objects.get().email == ""
    assert of_backup(made).found == ()
    assert ConfigurationBackup.objects.filter(reason="take_over").count() == 2


def test_a_damaged_file_and_one_of_another_version_are_refused() -> None:
    made = backups.save(BackupReason.BY_HAND)
    path = backups.path_of(made)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"x")
    with pytest.raises(SyncRefused, match="damaged"):
        backups.read(made)
    path.unlink()
    with pytest.raises(SyncRefused, match="is missing"):
        backups.read(made)
    ConfigurationBackup.objects.update(schema="another")
    made.refresh_from_db()
    with pytest.raises(SyncRefused, match="another version"):
        backups.read(made)


def test_a_file_of_a_kept_version_is_not_swept() -> None:
    kept, lost = blobs.store([b"kept"]), blobs.store([b"lost"])
    FileStoreFile.objects.create(name="a", blob_id=kept.blob_id, size_bytes=4)
    made = backups.save(BackupReason.BY_HAND)
    FileStoreFile.objects.all().delete()
    old = time.time() - dt.timedelta(days=3).total_seconds()
    for blob in (kept, lost):
        os.utime(blobs.path(blob.blob_id), (old, old))
    tidy.tidy()
    assert blobs.has(kept.blob_id)
    assert not blobs.has(lost.blob_id)
    it = of_backup(made)
    restore(it, {each.key for each in it.found}, made, "admin")
    assert FileStoreFile.objects.get().blob_id == kept.blob_id
