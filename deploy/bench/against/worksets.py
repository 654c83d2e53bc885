"""The trees of files that both sides copy, the same at every run."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

PIECE = 1 << 20


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    rounds: int
    small: int  # files of 1 to 20 KiB
    text: int  # files of 64 KiB of text
    recordings: int
    recording_bytes: int
    big_bytes: int
    accounts: int
    log_rows: int
    idle_rows: int
    limit_bytes: int  # sent under a bandwidth limit
    huge_bytes: int  # of one file, for what it needs of memory


FULL = Sizes(3, 20_000, 1_000, 40, 50 << 20, 1 << 30, 2_000, 200_000, 1_000_000, 200 << 20, 4 << 30)
QUICK = Sizes(1, 1_000, 100, 4, 8 << 20, 64 << 20, 200, 5_000, 10_000, 60 << 20, 256 << 20)


def small_files(tree: Path, count: int) -> list[Path]:
    """Files of 1 to 20 KiB of noise in three levels."""
    chance = random.Random("small files")
    paths = [tree / f"{n % 20:02}" / f"{n // 20 % 20:02}" / f"{n:06}.bin" for n in range(count)]
    for folder in {path.parent for path in paths}:
        folder.mkdir(parents=True)
    for path in paths:
        path.write_bytes(chance.randbytes(chance.randint(1024, 20 * 1024)))
    return paths


def change(paths: list[Path], part: float, number: int) -> list[Path]:
    """Give this part of the files new content of another length; which ones."""
    chance = random.Random(f"change {number}")
    chosen = chance.sample(paths, max(1, round(len(paths) * part)))
    for path in chosen:
        path.write_bytes(chance.randbytes(chance.randint(1024, 20 * 1024)))
    return chosen


def text_files(tree: Path, count: int) -> list[Path]:
    """Files of 64 KiB that read like logs: words of a small vocabulary."""
    chance = random.Random("text files")
    words = ["".join(chance.choices("etaoinshrdlu", k=chance.randint(2, 10))) for _ in range(2000)]
    pool = " ".join(chance.choices(words, k=700_000)).encode()
    tree.mkdir(parents=True)
    paths = [tree / f"{n:05}.txt" for n in range(count)]
    for path in paths:
        start = chance.randrange(len(pool) - 65536)
        path.write_bytes(pool[start : start + 65536])
    return paths


def noise(path: Path, size: int) -> Path:
    """A file of bytes that nothing makes smaller."""
    chance = random.Random(path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for start in range(0, size, PIECE):
            file.write(chance.randbytes(min(PIECE, size - start)))
    return path


def insert(path: Path, number: int) -> None:
    """4 KiB are new in the middle of the file; it is written anew, as a service would replace it."""
    half, changed = path.stat().st_size // 2, path.with_suffix(".new")
    with path.open("rb") as old, changed.open("wb") as new:
        left = half
        while left and (piece := old.read(min(PIECE, left))):
            new.write(piece)
            left -= len(piece)
        new.write(random.Random(number).randbytes(4096))
        while piece := old.read(PIECE):
            new.write(piece)
    changed.replace(path)
