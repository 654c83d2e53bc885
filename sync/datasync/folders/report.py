"""What of a folder was not copied or not deleted, for the administrator."""

from __future__ import annotations

REPORTED = 50  # paths that a report names; the others are counted


class Report:
    """What was not copied or deleted, path by path."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.count = 0

    def add(self, path: str, why: str) -> None:
        """One more."""
        self.count += 1
        if len(self.lines) < REPORTED:
            self.lines.append((path.encode("utf-8", "backslashreplace").decode()[:500], why[:200]))
