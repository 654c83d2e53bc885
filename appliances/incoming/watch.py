"""What is looked at every few seconds, in a worker: who has stopped sending, and what lies in the watched folder."""

from __future__ import annotations

import datetime as dt
import fcntl
import logging
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings

from appliances import blobs, disk, durable
from appliances.incoming import inbox, sessions, uploads

# Clients go on with the primary, so what stands still on an appliance that does not serve is kept soon.
NOT_SERVING_PATIENCE = dt.timedelta(minutes=5)

log = logging.getLogger(__name__)


@dataclass
class TakenIn:
    """How much of each kind was kept; what could not be and stays where it is, and what was refused as unreadable."""

    counts: dict[str, int] = field(default_factory=dict)
    stuck: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


def take_in(*, is_serving: bool, known_until: dt.datetime | None) -> TakenIn | None:
    """What lies complete in the watched folder is kept, and what nobody goes on with as it is.

    `known_until`: what clients told either appliance until then is here. Elsewhere a session that nothing was heard of
    may go on, so an appliance that does not serve leaves it time to end there; None: it ends none.
    None: another process is at it. What is wrong with one file, or with one of the three, stops nothing else.

    One process does so at a time. The folder is looked at in every role: what is put there on a backup goes up to the
    primary with the next data-sync.
    """
    patience = dt.timedelta(seconds=settings.UPLOAD_PATIENCE_SECONDS)
    found = TakenIn()
    try:
        with durable.folder_lock(Path(settings.STAGING_DIR) / "taking-in", fcntl.LOCK_EX | fcntl.LOCK_NB):
            _uploads(found, patience if is_serving else min(patience, NOT_SERVING_PATIENCE))
            found.counts["sessions"] = 0
            if known_until is not None:
                silence = patience if is_serving else 2 * patience
                found.counts["sessions"] = sessions.end_forgotten(known_until - silence)
            _inbox(found)
    except BlockingIOError:
        return None
    for what, why in found.stuck.items():
        log.warning("not taken in", extra={"file": what[:200], "why": why[:300]})
    return found


def _uploads(found: TakenIn, patience: dt.timedelta) -> None:
    try:
        found.counts["uploads"] = uploads.seal_stale(patience, found.stuck)
    except OSError as error:
        found.stuck["the folder of the uploads"] = disk.reason(error)


def _inbox(found: TakenIn) -> None:
    try:
        looked = inbox.look()
    except blobs.StoreFull as error:
        log.warning("inbox not taken in", extra={"folder": str(settings.INBOX_DIR), "why": str(error)[:300]})
    except OSError as error:
        found.stuck[f"the watched folder {settings.INBOX_DIR}"] = disk.reason(error)
    else:
        found.counts |= {"documents": looked.taken, "refused": looked.refused}
        found.stuck |= looked.stuck
        found.unreadable |= looked.unreadable
