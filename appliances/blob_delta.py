"""What of a blob is in another one as well: the earlier version of a file that was changed.

Both lie in the store of this appliance, so nothing has to be asked for. What the two begin and end with alike is found
by comparing; in between they are cut into chunks where a certain pair of bytes occurs, so that the cuts move with the
content, and chunks with the same hash are the same.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from blake3 import blake3

BLOCK_BYTES = 1 << 20
STEP_BYTES = 64 << 20  # whoever waits hears something at least as often
MIDDLE_BYTES = 64 << 10  # less than this is not looked into
LEAST_CHUNK = 16 << 10
CHUNKS = 1 << 15  # at most about so many are remembered
PAIR_EVERY = 64 << 10
LONGEST_BEYOND = 8 * PAIR_EVERY
SAMPLE_BYTES = 256 << 10


@dataclass(frozen=True)
class Part:
    """The next `length` bytes of a blob: those `at` this place in the earlier one, or in the blob itself.

    One of length 0 says only that the search goes on.
    """

    is_copy: bool
    at: int
    length: int


@dataclass(frozen=True)
class _Span:
    """A part of an open file."""

    descriptor: int
    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start

    def read(self, start: int, end: int) -> bytes:
        """The bytes of this span from `start` to `end`, counted from its own start."""
        return os.pread(self.descriptor, end - start, self.start + start)

    def inner(self, head: int, tail: int) -> _Span:
        """Without so many bytes at its head and its tail."""
        return _Span(self.descriptor, self.start + head, self.end - tail)


def parts(earlier: int, blob: int) -> Iterator[Part]:
    """The parts that make up a blob, in order; both are descriptors of open files."""
    old, new = (_Span(one, 0, os.fstat(one).st_size) for one in (earlier, blob))
    head = 0
    for alike in _alike(old, new, from_end=False):
        yield Part(is_copy=True, at=head, length=alike)
        head += alike
    tail = 0
    for alike in _alike(old.inner(head, 0), new.inner(head, 0), from_end=True):
        yield Part(is_copy=True, at=0, length=0)
        tail += alike
    yield from _joined(_middle(old.inner(head, tail), new.inner(head, tail)))
    if tail:
        yield Part(is_copy=True, at=old.end - tail, length=tail)


def _alike(old: _Span, new: _Span, *, from_end: bool) -> Iterator[int]:
    """How many bytes both begin (or end) with alike, told in steps."""
    most = min(old.length, new.length)
    told = found = 0
    while found < most:
        count = min(BLOCK_BYTES, most - found)
        ours, theirs = (
            span.read(span.length - found - count, span.length - found) if from_end else span.read(found, found + count)
            for span in (old, new)
        )
        if ours != theirs:
            found += _same(ours[::-1], theirs[::-1]) if from_end else _same(ours, theirs)
            break
        found += count
        if found - told >= STEP_BYTES:
            yield found - told
            told = found
    if found > told:
        yield found - told


def _same(one: bytes, other: bytes) -> int:
    """How many bytes two different blocks begin with alike."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _middle(old: _Span, new: _Span) -> Iterator[Part]:
    if not old.length or new.length <= MIDDLE_BYTES:
        if new.length:
            yield Part(is_copy=False, at=new.start, length=new.length)
        return
    pair, least = _pair(old), max(LEAST_CHUNK, old.length // CHUNKS, new.length // CHUNKS)
    known: dict[bytes, int] = {}
    passed = 0
    for at, length, digest in _chunks(old, pair, least):
        known.setdefault(digest, at)
        passed += length
        if passed >= STEP_BYTES:
            passed = 0
            yield Part(is_copy=True, at=0, length=0)
    for at, length, digest in _chunks(new, pair, least):
        found = known.get(digest)
        yield Part(is_copy=found is not None, at=at if found is None else found, length=length)


def _chunks(span: _Span, pair: bytes, least: int) -> Iterator[tuple[int, int, bytes]]:
    """Place, length and hash of each chunk; one ends behind the first pair after its least length."""
    longest = least + LONGEST_BEYOND
    start = 0
    while start < span.length:
        block = span.read(start, min(start + longest + 4 * BLOCK_BYTES, span.length))
        if not block:
            return
        view, is_last, at = memoryview(block), start + len(block) >= span.length, 0
        while at < len(block) and (is_last or at + longest <= len(block)):
            found = block.find(pair, at + least, at + longest)
            end = min(found + len(pair) if found >= 0 else at + longest, len(block))
            yield span.start + start + at, end - at, blake3(view[at:end]).digest(16)
            at = end
        start += at


def _pair(span: _Span) -> bytes:
    """A pair of bytes that occurs about as often as chunks are to end."""
    middle = max(0, span.length - SAMPLE_BYTES) // 2
    sample = span.read(middle, min(middle + SAMPLE_BYTES, span.length))
    wanted = max(1, len(sample) // PAIR_EVERY)
    counts = Counter(pairwise(sample))
    return bytes(min(counts, key=lambda pair: (abs(counts[pair] - wanted), pair), default=(0, 0)))


def _joined(found: Iterator[Part]) -> Iterator[Part]:
    """Neighbours as one, none longer than a step; that the search goes on is said at once."""
    waiting: Part | None = None
    for part in found:
        if not part.length:
            yield part
            continue
        if (
            waiting is not None
            and waiting.is_copy == part.is_copy
            and waiting.at + waiting.length == part.at
            and waiting.length + part.length <= STEP_BYTES
        ):
            waiting = Part(part.is_copy, waiting.at, waiting.length + part.length)
            continue
        if waiting is not None:
            yield waiting
        waiting = part
    if waiting is not None:
        yield waiting
