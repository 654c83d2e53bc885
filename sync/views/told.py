"""Status History and the evidence of Fix This Error in the words of the page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sync.models import StatusEvent
from sync.role_changes import Proposal

EVIDENCE_NAMES = {
    "holds_shared_ip": "Holds the shared IP: ticked, enabled, present on its interface",
    "has_site_name": "The site's name leads to it",
    "initialised": "Has completed a data-sync, or was the first primary",
    "head": "Version of its settings (term.changes)",
    "own_term": "Its last term as primary",
    "clients": "Sessions in progress",
    "newest_session": "Newest session began",
    "is_normal_primary": "Normal primary",
}
COMPARED = "compared"  # what `role_changes.fix` keeps: the evidence of each appliance, by host name


@dataclass(frozen=True)
class EvidenceRow:
    """One line of evidence of Fix This Error; `decides` marks the criterion that separates the two."""

    name: str
    own: str
    peer: str
    decides: bool


@dataclass(frozen=True)
class Line:
    """One line of Status History; `names` are the two appliances whose evidence `compared` sets side by side."""

    event: StatusEvent
    facts: list[tuple[str, str]]
    names: list[str]
    compared: list[EvidenceRow]


def evidence(it: Proposal) -> list[EvidenceRow]:
    """The evidence of both appliances, in the order in which it is looked at."""
    return _rows(asdict(it.own), asdict(it.peer), it.choice.criterion)


def lines(events: Iterable[StatusEvent]) -> list[Line]:
    """These events as the page tells them."""
    return [_line(event) for event in events]


def _line(event: StatusEvent) -> Line:
    kept = dict(event.evidence)
    compared = kept.pop(COMPARED, None)
    if not compared:
        return Line(event, [(name, _plain(value)) for name, value in kept.items()], [], [])
    criterion = kept.pop("criterion", "")
    facts = [(name, _plain(value)) for name, value in kept.items()]
    (own_name, own), (peer_name, peer) = compared
    return Line(event, facts, [own_name, peer_name], _rows(own, peer, criterion))


def _rows(own: Mapping[str, Any], peer: Mapping[str, Any], criterion: str) -> list[EvidenceRow]:
    return [
        EvidenceRow(words, _said(name, own.get(name)), _said(name, peer.get(name)), name == criterion)
        for name, words in EVIDENCE_NAMES.items()
    ]


def _said(name: str, value: object) -> str:
    if name == "newest_session" and isinstance(value, int | float):
        return f"{dt.datetime.fromtimestamp(value, dt.UTC):%Y-%m-%d %H:%M:%S} UTC" if value else "none"
    if name == "head" and isinstance(value, Mapping):
        return f"{value['term']}.{value['seq']}"
    return _plain(value)


def _plain(value: object) -> str:
    """A value of evidence for people."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(part) for part in value) or "none"
    return str(value)
