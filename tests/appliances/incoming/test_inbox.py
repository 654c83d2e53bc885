"""The watched folder: what is complete is taken in, what is being written waits, what is bad is refused."""

from __future__ import annotations

import errno
import json
import os
import time
import tracemalloc
import uuid
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from appliances import blobs, disk
from appliances.incoming import inbox
from appliances.models import Recording, SessionEvent, SupportSession

pytestmark = pytest.mark.django_db

SESSION: dict[str, Any] = {
    "started_at": "2026-11-22T14:03:00+00:00",
    "ended_at": "2026-11-22T15:03:00+00:00",
    "representative": "anna",
    "customer_name": "Ada",
    "events": [{"at": "2026-11-22T14:03:05+00:00", "kind": "note", "text": "one"}],
}


@pytest.fixture
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.INBOX_DIR = tmp_path / "inbox"
    settings.INBOX_DIR.mkdir()
    return Path(settings.INBOX_DIR)


def put(folder: Path, name: str, content: bytes | dict[str, Any], age: float = 60) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def with_recording(file: str = "talk.webm", **told: Any) -> dict[str, Any]:
    return {"session": SESSION, "recordings": [{"file": file, **told}]}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def reasons(folder: Path) -> str:
    return "".join(path.read_text() for path in (folder / "refused").glob("*.txt"))


def test_a_document_and_its_recording_become_a_session(folder: Path):
    put(folder, "talk.webm", b"content")
    put(folder, "talk.json", with_recording(duration_seconds=12.5, name="Talk with Ada.webm"))
    looked = inbox.look()
    assert (looked.taken, looked.refused) == (1, 0)
    session, recording = SupportSession.objects.get(), Recording.objects.get()
    assert (recording.session_id, recording.name, recording.is_incomplete) == (session.pk, "Talk with Ada.webm", False)
    assert recording.started_at == session.started_at
    assert blobs.verify(recording.blob_id) == 7
    assert SessionEvent.objects.get().session_id == session.pk
    assert names(folder) == []


def test_what_was_taken_in_before_a_crash_is_not_taken_twice(folder: Path):
    put(folder, "talk.webm", b"content")
    document = put(folder, "talk.json", with_recording()).read_bytes()
    inbox.look()
    put(folder, "talk.json", document)  # the recording was removed already
    assert inbox.look().taken == 1
    put(folder, "talk.webm", b"content")
    put(folder, "talk.json", document)
    assert inbox.look().taken == 1
    assert (SupportSession.objects.count(), SessionEvent.objects.count(), Recording.objects.count()) == (1, 1, 1)


@pytest.mark.parametrize("young", ["talk.webm", "talk.json"])
def test_what_may_still_be_being_written_waits(folder: Path, young: str):
    put(folder, "talk.webm", b"content", 1 if young == "talk.webm" else 60)
    put(folder, "talk.json", with_recording(), 1 if young == "talk.json" else 60)
    assert inbox.look().taken == 0
    assert names(folder) == ["talk.json", "talk.webm"]
    os.utime(folder / young, (time.time() - 60,) * 2)
    assert inbox.look().taken == 1


def test_a_recording_that_has_yet_to_come_is_waited_for_an_hour(folder: Path):
    put(folder, "talk.json", with_recording())
    assert (inbox.look().refused, names(folder)) == (0, ["talk.json"])
    put(folder, "talk.json", with_recording(), 3700)
    assert inbox.look().refused == 1
    assert "'talk.webm' is not there. It was waited for an hour." in reasons(folder)
    assert not SupportSession.objects.exists()


def test_a_recording_that_no_document_names_is_refused_after_an_hour(folder: Path):
    put(folder, "talk.webm", b"x")
    put(folder, "late.webm", b"x", 3700)
    put(folder, "copying.part", b"x", 3700)
    put(folder, ".hidden", b"x", 3700)
    assert inbox.look().refused == 1
    assert "For an hour no document named it." in reasons(folder)
    assert names(folder) == [".hidden", "copying.part", "refused", "talk.webm"]


def test_further_recordings_of_a_session_that_is_here(folder: Path):
    put(folder, "a.json", {"session": SESSION})
    inbox.look()
    key = str(SupportSession.objects.get().pk)
    put(folder, "b.webm", b"b")
    put(folder, "b.json", {"session": key, "recordings": [{"file": "b.webm", "id": str(uuid.uuid4())}]})
    assert inbox.look().taken == 1
    assert str(Recording.objects.get().session_id) == key


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        ({"recordings": []}, "an object with session"),
        ({"session": SESSION, "more": 1}, "an object with session"),
        ({"session": {**SESSION, "customer_name": ""}}, "customer_name is missing"),
        ({"session": "x"}, "must be a UUID"),
        ({"session": SESSION, "recordings": {}}, "recordings is a list"),
        ({"session": SESSION, "recordings": ["x"]}, "at least file"),
        (with_recording("../outside"), "without any path"),
        (with_recording("/etc/hostname"), "without any path"),
        (with_recording("a\0b"), "control character"),
        (with_recording(".."), "without any path"),
        (with_recording("talk.webm", duration_seconds="long"), "duration_seconds"),
        ({"session": SESSION, "recordings": [{"file": "talk.webm"}] * 2}, "one file or one id"),
        ({"session": str(uuid.uuid4()), "recordings": [{"file": "talk.webm"}]}, "no session"),
    ],
)
def test_a_bad_document_is_refused_with_the_reason(folder: Path, document: bytes | dict[str, Any], reason: str):
    put(folder, "talk.webm", b"x")
    put(folder, "talk.json", document)
    assert inbox.look().refused == 1
    assert reason in reasons(folder)
    assert not SupportSession.objects.exists()
    assert not Recording.objects.exists()
    assert "talk.json" not in names(folder)


