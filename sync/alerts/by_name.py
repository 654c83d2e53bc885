"""Look for the primary under its own host name, beside the address that the relationship uses.

People and other programs use the name: it has to lead to the primary even where this appliance does not need it. What
was found stands in `PeerView.by_name`: `name`, `asked` (CLOCK_BOOTTIME seconds), `failures` in a row, `problem`.
"""

from __future__ import annotations

import logging

from django.conf import settings

from appliances import selectors
from appliances.choices import Role
from appliances.models import FailoverRelationship
from sync import journal
from sync.errors import PeerError
from sync.models import PeerView
from sync.peer.connection import TOTAL_SECONDS, PinnedConnection, TimeLimits
from sync.rules.due import is_name_look_due

log = logging.getLogger(__name__)


def claim_look_by_name() -> bool:
    """Whether this backup has to look for the primary under its name now; asked again at once, the answer is no."""
    row = selectors.relationship()
    if not settings.LOOK_BY_NAME or row is None or journal.read().role != Role.BACKUP:
        return False
    view, name, now = PeerView.load(), _name_of_peer(row), journal.boottime()
    known = view.by_name
    is_other = known.get("name") != name
    if not is_other and not is_name_look_due(now, known.get("asked"), has_failed=bool(known.get("failures"))):
        return False
    claimed = {"name": name, "asked": now, "failures": 0, "problem": ""} if is_other else {**known, "asked": now}
    PeerView.objects.filter(pk=1).update(by_name=claimed)
    return True


def look_by_name() -> None:
    """Look the peer's name up and open TLS to what it leads to; keep whether that is the peer."""
    row = selectors.relationship()
    if row is None:
        return
    name, problem = _name_of_peer(row), ""
    # No port but the relationship's is known of the peer, nor any key but the pinned ones.
    connection = PinnedConnection(name, row.peer_port, pins=row.peer_pins, limits=TimeLimits(connect=TOTAL_SECONDS))
    try:
        connection.connect()
    except PeerError as error:
        problem = error.message
    finally:
        connection.close()
    known = PeerView.load().by_name
    if problem != known.get("problem", ""):
        log.info("peer looked for by its name", extra={"name_of_peer": name, "problem": problem})
    failures = known.get("failures", 0) + 1 if problem and known.get("name") == name else int(bool(problem))
    kept = {"name": name, "asked": journal.boottime(), "failures": failures, "problem": problem[:300]}
    PeerView.objects.filter(pk=1).update(by_name=kept)


def _name_of_peer(row: FailoverRelationship) -> str:
    """The host name that the peer reported last."""
    status = PeerView.load().status
    said = status.get("host_name") if isinstance(status, dict) else None
    return str(said or row.peer_name)
