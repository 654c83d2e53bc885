"""A peer, or somebody on this machine, who wants something written, deleted or read outside of the folder."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliances import beneath
from appliances.choices import FolderState
from sync import crash
from sync.datasync.folders import wire
from sync.datasync.folders.write import OCCUPIED
from sync.errors import PeerMisbehaved
from tests.sync.datasync.folders.conftest import Both, files, write

OUTSIDE = (
    "..",
    "../outside/x",
    "a/../../outside/x",
    "/etc/passwd",
    "a//b",
    "./a",
    "a/.",
    "a\0b",
    ".failover-sync",
    ".failover-sync/1",
    "n" * 256,
    "/".join(["d" * 200] * 21),
    "\ud800",
    "a/caf\udcc3\udca9",
)
NO_NAMES = ("", ".", "..", "a/b", "/a", "a\0", "n" * 256, "é" * 128, "\ud800", "caf\udcc3\udca9")


@pytest.mark.parametrize("path", OUTSIDE)
def test_what_leads_out_is_no_directory(path: str, tmp_path: Path) -> None:
    with pytest.raises(PeerMisbehaved):
        wire.directory_of(path)
    root = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(ValueError, match="not a path below"):
            beneath.open_directory(root, path)
    finally:
        os.close(root)


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name_is_no_file(name: str) -> None:
    with pytest.raises(PeerMisbehaved):
        wire.entry_of([name, 1, 1, 0o644, "0" * 32])


@pytest.mark.parametrize(
    "values",
    [
        ["a", -1, 1, 0o644, "0" * 32],
        ["a", 1, 2**63, 0o644, "0" * 32],
        ["a", 1, 1, 0o4755, "0" * 32],
        ["a", True, 1, 0o644, "0" * 32],
        ["a", 1, 1, 0o644, "../" * 10 + "00"],
        ["a", 1, 1, 0o644],
        "a",
    ],
)
def test_numbers_that_no_file_has_are_refused(values: object) -> None:
    with pytest.raises(PeerMisbehaved):
        wire.entry_of(values)


def test_a_list_that_grows_without_end_is_refused() -> None:
    with pytest.raises(PeerMisbehaved):
        wire.items_of(memoryview(zlib.compress(b"[" + b" " * 50_000_000 + b"]")))


@pytest.mark.parametrize("opener", [beneath.open_directory, beneath.open_stepwise])
def test_no_symlink_on_the_way_is_followed(opener: Callable[[int, str], int], tmp_path: Path) -> None:
    (tmp_path / "root" / "real").mkdir(parents=True)
    (tmp_path / "outside" / "deep").mkdir(parents=True)
    (tmp_path / "root" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "root" / "real" / "up").symlink_to("..")
    root = os.open(tmp_path / "root", os.O_RDONLY)
    try:
        os.close(opener(root, "real"))
        for path in ("link", "link/deep", "real/up"):
            with pytest.raises(OSError, match=r"symbolic link|Not a directory"):
                opener(root, path)
    finally:
        os.close(root)


def hostile(both: Both, asked: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The primary's frames of this answer have other headers; lists other items."""

    def changed(path: str, frame: bytes) -> bytes:
        if path != asked:
            return frame
        header, body = wire.unpack(frame)
        if "items" in header:
            items = change({"items": wire.items_of(body)})["items"]
            return wire.pack(header, zlib.compress(json.dumps(items).encode()))
        return wire.pack(change(header), bytes(body))

    both.peer.change = changed


def refused(both: Both) -> None:
    outcome = both.sync()
    assert outcome.state == FolderState.FAILED, outcome
    assert "the data-sync of a folder" in outcome.message
    assert set(files(both.target.parent)) == {f"source/{name}" for name in files(both.source)}


@pytest.mark.parametrize("path", ["../outside", "/tmp/outside", "sub/../../outside", ".failover-sync/x"])
def test_a_directory_outside_is_refused_in_each_answer(both: Both, path: str) -> None:
    write(both.source, sub__a_txt="one")
    hostile(both, "folder-files", lambda header: {**header, "directory": path})
    refused(both)
    hostile(
        both,
        "folder-begin",
        lambda header: {**header, "items": [[path, "0" * 32, 1, 1]]} if "items" in header else header,
    )
    refused(both)


@pytest.mark.parametrize("name", ["../outside.txt", "/tmp/outside.txt", "..", "a\0.txt"])
def test_a_file_outside_is_refused(both: Both, name: str) -> None:
    write(both.source, sub__a_txt="one")

    def change(header: dict[str, Any]) -> dict[str, Any]:
        return {**header, "files": [[name, *header["files"][0][1:]]]} if "files" in header else header

    hostile(both, "folder-files", change)
    refused(both)


def test_a_file_that_was_not_asked_for_is_refused(both: Both) -> None:
    both.rules(exclude="*.key")
    write(both.source, sub__a_txt="one")

    def change(header: dict[str, Any]) -> dict[str, Any]:
        return {**header, "files": [["id.key", *header["files"][0][1:]]]} if "files" in header else header

    hostile(both, "folder-files", change)
    refused(both)


def test_other_bytes_than_listed_get_no_name(both: Both) -> None:
    write(both.source, sub__a_txt="one", sub__b_txt="two")
    both.peer.change = lambda path, frame: frame.replace(b"one", b"0ne") if path == "folder-files" else frame
    outcome = both.sync()
    assert outcome.state == FolderState.PARTLY
    assert outcome.reported == [("sub/a.txt", "did not arrive as the primary lists it")]
    assert both.here() == {"sub/b.txt": b"two"}


