"""A backup that holds files which the primary never had: it was primary meanwhile, or somebody wrote there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from django.conf import settings

from appliances.choices import ChangeKind, ChangeStatus, FolderState, Role, State
from appliances.models import FolderPlace
from sync import crash, journal, role_changes
from sync.datasync.folders.store import AGREED, Manifest
from sync.models import RoleChange
from sync.peer.client import PeerClient
from tests.sync.datasync.folders.conftest import Both, write
from tests.sync.datasync.folders.test_crash import die

FOLDER = "from django.conf import settings; result = str(settings.FOLDER_MANIFESTS)"


def swap(both: Both) -> None:
    """The two change their roles: each has now the files that the other one had, and its list of them."""
    there = Path(str(both.there("run", FOLDER)))
    here = Path(settings.FOLDER_MANIFESTS)
    for one, other in ((here, there), (both.source, both.target)):
        spare = one.with_name("spare")
        one.rename(spare)
        other.rename(one)
        spare.rename(other)


def made_meanwhile(both: Both) -> None:
    """The primary has a new file, whose name is taken on the backup after the two have looked."""
    write(both.source, c_txt="of the primary")
    both.peer.before = lambda path: write(both.target, c_txt="of the backup") if path == "folder-files" else None


def test_after_a_planned_swap_there_and_back_nothing_waits(both: Both) -> None:
    write(both.source, a_txt="one", d__b_txt="two", gone_txt="three")
    both.sync()
    write(both.source, a_txt="newer", new_txt="new")
    both.sync()
    for number in range(3):
        swap(both)
        write(both.source, a_txt=f"at {number}", d__b_txt=f"also at {number}", **{f"new{number}_txt": "new"})
        (both.source / ("new.txt" if number == 0 else f"new{number - 1}.txt")).unlink()
        outcome = both.sync()
        assert (outcome.state, outcome.deleted) == (FolderState.COPIED, 1)
        assert both.is_equal()
        assert both.sync().state == FolderState.EQUAL


def test_what_the_old_primary_alone_has_stays_until_somebody_agrees(both: Both) -> None:
    """It died before the backup had this; meanwhile the new primary has changed the same and other files."""
    write(both.source, a_txt="one", d__b_txt="two", left_txt="same", later_txt="old", gone_txt="old")
    both.sync()
    write(both.source, a_txt="the only copy", d__made_txt="the only copy too")
    swap(both)
    write(both.source, a_txt="of the new primary", later_txt="newer", added_txt="new")
    (both.source / "gone.txt").unlink()

    held = both.sync()

    assert (held.state, held.held, held.held_replaced, held.deleted) == (FolderState.HELD, 1, 1, 1)
    mine = {"a.txt": b"the only copy", "d/made.txt": b"the only copy too", "d/b.txt": b"two", "left.txt": b"same"}
    assert both.here() == mine | {"later.txt": b"newer", "added.txt": b"new"}, "all else goes on"
    write(both.source, later_txt="newest")
    again = both.sync()
    assert (again.files, again.held_fingerprint) == (1, held.held_fingerprint)
    both.agree(held)
    assert both.sync().state == FolderState.COPIED
    assert both.is_equal()
    write(both.source, a_txt="later")
    assert both.sync().files == 1, "from now on without asking"


def test_an_agreement_does_not_hold_for_what_is_written_after_it(both: Both) -> None:
    """It was given while the backup waited; then this appliance was primary, and came back."""
    write(both.source, a_txt="one", b_txt="two")
    both.sync()
    write(both.target, a_txt="by hand")
    both.agree(both.sync())
    write(both.target, a_txt="the only copy")
    held = both.sync()
    assert (held.state, held.held_replaced) == (FolderState.HELD, 1)
    assert both.here()["a.txt"] == b"the only copy"


def test_an_agreement_that_was_not_needed_any_more_is_forgotten(both: Both) -> None:
    write(both.source, a_txt="one", b_txt="two")
    both.sync()
    write(both.target, a_txt="by hand")
    both.agree(both.sync())
    write(both.target, a_txt="newer")
    write(both.source, a_txt="newer")
    both.sync()
    assert both.kept.agreed == ""


def test_it_waits_too_where_not_everything_had_been_copied_before(both: Both) -> None:
    write(both.source, a_txt="one", b_txt="two")
    both.sync()
    write(both.source, a_txt="newer")
    made_meanwhile(both)
    assert both.sync().state == FolderState.PARTLY
    both.peer.before = lambda path: None
    write(both.source, b_txt="the only copy")
    swap(both)
    (both.source / "b.txt").unlink()
    held = both.sync()
    assert (held.held, held.held_replaced) == (1, 1)
    assert both.here() == {"a.txt": b"newer", "b.txt": b"the only copy", "c.txt": b"of the primary"}


@pytest.mark.parametrize("deleted", [False, True])
def test_what_somebody_wrote_on_the_backup_stays_until_somebody_agrees(both: Both, deleted: bool) -> None:
    write(both.source, a_txt="one", b_txt="two", c_txt="three")
    both.sync()
    write(both.target, a_txt="by hand")
    if deleted:
        (both.source / "a.txt").unlink()
    held = both.sync()
    assert (held.state, held.held, held.held_replaced) == (FolderState.HELD, int(deleted), int(not deleted))
    assert both.here()["a.txt"] == b"by hand"


@pytest.mark.parametrize("state", [FolderState.HELD, FolderState.PARTLY, FolderState.FAILED, FolderState.NO_PLACE])
def test_a_planned_swap_whose_data_sync_does_not_copy_a_folder_is_given_up_and_says_why(
    both: Both, monkeypatch: pytest.MonkeyPatch, state: FolderState
) -> None:
    write(both.source, a_txt="one", b_txt="two")
    both.sync()
    write(both.source, a_txt="newer")
    match state:
        case FolderState.HELD:
            write(both.target, a_txt="by hand")
        case FolderState.PARTLY:
            made_meanwhile(both)
        case FolderState.FAILED:
            both.source.rename(both.source.parent / "unmounted")
        case FolderState.NO_PLACE:
            FolderPlace.objects.update(path="")
    monkeypatch.setattr(PeerClient, "to_peer", lambda *_, **__: both.peer)
    change = RoleChange.objects.create(
        kind=ChangeKind.SWITCHOVER, target_role=Role.PRIMARY, want_final_sync=True, requested_by="anna"
    )
    role_changes.drive(change.pk)
    change.refresh_from_db()
    assert (both.kept.outcome["state"], change.status) == (state, ChangeStatus.CANCELLED)
    assert "Folder “web”: " in change.reason
    assert "ask for a swap without a data-sync" in change.reason
    assert journal.read().state == State.B_IDLE
    assert "handover" not in both.peer.asked


def test_what_somebody_deleted_on_the_backup_comes_again(both: Both) -> None:
    write(both.source, a_txt="one", b_txt="two")
    both.sync()
    (both.target / "a.txt").unlink()
    assert (both.sync().state, both.is_equal()) == (FolderState.COPIED, True)


def test_time_and_permissions_alone_are_no_change_to_be_asked_about(both: Both) -> None:
    write(both.source, a_txt="one", b_txt="two")
    both.sync()
    os.utime(both.target / "a.txt", ns=(10**18, 10**18))
    both.sync()
    assert both.is_equal()
    (both.target / "a.txt").chmod(0o600)
    write(both.source, a_txt="newer")
    assert both.sync().state == FolderState.COPIED


@pytest.mark.parametrize("point", [name for name in crash.FOLDERS if name.startswith("folder ")])
def test_what_a_data_sync_that_died_left_here_is_the_primarys(
    both: Both, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """Also where the primary has another version by the time of the next one, or has deleted the file."""
    write(both.source, a_txt="one", d__b_txt="two", gone_txt="three", left_txt="same")
    both.sync()
    write(both.source, a_txt="newer", d__b_txt="newer", e__c_txt="new")
    (both.source / "gone.txt").unlink()
    die(both, monkeypatch, crash, "point", lambda name: name == point)
    write(both.source, a_txt="newest")
    shutil.rmtree(both.source / "d")
    shutil.rmtree(both.source / "e")
    outcome = both.sync()
    assert (outcome.state, outcome.held_replaced, outcome.held) == (FolderState.COPIED, 0, 0)
    assert both.is_equal()


def test_a_folder_below_that_could_not_be_read_for_a_while_is_compared_anew(both: Both) -> None:
    write(both.source, a_txt="one", d__b_txt="two")
    both.sync()
    (both.target / "d").rename(both.target.parent / "away")
    root = os.open(both.target, os.O_RDONLY)
    manifest = Manifest("web", root)
    manifest.put([], ["d"])
    assert manifest.fact(AGREED) == ""
    manifest.close()
    os.close(root)
    (both.target.parent / "away").rename(both.target / "d")
    assert both.sync().state == FolderState.EQUAL
    write(both.source, d__b_txt="newer")
    assert both.sync().state == FolderState.COPIED
