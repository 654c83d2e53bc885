"""A folder of the administrator's own, from a real primary to a real backup."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from appliances.choices import FolderState, SyncStatus, SyncTrigger
from sync.datasync import lease, pull
from sync.datasync.folders.write import Writer
from sync.errors import SyncError
from sync.models import SyncRun
from tests.sync.datasync.folders.conftest import Both, files, write

# A folder lies where the list is kept, so that it cannot be opened.
SPOIL = """
from django.conf import settings
from pathlib import Path
for file in Path(settings.FOLDER_MANIFESTS).iterdir(): file.unlink()
from blake3 import blake3
(Path(settings.FOLDER_MANIFESTS) / (blake3(b"web").hexdigest()[:32] + ".sqlite3")).mkdir(exist_ok=True)
"""
MEND = "import shutil; from django.conf import settings; shutil.rmtree(settings.FOLDER_MANIFESTS)"


def test_everything_arrives_with_time_and_permissions(both: Both) -> None:
    write(both.source, a_txt="one", sub__b_txt="two", sub__deep__c_bin=os.urandom(3_000_000), empty_txt="")
    (both.source / "a.txt").chmod(0o640)
    (both.source / "nothing in it").mkdir()
    (both.source / "nothing in it").chmod(0o750)

    outcome = both.sync()

    assert outcome.reported == []
    assert (outcome.state, outcome.files, outcome.total_files) == (FolderState.COPIED, 4, 4)
    assert both.is_equal()
    assert (both.target / "nothing in it").stat().st_mode & 0o777 == 0o750
    assert not (both.target / ".failover-sync").exists()
    assert both.there("run", "from tests.sync.datasync.folders import world; result = world.outcome()")["files"] == 4


def test_when_nothing_changed_one_exchange_is_enough(both: Both) -> None:
    write(both.source, a_txt="one", sub__b_txt="two")
    both.sync()
    both.peer.asked.clear()
    before = both.peer.frames

    outcome = both.sync()

    assert outcome.state == FolderState.EQUAL
    assert both.peer.asked == ["pull-begin", "folder-begin"]
    assert both.peer.frames - before == 1


def test_only_what_changed_is_sent(both: Both) -> None:
    write(both.source, **{f"d{n}__f_txt": f"{n}" for n in range(30)})
    both.sync()
    write(both.source, d3__f_txt="changed", d7__g_txt="new")

    outcome = both.sync()

    assert (outcome.files, outcome.state) == (2, FolderState.COPIED)
    assert both.is_equal()


def test_a_mirror_deletes_what_the_primary_no_longer_has(both: Both) -> None:
    write(both.source, a_txt="one", gone__b_txt="two", gone__c_txt="three")
    both.sync()
    (both.source / "gone" / "b.txt").unlink()
    (both.source / "gone" / "c.txt").unlink()
    (both.source / "gone").rmdir()

    assert both.sync().deleted == 2
    assert both.here() == {"a.txt": b"one"}
    assert not (both.target / "gone").exists()


def test_many_deletions_wait_until_somebody_agrees(both: Both) -> None:
    write(both.source, **{f"f{n}_txt": f"{n}" for n in range(40)})
    both.sync()
    for number in range(25):
        (both.source / f"f{number}.txt").unlink()
    write(both.source, new_txt="new")

    held = both.sync()

    assert (held.state, held.held, held.deleted) == (FolderState.HELD, 25, 0)
    assert len(both.here()) == 41
    both.agree(held)
    assert (both.sync().deleted, len(both.here())) == (25, 16)
    assert both.kept.agreed == ""


def test_an_agreement_is_for_exactly_those_deletions(both: Both) -> None:
    write(both.source, **{f"f{n}_txt": f"{n}" for n in range(40)})
    both.sync()
    for number in range(25):
        (both.source / f"f{number}.txt").unlink()
    both.agree(both.sync())
    (both.source / "f30.txt").unlink()
    assert both.sync().held == 26
    assert len(both.here()) == 40


def test_the_first_data_sync_deletes_nothing_unasked(both: Both) -> None:
    write(both.source, a_txt="one")
    write(both.target, of_another_folder_txt="mine")
    held = both.sync()
    assert (held.state, held.held) == (FolderState.HELD, 1)
    assert both.here() == {"a.txt": b"one", "of.another.folder.txt": b"mine"}
    assert both.sync().held == 1, "nor does the second one"
    both.agree(held)
    assert both.sync().deleted == 1


def test_the_first_data_sync_overwrites_nothing_unasked(both: Both) -> None:
    write(both.source, a_txt="theirs", d__b_txt="theirs too", new_txt="new")
    write(both.target, a_txt="mine", d__b_txt="mine too", d__other_txt="mine alone")
    held = both.sync()
    assert (held.state, held.held, held.held_replaced) == (FolderState.HELD, 1, 2)
    assert "2 files of the backup are not overwritten" in held.message
    mine = {"a.txt": b"mine", "d/b.txt": b"mine too", "d/other.txt": b"mine alone"}
    assert both.here() == mine | {"new.txt": b"new"}
    assert both.sync().held_replaced == 2, "nor does the second one"
    both.agree(held)
    done = both.sync()
    assert (done.state, done.files, done.deleted) == (FolderState.COPIED, 2, 1)
    assert both.is_equal()
    write(both.source, a_txt="later")
    assert both.sync().files == 1, "from now on without asking"


@pytest.mark.parametrize("copied_by_hand", [False, True])
def test_what_was_like_each_other_before_a_role_change_is_no_first_data_sync_afterwards(
    both: Both, copied_by_hand: bool
) -> None:
    for place in [both.source, *([both.target] if copied_by_hand else [])]:
        write(place, a_txt="one", b_txt="two")
    assert both.sync().state == (FolderState.EQUAL if copied_by_hand else FolderState.COPIED)
    agreed = both.there(
        "run",
        "import os; from sync.datasync.folders.store import Manifest; "
        f"root = os.open({str(both.source)!r}, os.O_RDONLY); result = Manifest('web', root).fact('agreed')",
    )
    assert agreed
    both.peer.asked.clear()
    both.sync()
    assert both.peer.asked == ["pull-begin", "folder-begin"]


def test_a_damaged_manifest_is_made_anew(both: Both, settings: Settings) -> None:
    write(both.source, a_txt="one")
    both.sync()
    for manifest in Path(settings.FOLDER_MANIFESTS).iterdir():
        manifest.write_bytes(b"no database " * 1000)
    assert both.sync().state == FolderState.EQUAL


def test_a_change_that_leaves_size_and_time_as_they_were_is_seen(both: Both) -> None:
    write(both.source, a_txt="one", b_txt="two")
    both.sync()
    both.sync()
    for place, text in ((both.source, "eno"), (both.target, "neo")):
        file = place / "a.txt"
        stamp = file.stat().st_mtime_ns
        file.write_text(text)
        os.utime(file, ns=(stamp, stamp))
        seen = both.sync()
        assert (seen.files, seen.held_replaced) == ((1, 0) if place == both.source else (0, 1))
    both.agree(seen)
    assert both.sync().files == 1
    assert both.here()["a.txt"] == b"eno"


@pytest.mark.parametrize("asked", ["folder-begin", "folder-entries", "folder-files"])
def test_a_primary_that_cannot_keep_its_list_says_so(both: Both, asked: str) -> None:
    write(both.source, a_txt="one", d__b_txt="two")
    both.sync()
    write(both.source, d__b_txt="other")
    both.peer.before = lambda path: both.there("run", SPOIL) if path == asked else None
    outcome = both.sync()
    assert outcome.state == FolderState.FAILED
    assert "list of its files" in outcome.message
    both.there("run", MEND)
    both.peer.before = lambda path: None
    assert both.sync().state == FolderState.COPIED
    assert both.is_equal()


@pytest.mark.parametrize("files", [3, 30])
def test_an_empty_disk_on_the_primary_deletes_nothing_unasked(both: Both, files: int) -> None:
    write(both.source, **{f"f{n}_txt": f"{n}" for n in range(files)})
    both.sync()
    for path in both.source.iterdir():
        path.unlink()
    assert both.sync().state == FolderState.HELD
    assert len(both.here()) == files


def test_a_file_becomes_a_directory_and_a_directory_a_file(both: Both) -> None:
    write(both.source, a__x_txt="one", b="two", c="three")
    both.sync()
    (both.source / "a" / "x.txt").unlink()
    (both.source / "a").rmdir()
    (both.source / "b").unlink()
    write(both.source, a="file", b__y_txt="deep")

    both.sync()

    assert both.here() == {"a": b"file", "b/y.txt": b"deep", "c": b"three"}


def test_patterns_hold_on_both_sides(both: Both) -> None:
    both.rules(exclude="*.tmp\ncache/", include="*.txt\nkeep/**")
    write(both.source, a_txt="1", a_tmp="2", cache__b_txt="3", keep__c_bin="4", d_bin="5")
    write(both.target, mine_tmp="stays", cache__own_txt="stays", e_bin="stays")

    both.sync()

    assert both.here() == {
        "a.txt": b"1",
        "keep/c.bin": b"4",
        "mine.tmp": b"stays",
        "cache/own.txt": b"stays",
        "e.bin": b"stays",
    }


def test_time_and_permissions_alone_move_no_bytes(both: Both) -> None:
    write(both.source, a_txt="one")
    both.sync()
    os.utime(both.source / "a.txt", ns=(10**18, 10**18))
    (both.source / "a.txt").chmod(0o600)
    outcome = both.sync()
    assert (outcome.files, outcome.restamped) == (0, 1)
    assert both.is_equal()


def test_links_and_special_files_are_reported_and_neither_followed_nor_deleted(both: Both, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not to be copied")
    write(both.source, a_txt="one", twice_txt="linked", kept__b_txt="b")
    both.sync()
    os.link(both.source / "twice.txt", both.source / "again.txt")
    (both.source / "link").symlink_to(secret)
    (both.source / "a.txt").unlink()
    (both.source / "a.txt").symlink_to(secret)
    (both.source / "kept" / "b.txt").unlink()
    (both.source / "kept").rmdir()
    (both.source / "kept").symlink_to(tmp_path)
    os.mkfifo(both.source / "pipe")
    write(both.source, n_txt="new")

    outcome = both.sync()

    assert dict(outcome.reported) == {
        "again.txt": "hard link",
        "twice.txt": "hard link",
        "link": "symlink",
        "a.txt": "symlink",
        "kept": "symlink",
        "pipe": "pipe",
    }
    assert both.here() == {"a.txt": b"one", "twice.txt": b"linked", "kept/b.txt": b"b", "n.txt": b"new"}


def test_union_deletes_nothing_and_keeps_both_versions(both: Both) -> None:
    both.rules("union")
    write(both.source, a_txt="a", both_txt="old", theirs_txt="old", mine_txt="old")
    write(both.target, own_txt="mine")
    both.sync()
    assert files(both.target).keys() == {"a.txt", "both.txt", "theirs.txt", "mine.txt", "own.txt"}
    (both.source / "a.txt").unlink()
    write(both.source, both_txt="primary's", theirs_txt="newer")
    write(both.target, both_txt="backup's", mine_txt="newer here")

    outcome = both.sync()

    kept = next(name for name in both.here() if name.startswith("both.conflict-"))
    assert both.here() == {
        "a.txt": b"a",
        "both.txt": b"primary's",
        kept: b"backup's",
        "theirs.txt": b"newer",
        "mine.txt": b"newer here",
        "own.txt": b"mine",
    }
    assert outcome.kept_twice == 1
    assert both.sync().kept_twice == 0


def test_a_union_goes_the_other_way_after_a_role_change(both: Both) -> None:
    """The primary has learnt what both held, so what it did not change itself is no conflict there."""
    from sync.datasync.folders.store import Manifest

    both.rules("union")
    write(both.source, a_txt="a")
    both.sync()
    agreed = both.there(
        "run",
        "import os; from sync.datasync.folders.store import Manifest; "
        f"root = os.open({str(both.source)!r}, os.O_RDONLY); result = Manifest('web', root).agreed('')",
    )
    root = os.open(both.target, os.O_RDONLY)
    try:
        assert agreed == Manifest("web", root).agreed("")
        assert set(agreed) == {"a.txt"}
    finally:
        os.close(root)


def test_without_a_path_on_the_backup_nothing_is_asked(both: Both) -> None:
    both.kept.__class__.objects.update(path="")
    assert both.sync().state == FolderState.NO_PLACE
    assert "folder-begin" not in both.peer.asked


def test_a_folder_that_fails_takes_nothing_of_the_data_sync_back(both: Both) -> None:
    both.there("account", "anna")
    both.source.rmdir()
    outcome = both.sync()
    assert outcome.state == FolderState.FAILED
    assert "mkdir" in outcome.message
    from appliances.models import Account

    assert Account.objects.filter(username="anna").exists()


def test_a_backup_that_lost_its_lease_deletes_no_further_file(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    write(both.source, **{f"f{number}_txt": f"{number}" for number in range(20)})
    both.sync()
    for number in range(3):
        (both.source / f"f{number}.txt").unlink()
    delete = Writer._delete

    def then_lost(*arguments: Any) -> bool:
        SyncRun.objects.filter(status=SyncStatus.RUNNING).update(status=SyncStatus.FAILED)
        return delete(*arguments)

    monkeypatch.setattr(lease, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(Writer, "_delete", then_lost)
    with pytest.raises(SyncError):
        pull.pull_data(SyncTrigger.SYNC_NOW, client=both.peer)  # type: ignore[arg-type]
    assert len(both.here()) == 19
