"""The content-addressed store."""

from __future__ import annotations

import datetime as dt
import io
import os
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from appliances import blob_sweep, blobs

NO_GRACE = dt.timedelta(seconds=-1)


def id_of(content: bytes) -> str:
    return blake3(content).hexdigest()


def staged() -> list[Path]:
    from django.conf import settings

    return list(Path(settings.STAGING_DIR).glob("*"))


def test_what_is_stored_reads_back_under_the_hash_of_its_content():
    stored = blobs.store(io.BytesIO(b"hello"))
    assert stored == blobs.StoredBlob(id_of(b"hello"), 5)
    with blobs.open_blob(stored.blob_id) as file:
        assert file.read() == b"hello"
    assert blobs.has(stored.blob_id)
    assert blobs.size(stored.blob_id) == 5
    assert blobs.verify(stored.blob_id) == 5


def test_pieces_are_stored_like_a_stream():
    assert blobs.store([b"he", b"", b"llo"]).blob_id == id_of(b"hello")


def test_the_empty_blob_is_a_blob():
    assert blobs.store([]).size_bytes == 0
    assert list(blobs.iterate(id_of(b""))) == []


def test_storing_twice_keeps_one_file_and_leaves_nothing_in_staging():
    assert blobs.store([b"x"]) == blobs.store([b"x"])
    assert list(blobs.all_ids()) == [id_of(b"x")]
    assert staged() == []


