"""A disk that is full for real: a file system of 64 MiB in memory, mounted where only the test sees it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from appliances import disk
from appliances.host import runtime
from sync import health
from tests.tmpfs import Small, small_disk

MIB = 1 << 20


@pytest.fixture
def small(settings: Settings) -> Iterator[Small]:
    with small_disk(settings, mib=64, inodes=4000) as found:
        yield found


def test_the_ballast_is_made_released_at_a_full_disk_and_made_again(small: Small) -> None:
    disk.keep_ballast()
    ballast = small.folder / disk.BALLAST
    assert ballast.stat().st_blocks * 512 == 8 * MIB
    assert disk.lacks() == ""

    small.fill(leaving=3 * MIB)
    disk.keep_ballast()
    assert ballast.exists()  # full for uploads, not yet for the rest
    assert "3 MiB are free" in disk.lacks()
    assert "ballast" not in health._disk()

    small.fill(leaving=MIB // 2)
    disk.keep_ballast()
    assert not ballast.exists()
    assert small.free() > 8 * MIB
    assert disk.lacks(), "the room of the ballast is not for uploads"
    assert "The 8 MiB of the ballast were given to the database" in health._disk()
    (small.folder / "database").write_bytes(bytes(4 * MIB))  # but for the database
    (small.folder / "database").unlink()

    disk.keep_ballast()
    assert not ballast.exists()
    small.empty()
    disk.keep_ballast()
    assert ballast.exists()
    assert disk.lacks() == ""


def test_another_size_takes_effect_and_none_needs_no_file(small: Small, settings: Settings) -> None:
    disk.keep_ballast()
    settings.BALLAST_MIB = 2
    disk.keep_ballast()
    disk.keep_ballast()
    assert (small.folder / disk.BALLAST).stat().st_size == 2 * MIB
    settings.BALLAST_MIB = 0
    disk.keep_ballast()
    disk.keep_ballast()
    assert not (small.folder / disk.BALLAST).exists()


def test_a_disk_with_room_but_without_inodes_is_full(small: Small) -> None:
    assert disk.lacks() == ""
    left = os.statvfs(small.folder).f_favail - disk.RESERVED_FILES
    for number in range(left):
        os.mknod(small.folder / f"file-{number}")
    assert "the disk can hold" in disk.lacks()


def test_the_health_is_told_at_a_disk_without_a_single_byte(small: Small, client: Client) -> None:
    small.fill(leaving=0)
    with pytest.raises(OSError, match="No space"):
        (small.folder / "more").write_bytes(bytes(MIB))
    problem = health._disk()
    assert problem.startswith("The disk is nearly full: ")
    health.write(health.Health(False, problem, topic=health.DISK))
    answer = client.get("/check_health")
    assert (answer.status_code, answer.content) == (500, b"This appliance is not healthy: disk.\n")


@pytest.mark.parametrize(("total", "reserve"), [(1 << 30, 1 << 30), (100 << 30, 5 << 30), (9 << 40, 16 << 30)])
def test_the_reserve_of_a_data_sync(total: int, reserve: int) -> None:
    assert disk.Room(0, total, None).reserve_bytes == reserve


def test_what_lies_in_memory_is_this_users_alone_and_goes_with_the_appliance(tmp_path: Path) -> None:
    data, memory = tmp_path / "data", tmp_path / "shm"
    data.mkdir()
    assert runtime.runtime_folder(data, memory) == data  # no such place
    memory.mkdir()
    folder = runtime.runtime_folder(data, memory)
    assert folder.parent == memory
    assert not folder.exists()
    runtime.make(folder, data)
    runtime.make(folder, data)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    with pytest.raises(PermissionError, match="mode 0700"):
        runtime.make(folder, data)
    runtime.remove(folder, data)
    assert not folder.exists()
    folder.symlink_to(data)
    with pytest.raises(PermissionError):
        runtime.make(folder, data)
    runtime.remove(data, data)
    assert data.is_dir()
