"""How the connectivity test IPs answer, as the page shows it: by what, and when last."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sync.situation import Situation


@dataclass(frozen=True)
class Grade:
    """One address: `how` it answered when it was last asked (empty: it did not), and the moment of its last answer."""

    address: str
    how: str
    at: dt.datetime | None
    is_asked: bool
    is_of_peer: bool

    @property
    def tone(self) -> str:
        """The colour of the grade."""
        return "" if not self.is_asked else "good" if self.how else "bad"

    @property
    def verdict(self) -> str:
        """The grade in words."""
        if not self.is_asked:
            return "not asked yet"
        return f"answers · {self.how}" if self.how else "no answer"


def grades(it: Situation) -> list[Grade]:
    """The addresses of this appliance, then those that only the peer has; both appliances ask all of them."""
    own = it.backup_settings.test_ips
    theirs = [address for address in it.said.get("test_ips", ()) if address not in own]
    known = it.view.tests.get("addresses", {})
    found = []
    for address in (*own, *theirs):
        said = known.get(address)
        at = (said or {}).get("at")
        found.append(
            Grade(
                address=address,
                how=(said or {}).get("how", ""),
                at=dt.datetime.fromtimestamp(at, dt.UTC) if at else None,
                is_asked=said is not None,
                is_of_peer=address not in own,
            )
        )
    return found
