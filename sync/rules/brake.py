"""Would this delete so much that somebody should be asked first? Values in, the sentence out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SHARE = 0.3  # of what is held of one kind; more than this waits
LEAST_OBJECTS = 5  # accounts, groups, files: fewer never wait
LEAST_RECORDS = 20  # sessions, recordings: fewer never wait


@dataclass(frozen=True)
class Removal:
    """So many of what is held of one kind would be deleted; `kind` is its plural: "accounts"."""

    kind: str
    removed: int
    held: int
    least: int = LEAST_OBJECTS

    @property
    def is_much(self) -> bool:
        """Whether somebody has to be asked."""
        return self.removed >= self.least and self.removed > SHARE * self.held

    def __str__(self) -> str:
        part = "all" if self.removed >= self.held else f"{self.removed} of the"
        return f"{part} {self.held} {self.kind}"


def stopped(removals: Iterable[Removal]) -> str:
    """What of it is much, in words; empty if nothing is."""
    much = [str(removal) for removal in removals if removal.is_much]
    return " and ".join([", ".join(much[:-1]), much[-1]] if len(much) > 1 else much)
