"""A data-sync whose n-th write fails, for each n: the settings are as before, the reason is told, the next one ends.

The writes fail for real: on a disk of 64 MiB with n pages left, and in a database that may grow by n pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.db import connection
from pytest_django import Settings

from appliances import disk
from appliances.choices import SyncStatus
from appliances.models import Account, FileStoreFile
from sync.datasync import lease
from sync.errors import SyncError, code_of
from sync.models import SyncRun
from tests.fakes import FakePeer
from tests.sync.datasync import world
from tests.sync.datasync.test_pull import There, both_hold_the_same, sync
from tests.tmpfs import Small, small_disk

PAGE = 4096
SETTLED = 400  # a data-sync of these tests writes fewer pages than this
SETTINGS = ("appliances.Account", "appliances.FileStoreFile")


@pytest.fixture
def small(peer: FakePeer, settings: Settings) -> Iterator[Small]:
    with small_disk(settings, mib=64) as found:
        yield found


def put_on_the_primary(there: There) -> None:
    there("account", "anna")
    for number in range(3):
        there("store_file", f"file {number}", bytes([number]) * PAGE)
    there("recording", "r", b"r" * 2 * PAGE)
    there("event", "text" * 3 * PAGE)


def until_it_ends_well(limit: Callable[[int], None], peer: FakePeer, allowed: set[str]) -> tuple[int, set[str]]:
    """How many writes had to fail until a data-sync ended well, and the reasons that were told."""
    before = {label: world.contents()[label] for label in SETTINGS}
    codes: set[str] = set()
    for n in range(SETTLED):
        limit(n)
        try:
            sync(peer)
        except SyncError as error:
            told = error
        else:
            return n, codes
        codes.add(code_of(told))
        assert code_of(told) in allowed
        assert "full" in str(told) or "space" in str(told)
        for run in SyncRun.objects.filter(status=SyncStatus.RUNNING):  # not even that could be written
            lease.end(run, SyncStatus.FAILED)
        assert {label: world.contents()[label] for label in SETTINGS} == before
        world.blob_ids()  # each of them whole
    raise AssertionError("it never ended well")


def test_each_page_of_the_disk_that_is_missing(
    small: Small, peer: FakePeer, there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on_the_primary(there)
    # Another program takes the room after the data-sync has looked.
    monkeypatch.setattr(disk.Room, "lacks", lambda *_, **__: "")
    failed, codes = until_it_ends_well(lambda n: small.fill(leaving=n * PAGE), peer, {"disk_full", "no_space"})
    assert failed > 10
    assert codes == {"disk_full", "no_space"}
    both_hold_the_same(there)
    assert FileStoreFile.objects.count() == 3


def test_each_page_of_the_database_that_is_missing(
    peer: FakePeer, there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("counts the pages of SQLite")
    put_on_the_primary(there)
    monkeypatch.setattr(lease, "END_WAITS", ())
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")

        pages = cursor.execute("PRAGMA page_count").fetchone()[0]

        def limit(n: int) -> None:
            cursor.execute(f"PRAGMA max_page_count = {pages + n}")

        try:
            failed, codes = until_it_ends_well(limit, peer, {"disk_full"})
        finally:
            cursor.execute("PRAGMA max_page_count = 1000000")
    assert failed > 5
    assert codes == {"disk_full"}
    both_hold_the_same(there)
    assert Account.objects.filter(username="anna").exists()