def test_only_this_user_can_read_a_blob():
    stored = blobs.store([b"secret"])
    assert blobs.path(stored.blob_id).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["", "..", "../" * 21 + "a", "A" * 64, "g" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n"])
def test_no_path_is_built_from_anything_but_a_blob_id(name: str):
    with pytest.raises(ValueError, match="not a blob id"):
        blobs.path(name)
    with pytest.raises(ValueError, match="not a blob id"):
        blobs.store_verified(name, [b"x"])


def test_wrong_bytes_are_refused_and_not_stored():
    with pytest.raises(blobs.BlobCorrupt):
        blobs.store_verified(id_of(b"right"), [b"wrong"])
    assert list(blobs.all_ids()) == []
    assert staged() == []


def test_a_damaged_blob_is_noticed_and_replaced():
    blob_id = blobs.store([b"precious"]).blob_id
    blobs.path(blob_id).write_bytes(b"precioux")
    with pytest.raises(blobs.BlobCorrupt):
        blobs.verify(blob_id)
    blobs.store_verified(blob_id, [b"precious"])
    assert blobs.verify(blob_id) == 8


def test_a_missing_blob_is_named_at_once():
    for ask in (blobs.open_blob, blobs.iterate, blobs.size, blobs.verify, lambda name: blobs.read_small(name, 1)):
        with pytest.raises(blobs.BlobMissing):
            ask("0" * 64)


@pytest.mark.parametrize(("start", "end"), [(0, None), (3, None), (0, 4), (2, 7), (5, 5), (9, 4), (0, 99), (99, None)])
def test_a_range_is_read_like_a_slice(start: int, end: int | None):
    blob_id = blobs.store([b"0123456789"]).blob_id
    assert b"".join(blobs.iterate(blob_id, start, end)) == b"0123456789"[start:end]


def test_a_source_that_breaks_leaves_nothing():
    def breaking() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        blobs.store(breaking())
    assert list(blobs.all_ids()) == []
    assert staged() == []


def test_more_than_allowed_is_refused():
    with pytest.raises(blobs.BlobTooLarge):
        blobs.store([b"123", b"456"], max_bytes=5)
    assert blobs.store([b"123", b"45"], max_bytes=5).size_bytes == 5
    assert staged() == []


def test_a_batch_stores_all_at_its_end_and_none_before():
    with blobs.Batch() as batch:
        first = batch.store([b"one"])
        second = batch.store_verified(id_of(b"two"), [b"two"])
        assert batch.holds(first.blob_id)
        assert not blobs.has(first.blob_id)
    assert blobs.verify(first.blob_id)
    assert blobs.verify(second.blob_id)
    assert staged() == []


def test_a_batch_that_fails_stores_nothing():
    def fail_after_one() -> None:
        with blobs.Batch() as batch:
            batch.store([b"one"])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_after_one()
    assert list(blobs.all_ids()) == []
    assert staged() == []


def test_content_in_memory_is_stored_like_a_stream():
    contents: list[bytes | memoryview] = [b"first", memoryview(b"second"), b""]
    with blobs.Batch() as batch:
        for content in contents:
            batch.store_content(id_of(bytes(content)), content)
            batch.store_content(id_of(bytes(content)), content)
        with pytest.raises(blobs.BlobCorrupt):
            batch.store_content(id_of(b"right"), b"wrong")
    for content in contents:
        assert blobs.read_small(id_of(bytes(content)), 6) == bytes(content)
        assert blobs.path(id_of(bytes(content))).stat().st_mode & 0o777 == 0o600
    assert blobs.read_small(id_of(b"second"), 5) is None
    assert staged() == []


def test_one_bad_blob_does_not_spoil_the_batch():
    with blobs.Batch() as batch:
        batch.store([b"good"])
        with pytest.raises(blobs.BlobCorrupt):
            batch.store_verified(id_of(b"bad"), [b"worse"])
    assert list(blobs.all_ids()) == [id_of(b"good")]


def test_the_sweep_removes_what_nobody_refers_to_and_keeps_the_rest():
    kept, gone = blobs.store([b"kept"]), blobs.store([b"gone!"])
    assert blob_sweep.sweep({kept.blob_id}, NO_GRACE) == blob_sweep.Swept(1, 5)
    assert blobs.has(kept.blob_id)
    assert not blobs.has(gone.blob_id)


def test_the_sweep_leaves_new_and_touched_blobs():
    blob_id = blobs.store([b"new"]).blob_id
    assert blob_sweep.sweep(set(), dt.timedelta(hours=1)).blobs == 0
    os.utime(blobs.path(blob_id), (0, 0))
    assert not blobs.absent([blob_id])
    assert blob_sweep.sweep(set(), dt.timedelta(hours=1)).blobs == 0
    os.utime(blobs.path(blob_id), (0, 0))
    assert blob_sweep.sweep(set(), dt.timedelta(hours=1)).blobs == 1


def test_the_sweep_removes_what_a_crash_left_in_staging_but_no_partial_of_a_data_sync(tmp_path: Path):
    for name in ("blob-crashed", "sync-partial"):
        folder = tmp_path / "staging" / name
        folder.mkdir(parents=True)
        (folder / "1").write_bytes(b"x")
        os.utime(folder, (0, 0))
    blob_sweep.sweep(set(), dt.timedelta(hours=1))
    assert [folder.name for folder in staged()] == ["sync-partial"]


def test_memory_stays_small_whatever_the_size():
    piece = bytes(blobs.CHUNK_BYTES)
    tracemalloc.start()
    blobs.store(piece for _ in range(64))
    for _ in blobs.iterate(next(blobs.all_ids())):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * blobs.CHUNK_BYTES


def _store_many() -> None:
    with blobs.Batch() as batch:
        for number in range(40):
            content = bytes([number]) * 100_000
            batch.store_content(id_of(content), content)


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path):
    full = tmp_path / "full"
    full.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(full)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no right to mount a small disk here")
    try:
        from django.conf import settings

        settings.BLOB_DIR, settings.STAGING_DIR = full / "blobs", full / "staging"
        with pytest.raises(blobs.StoreFull):
            blobs.store(bytes(blobs.CHUNK_BYTES) for _ in range(4))
        with pytest.raises(blobs.StoreFull):
            _store_many()
        assert staged() == []
        assert list(blobs.all_ids()) == []
        blobs.store([b"small ones still fit"])
    finally:
        subprocess.run(["umount", str(full)], check=True)


def test_many_are_made_new_at_once_and_those_that_are_not_there_are_named() -> None:
    here = [blobs.store([bytes([number])]).blob_id for number in range(3)]
    for blob_id in here:
        os.utime(blobs.path(blob_id), (1, 1))
    gone = "0" * 64
    assert blobs.absent([*here, gone]) == {gone}
    assert blob_sweep.sweep((), dt.timedelta(hours=1)).blobs == 0
