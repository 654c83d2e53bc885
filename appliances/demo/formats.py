"""Files of real formats, made from a seeded random source: the same bytes at every run."""

from __future__ import annotations

import io
import math
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import cache

SAMPLES_PER_SECOND = 8000
FRAGMENT_SAMPLES = 2000
_FRAGMENTS = 48
_NOISE_MASK = int.from_bytes(b"\x03" * FRAGMENT_SAMPLES)
_VOCABULARY = (
    "open", "close", "check", "restart", "printer", "network", "cable", "setting", "window", "user", "folder",
    "address", "server", "wait", "answer", "update", "before", "after", "never", "always", "please", "first", "then",
    "again", "light", "button", "left", "right", "number", "system", "page", "screen",
)  # fmt: skip


def make_file(kind: str, kib: int, chance: random.Random) -> bytes:
    """A file of about `kib` KiB: a text, a table (CSV), an image (PNG) or an archive (ZIP)."""
    makers = {"text": _text, "table": _table, "image": _image, "archive": _archive}
    return makers[kind](kib * 1024, chance)


def make_recording(seconds: int, chance: random.Random) -> Iterator[bytes]:
    """A recording of that length as uncompressed WAV (mono, 8 bit, 8 kHz): tones and pauses with some noise."""
    samples = seconds * SAMPLES_PER_SECOND
    yield b"RIFF" + struct.pack("<I", 36 + samples) + b"WAVEfmt "
    yield struct.pack("<IHHIIHH", 16, 1, 1, SAMPLES_PER_SECOND, SAMPLES_PER_SECOND, 1, 8)
    yield b"data" + struct.pack("<I", samples)
    fragments = _fragments()
    while samples > 0:
        # Adding two random bits to every sample, many samples at a time: as one large number.
        noise = int.from_bytes(chance.randbytes(FRAGMENT_SAMPLES)) & _NOISE_MASK
        piece = (fragments[chance.randrange(_FRAGMENTS)] + noise).to_bytes(FRAGMENT_SAMPLES)
        yield piece[:samples]
        samples -= FRAGMENT_SAMPLES


@cache
def _fragments() -> tuple[int, ...]:
    """A quarter of a second each: a tone of a scale that swells and fades, or (one in three) silence."""
    made = []
    for number in range(_FRAGMENTS):
        loudness = 0 if number % 3 == 2 else 60
        pitch = 196 * 2 ** ((number % 15) / 7)
        step = 2 * math.pi * pitch / SAMPLES_PER_SECOND
        swell = math.pi / FRAGMENT_SAMPLES
        wave = bytes(
            126 + int(loudness * math.sin(swell * place) * math.sin(step * place)) for place in range(FRAGMENT_SAMPLES)
        )
        made.append(int.from_bytes(wave))
    return tuple(made)


def _text(size: int, chance: random.Random) -> bytes:
    lines: list[str] = []
    length = 0
    while length < size:
        line = " ".join(chance.choices(_VOCABULARY, k=chance.randint(5, 14))).capitalize() + "."
        lines.append(line)
        length += len(line) + 1
    return "\n".join(lines).encode()[: size - 1] + b"\n"


def _table(size: int, chance: random.Random) -> bytes:
    lines = ["number;place;device;serial;since"]
    length = len(lines[0])
    while length < size:
        device = chance.choice(("printer", "notebook", "screen", "phone", "scanner"))
        since = f"20{chance.randint(16, 25)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
        line = f"{len(lines)};room {chance.randint(100, 599)};{device};{chance.getrandbits(48):012X};{since}"
        lines.append(line)
        length += len(line) + 1
    return ("\n".join(lines) + "\n").encode()


def _image(size: int, chance: random.Random) -> bytes:
    """An 8-bit grey PNG; its rows are stored uncompressed, so its size is its number of pixels."""
    width = 512
    height = max(1, size // (width + 1))
    rows = b"".join(b"\0" + chance.randbytes(width) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data)) for tag, data in chunks
    )


def _archive(size: int, chance: random.Random) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, share in (("setup.bin", 0.8), ("data.bin", 0.19), ("readme.txt", 0.01)):
            member = zipfile.ZipInfo(name, date_time=(2025, 1, 1, 0, 0, 0))
            length = int(size * share)
            archive.writestr(member, _text(length, chance) if name.endswith(".txt") else chance.randbytes(length))
    return file.getvalue()
