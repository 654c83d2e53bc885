"""A backup that dies, or whose disk fails, in the middle of a folder: whole files only, and the next one goes on."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from appliances.choices import FolderState
from sync import crash
from sync.datasync.folders import write as writing
from tests.sync.datasync.folders.conftest import Both, files, write

OLD = {"a.txt": b"old", "sub/b.txt": b"old", "gone.txt": b"old", "sub/large.bin": b"o" * 700_000}
NEW = {"a.txt": b"newer", "sub/b.txt": b"newer", "sub/large.bin": b"n" * 700_001, "new/c.txt": b"new"}


def put(root: Path, content: dict[str, bytes]) -> None:
    for name, text in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text)


@pytest.fixture
def changed(both: Both) -> Both:
    """Both hold the old files, the primary the new ones by now."""
    put(both.source, OLD)
    both.sync()
    (both.source / "gone.txt").unlink()
    put(both.source, NEW)
    return both


def whole_files_only(both: Both) -> None:
    for name, content in both.here().items():
        if not name.startswith(".failover-sync/"):
            assert content in (OLD.get(name), NEW.get(name)), name


def die(both: Both, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, when: Any) -> None:
    """A data-sync in a process that is killed when it comes to this call."""
    child = os.fork()
    if child == 0:
        found = getattr(module, name)

        def killed(*arguments: Any, **options: Any) -> Any:
            if when(*arguments):
                os.kill(os.getpid(), signal.SIGKILL)
            return found(*arguments, **options)

        try:
            monkeypatch.setattr(module, name, killed)
            both.sync()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    for connection in connections.all():
        connection.close_if_unusable_or_obsolete()


@pytest.mark.parametrize("point", [name for name in crash.FOLDERS if name.startswith("folder ")])
def test_killed_at_each_point_the_next_data_sync_goes_on(
    changed: Both, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    die(changed, monkeypatch, crash, "point", lambda name: name == point)
    whole_files_only(changed)
    changed.sync()
    assert files(changed.target) == NEW
    assert changed.sync().state == FolderState.EQUAL


@pytest.mark.parametrize("number", range(4))
def test_killed_between_two_names_each_file_is_old_or_new(
    changed: Both, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    left = iter(range(100))
    die(changed, monkeypatch, writing.Writer, "_name", lambda *_: next(left) == number)
    whole_files_only(changed)
    changed.sync()
    assert files(changed.target) == NEW


def test_a_disk_that_is_full_at_any_write_leaves_whole_files_and_says_so(
    changed: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrote = writing.StagedFile.write
    for number in range(4):
        left = iter(range(100))

        def full(self: Any, piece: Any, left: Any = left, number: int = number) -> None:
            if next(left) == number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            wrote(self, piece)

        monkeypatch.setattr(writing.StagedFile, "write", full)
        outcome = changed.sync()
        assert (outcome.state, "full" in outcome.message) == (FolderState.FAILED, True)
        assert files(changed.target) == OLD
    monkeypatch.setattr(writing.StagedFile, "write", wrote)
    changed.sync()
    assert files(changed.target) == NEW


def test_a_primary_that_dies_meanwhile_leaves_whole_files(changed: Both) -> None:
    for frames in range(1, 9):
        changed.peer.cut_after = changed.peer.frames + frames
        outcome = changed.sync()
        whole_files_only(changed)
        if outcome.state != FolderState.FAILED:
            break
    changed.peer.cut_after = None
    changed.sync()
    assert files(changed.target) == NEW


def test_a_role_change_ends_it_before_anything_gets_its_name(changed: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    from sync.errors import SyncRefused
    from tests.sync.datasync import world

    def promoted(name: str) -> None:
        if name == "folder looked":
            world.set_state({"state": "p_active"})

    monkeypatch.setattr(crash, "point", promoted)
    with pytest.raises(SyncRefused):
        changed.sync()
    assert files(changed.target) == OLD


def test_a_file_that_changes_while_it_is_read_is_read_again_and_then_reported(
    changed: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sync.datasync.folders import walk

    size, compared = 12_345, []

    def never_same(before: os.stat_result, after: os.stat_result) -> bool:
        if before.st_size == size:
            compared.append(before)
        return before.st_size != size

    write(changed.target, busy_txt="x" * size)
    monkeypatch.setattr(walk, "same_version", never_same)
    outcome = changed.sync()
    assert ("busy.txt", "changes while it is read, on the backup") in outcome.reported
    assert len(compared) == 2
