"""The settings head moves with every real change of synchronised settings, whoever makes it, and with nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.test import Client

from appliances.models import Account, ApiConfiguration, BackupSettings, FileStoreFile, SessionEvent, Site
from appliances.selectors import this_appliance
from sync import journal
from sync.models import RoleJournal
from tests.sync.datasync import world
from tests.sync.pairs import settings_open

pytestmark = pytest.mark.django_db


class Moved:
    """Whether the head moved inside the block."""

    def __enter__(self) -> Moved:
        RoleJournal.load()
        self._before = world.head()
        return self

    def __exit__(self, *_: object) -> None:
        self.by = world.head()[1] - self._before[1]


def test_insert_update_and_delete_move_the_head() -> None:
    with Moved() as inserted:
        number = world.account("anna")
    with Moved() as updated:
        Account.objects.filter(pk=number).update(email="anna@example.com")
    with Moved() as deleted:
        Account.objects.filter(pk=number).delete()
    assert (inserted.by, updated.by, deleted.by) == (1, 1, 1)


def test_many_to_many_and_bulk_changes_move_the_head() -> None:
    account = Account.objects.get(pk=world.account("anna"))
    group = Group.objects.create(name="staff")
    for change in (
        lambda: account.groups.add(group),
        lambda: group.permissions.add(Permission.objects.earliest("pk")),
        lambda: account.user_permissions.add(Permission.objects.earliest("pk")),
        lambda: FileStoreFile.objects.bulk_create(
            [FileStoreFile(name=n, blob_id="0" * 64, size_bytes=1) for n in "ab"]
        ),
        lambda: Site.load(),
    ):
        with Moved() as moved:
            change()
        assert moved.by > 0


def test_a_write_that_changes_nothing_leaves_the_head() -> None:
    configuration = ApiConfiguration.load()
    with Moved() as moved:
        configuration.save()
        Account.objects.update(email="")
    assert moved.by == 0


def test_a_rolled_back_change_leaves_the_head() -> None:
    with Moved() as moved, transaction.atomic():
        world.account("anna")
        transaction.set_rollback(True)
    assert moved.by == 0


def test_logging_in_leaves_the_head() -> None:
    account = Account.objects.create_user("anna", password="a long enough password")
    with Moved() as moved:
        client = Client()
        client.force_login(account, backend="django.contrib.auth.backends.ModelBackend")
    account.refresh_from_db()
    assert account.last_login is not None
    assert moved.by == 0


def test_local_settings_and_append_only_rows_leave_the_head() -> None:
    with Moved() as moved:
        BackupSettings.load().save()
        this_appliance()
        world.event("text")
        SessionEvent.objects.update(text="other")
    assert moved.by == 0


def test_on_a_backup_the_head_names_the_snapshot_and_stays() -> None:
    journal.read()
    world.set_state({"state": "b_idle"})
    with Moved() as moved, settings_open():
        world.account("anna")
    assert moved.by == 0


# --- the same on PostgreSQL --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty PostgreSQL database on a unix socket."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no PostgreSQL in /usr/lib/postgresql")
    binaries = found[-1].parent
    folder = Path("/tmp") / f"datasync-pg-{os.getpid()}"
    folder.mkdir(mode=0o700)
    drop: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
        drop = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    data = folder / "data"
    subprocess.run(
        [*drop, binaries / "initdb", "-D", data, "-U", "site", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
        check=True,
        capture_output=True,
        cwd="/",
    )
    server = subprocess.Popen(
        [*drop, binaries / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    try:
        ready = [str(binaries / "pg_isready"), "-h", str(folder), "-U", "site", "-d", "postgres", "-t", "10"]
        for _ in range(50):
            if subprocess.run(ready, capture_output=True, check=False).returncode == 0:
                break
            server.poll()
            assert server.returncode is None, "PostgreSQL did not start"
            time.sleep(0.1)
        yield f"postgres://site@/postgres?host={folder}"
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_data_sync_does_the_same_on_postgresql(postgresql: str) -> None:
    """The tests of this folder, run with the backup on PostgreSQL."""
    if settings.DATABASES["default"]["ENGINE"].endswith("postgresql"):
        pytest.skip("running on PostgreSQL already")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(Path(__file__).parent)],
        env={**os.environ, "DATABASE_URL": postgresql, "REQUIRE_ALL": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    assert result.returncode == 0, result.stdout[-6000:]
