"""Read a part of a file piece by piece."""

from __future__ import annotations

from typing import BinaryIO, Self


class PieceReader:
    """An iterator over the bytes from `start` up to, not including, `end` in pieces; closes the file at the end."""

    def __init__(self, file: BinaryIO, piece_bytes: int, start: int, end: int | None) -> None:
        self._file = file
        self._piece_bytes = piece_bytes
        self._left = None if end is None else max(0, end - start)
        file.seek(start)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        wanted = self._piece_bytes if self._left is None else min(self._piece_bytes, self._left)
        chunk = self._file.read(wanted) if wanted and not self._file.closed else b""
        if not chunk:
            self.close()
            raise StopIteration
        if self._left is not None:
            self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        """Close the file."""
        self._file.close()