def test_nothing_but_ordinary_files_is_read(folder: Path, tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    os.utime(secret, (1, 1))
    (folder / "link.webm").symlink_to(secret)
    os.link(secret, folder / "hard.webm")
    os.mkfifo(folder / "fifo.webm")
    (folder / "folder.webm").mkdir()
    (folder / "doc.json").symlink_to(secret)
    kinds = ("link", "hard", "fifo", "folder")
    for kind in kinds:
        put(folder, f"{kind}.json", with_recording(f"{kind}.webm"))
    assert inbox.look().refused == 5
    assert not Recording.objects.exists()
    assert secret.read_bytes() == b"secret"
    assert reasons(folder).count("ordinary file") == 4
    assert "hard link" in reasons(folder)
    assert names(folder) == ["refused"]


def test_a_link_in_place_of_the_refused_folder_is_not_followed(folder: Path, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (folder / "refused").symlink_to(tmp_path / "elsewhere")
    put(folder, "talk.json", b"{")
    assert inbox.look().stuck == {"'talk.json' in the watched folder": "refused: Not a directory"}
    assert names(tmp_path / "elsewhere") == []


def test_names_that_are_long_or_odd_are_only_names(folder: Path):
    put(folder, "ü" * 120 + ".json", b"{")
    (folder / os.fsdecode(b"\xff\xfe.json")).write_bytes(b"{")
    os.utime(folder / os.fsdecode(b"\xff\xfe.json"), (1, 1))
    assert inbox.look().refused == 2


def test_a_full_disk_leaves_everything_where_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch):
    put(folder, "talk.webm", b"content")
    put(folder, "talk.json", with_recording())
    monkeypatch.setattr(disk, "least_bytes", lambda: 1 << 62)
    with pytest.raises(blobs.StoreFull):
        inbox.look()
    assert names(folder) == ["talk.json", "talk.webm"]


def test_the_largest_size_is_that_of_the_api(folder: Path, settings: Settings):
    settings.MAX_UPLOAD_GIB = 1
    with open(folder / "big.webm", "wb") as file:
        file.truncate((1 << 30) + 1)
    os.utime(folder / "big.webm", (1, 1))
    put(folder, "big.json", with_recording("big.webm"))
    assert inbox.look().refused == 1
    assert "larger than 1 GiB" in reasons(folder)


def test_memory_does_not_grow_with_the_size_of_a_recording(folder: Path):
    with open(folder / "big.webm", "wb") as file:
        file.truncate(64 << 20)
    os.utime(folder / "big.webm", (1, 1))
    put(folder, "big.json", with_recording("big.webm"))
    tracemalloc.start()
    try:
        assert inbox.look().taken == 1
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_recording_that_the_disk_does_not_give_is_refused_and_all_others_taken_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    bad = put(folder, "a.webm", b"bad sector").stat().st_ino
    put(folder, "a.json", with_recording("a.webm"))
    put(folder, "b.webm", b"content")
    put(folder, "b.json", {"session": SESSION, "recordings": [{"file": "b.webm"}]})

    class Failing(inbox._Reader):
        def read(self, size: int | None = -1, /) -> bytes:
            with self._told():
                if os.fstat(self.fileno()).st_ino == bad:
                    raise OSError(errno.EIO, "Input/output error")
            return super().read(size)

    monkeypatch.setattr(inbox, "_Reader", Failing)
    looked = inbox.look()
    assert (looked.taken, looked.refused, looked.stuck) == (1, 1, {})
    assert Recording.objects.get().name == "b.webm"
    assert looked.unreadable == {"a.json": "'a.webm' cannot be read: Input/output error."}
    assert names(folder) == ["refused"]
    assert "cannot be read: Input/output error" in reasons(folder)
    assert inbox.look().unreadable == {}


@pytest.mark.parametrize("content", [b"{", json.dumps({"session": SESSION}).encode()])
def test_a_document_that_can_be_read_and_not_taken_away_stops_no_other(
    folder: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
):
    put(folder, "a.json", content)
    put(folder, "b.json", {"session": {**SESSION, "customer_name": "Bea"}})
    put(folder, "z.webm", b"nobody names it", 7200)

    def kept(act: Any) -> Any:
        def tried(name: str, *args: Any, **kwargs: Any) -> None:
            if name == "a.json":
                raise PermissionError(errno.EPERM, "Operation not permitted")
            act(name, *args, **kwargs)

        return tried

    monkeypatch.setattr(os, "unlink", kept(os.unlink))
    monkeypatch.setattr(os, "rename", kept(os.rename))
    for refused in (1, 0):
        looked = inbox.look()
        assert looked.stuck == {"'a.json' in the watched folder": "Operation not permitted"}
        assert looked.refused == refused
    assert SupportSession.objects.filter(customer_name="Bea").exists()
    assert names(folder) == ["a.json", "refused"]
    assert len(list((folder / "refused").iterdir())) == 2  # z.webm and why, and nothing more at each look


def test_a_full_disk_ends_the_look(folder: Path, monkeypatch: pytest.MonkeyPatch):
    put(folder, "a.json", {"session": SESSION})

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "unlink", full)
    with pytest.raises(OSError, match="No space left"):
        inbox.look()
