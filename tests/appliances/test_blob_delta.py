"""What a changed file has of its earlier version."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliances import blob_delta
from appliances.blob_delta import Part

NOISE = random.Random(8)
BASE = NOISE.randbytes(6 << 20)
LINES = b"".join(b"%09d a line of a log, one of many\n" % number for number in range(100_000))
MIB = 1 << 20


def parts(folder: Path, old: bytes, new: bytes) -> list[Part]:
    """The parts, after a look that they make up the new content."""
    descriptors = []
    for name, content in (("old", old), ("new", new)):
        (folder / name).write_bytes(content)
        descriptors.append(os.open(folder / name, os.O_RDONLY))
    try:
        found = list(blob_delta.parts(*descriptors))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    sources = {True: old, False: new}
    assert b"".join(sources[part.is_copy][part.at : part.at + part.length] for part in found) == new
    return found


def sent(found: list[Part]) -> int:
    return sum(part.length for part in found if not part.is_copy)


@pytest.mark.parametrize(
    ("new", "at_most"),
    [
        (BASE, 0),
        (BASE[:-1], 0),
        (BASE[MIB:], 0),
        (BASE + b"tail", 4),
        (b"head" + BASE, 4),
        (BASE[: 3 * MIB] + NOISE.randbytes(4096) + BASE[3 * MIB :], 4096),
        (BASE[: 3 * MIB] + BASE[3 * MIB + 4096 :], 0),
        (BASE[:MIB] + b"x" + BASE[MIB : 3 * MIB] + b"y" + BASE[4 * MIB :], MIB),
        (BASE[5 * MIB :] + BASE[: 5 * MIB], 2 * MIB),
        (NOISE.randbytes(MIB), MIB),
        (b"", 0),
    ],
    ids=[
        "same",
        "cut at the end",
        "cut at the start",
        "more at the end",
        "more at the start",
        "inserted",
        "cut out",
        "changed in several places",
        "moved",
        "another file",
        "empty",
    ],
)
def test_about_what_changed_is_sent(tmp_path: Path, new: bytes, at_most: int):
    assert sent(parts(tmp_path, BASE, new)) <= at_most


def test_text_without_rare_bytes_is_cut_where_its_content_says(tmp_path: Path):
    changed = LINES[: 1 * MIB] + b"new\n" + LINES[1 * MIB : 2 * MIB] + b"also new\n" + LINES[2 * MIB :]
    assert sent(parts(tmp_path, LINES, changed)) < MIB


@pytest.mark.parametrize("content", [bytes(3 * MIB), b"ab" * MIB], ids=["zeros", "two letters"])
def test_what_repeats_without_end_is_no_harm(tmp_path: Path, content: bytes):
    found = parts(tmp_path, content, b"x" + content[: MIB + 7] + b"y" + content + b"z")
    assert len(found) < 1000


@settings(max_examples=30)
@given(st.integers(0, MIB), st.integers(0, MIB), st.integers(0, 200_000), st.randoms())
def test_whatever_changed_the_parts_make_it_up(
    tmp_path_factory: pytest.TempPathFactory, one: int, other: int, count: int, chance: random.Random
):
    start, stop = sorted((one, other))
    parts(tmp_path_factory.mktemp("delta"), BASE[:MIB], BASE[:start] + chance.randbytes(count) + BASE[stop:MIB])


def test_whoever_waits_hears_of_each_step_through_a_large_old_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_delta, "STEP_BYTES", MIB)
    found = parts(tmp_path, BASE, NOISE.randbytes(MIB))
    signs = [part for part in found if not part.length]
    assert len(signs) >= 4
    assert found[: len(signs)] == signs