def at(monkeypatch: pytest.MonkeyPatch, point: str, act: Callable[[], None]) -> None:
    """Do something when the data-sync comes by this point, once."""
    left = [act]

    def passed(name: str) -> None:
        if name == point and left:
            left.pop()()

    monkeypatch.setattr(crash, "point", passed)


def test_a_directory_that_becomes_a_symlink_meanwhile_is_not_written_through(
    both: Both, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(both.source, sub__a_txt="one", b_txt="two")
    both.sync()
    write(both.source, sub__a_txt="newer", sub__c_txt="new", b_txt="newer")
    outside = tmp_path / "outside"
    outside.mkdir()

    def swap() -> None:
        (both.target / "sub").rename(tmp_path / "was sub")
        (both.target / "sub").symlink_to(outside)

    at(monkeypatch, "folder staged", swap)
    outcome = both.sync()

    assert list(outside.iterdir()) == []
    assert (both.target / "b.txt").read_text() == "newer"
    assert {path: why for path, why in outcome.reported if path.startswith("sub/")} == {
        "sub/a.txt": f"{OCCUPIED}, or above it",
        "sub/c.txt": f"{OCCUPIED}, or above it",
    }


def test_a_file_that_becomes_a_symlink_meanwhile_is_left_and_its_target_untouched(
    both: Both, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(both.source, a_txt="one")
    both.sync()
    write(both.source, a_txt="newer", n_txt="new")
    secret = tmp_path / "secret"
    secret.write_text("secret")

    def swap() -> None:
        (both.target / "a.txt").unlink()
        (both.target / "a.txt").symlink_to(secret)
        (both.target / "n.txt").symlink_to(secret)

    at(monkeypatch, "folder staged", swap)
    both.sync()

    assert secret.read_text() == "secret"
    assert (both.target / "a.txt").is_symlink()
    assert (both.target / "n.txt").is_symlink()


def test_nothing_is_deleted_through_a_symlink(both: Both, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(both.source, a_txt="stays", gone__b_txt="two")
    both.sync()
    (both.source / "gone" / "b.txt").unlink()
    (both.source / "gone").rmdir()
    write(tmp_path, outside__b_txt="two")

    def swap() -> None:
        (both.target / "gone").rename(tmp_path / "was gone")
        (both.target / "gone").symlink_to(tmp_path / "outside")

    at(monkeypatch, "folder deleting", swap)
    both.sync()
    assert (tmp_path / "outside" / "b.txt").read_text() == "two"


def test_a_file_changed_here_meanwhile_is_not_deleted(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    write(both.source, a_txt="stays", b_txt="goes")
    both.sync()
    (both.source / "b.txt").unlink()
    at(monkeypatch, "folder deleting", lambda: write(both.target, b_txt="written just now"))
    assert both.sync().deleted == 0
    assert (both.target / "b.txt").read_text() == "written just now"


def test_a_staging_directory_that_is_a_symlink_is_not_used(both: Both, tmp_path: Path) -> None:
    write(both.source, a_txt="one")
    write(tmp_path, outside__kept_txt="kept")
    (both.target / ".failover-sync").symlink_to(tmp_path / "outside")
    assert both.sync().state == FolderState.FAILED
    assert files(tmp_path / "outside") == {"kept.txt": b"kept"}


def test_names_that_differ_in_case_or_form_or_are_no_text_are_kept_apart(both: Both) -> None:
    names = [
        "A.txt",
        "a.txt",
        "caf\u00e9",
        "cafe\u0301",
        os.fsdecode(b"\xff\xfe.bin"),
        "new\nline",
        " ",
        "-rf",
        "\u202efdp",
    ]
    for name in names:
        (both.source / name).write_bytes(os.fsencode(name))
    both.sync()
    assert {name: (both.target / name).read_bytes() for name in names} == {name: os.fsencode(name) for name in names}
    assert both.is_equal()


def test_where_the_disk_takes_two_names_for_one_the_second_is_reported(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(both.source, A_txt="upper", a_txt="lower")
    rename = beneath.rename_new

    def folding(source: int, staged: str, target: int, name: str) -> None:
        if any(held.lower() == name.lower() for held in os.listdir(target)):
            raise FileExistsError
        rename(source, staged, target, name)

    monkeypatch.setattr(beneath, "rename_new", folding)
    outcome = both.sync()
    assert len(both.here()) == 1
    assert [why for _, why in outcome.reported] == [OCCUPIED]


@pytest.mark.parametrize("path", ["/etc", "relative", "/tmp/../etc", "", "/"])
def test_a_place_outside_the_allowed_roots_is_refused(path: str) -> None:
    assert beneath.place_problem(path)


def test_a_place_behind_a_symlink_or_around_the_data_folder_is_refused(tmp_path: Path, settings: Any) -> None:
    settings.FOLDER_ROOTS = [tmp_path]
    (tmp_path / "real" / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert beneath.place_problem(str(tmp_path / "real" / "in")) == ""
    assert "symlink" in beneath.place_problem(str(tmp_path / "link" / "in"))
    settings.DATA_DIR = tmp_path / "real" / "in" / "data"
    assert "data folder" in beneath.place_problem(str(tmp_path / "real"))
    assert "mkdir" in beneath.place_problem(str(tmp_path / "absent"))
