"""How far the stored files of an appliance are known to be what they should be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verified:
    """`files` are stored, `verified` of them were read back and are right; `oldest_at` is the oldest of these checks.

    Of all that were ever `found` damaged or missing, `repaired` were fetched from the peer, `waiting` will be, and
    `lost` are on neither appliance. Moments are Unix seconds.
    """

    files: int = 0
    verified: int = 0
    oldest_at: float | None = None
    found: int = 0
    repaired: int = 0
    waiting: int = 0
    lost: int = 0

    @property
    def are_all(self) -> bool:
        """Whether each stored file was read back and is right."""
        return self.verified >= self.files
