"""What is looked at every few seconds, in a worker: who has stopped sending, and what lies in the watched folder."""

from __future__ import annotations

import datetime as dt
import fcntl
import logging
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from appliances import blobs, durable
from appliances.incoming import inbox, sessions, uploads

# Clients go on with the primary, so what stands still on an appliance that does not serve is kept soon.
NOT_SERVING_PATIENCE = dt.timedelta(minutes=5)

log = logging.getLogger(__name__)


def take_in(*, is_serving: bool) -> dict[str, int]:
    """What lies complete in the watched folder is kept, and what nobody goes on with as it is; how much of each kind.

    One process does so at a time. The folder is looked at in every role: what is put there on a backup goes up to the
    primary with the next data-sync.
    """
    patience = dt.timedelta(seconds=settings.UPLOAD_PATIENCE_SECONDS)
    try:
        with durable.folder_lock(Path(settings.STAGING_DIR) / "taking-in", fcntl.LOCK_EX | fcntl.LOCK_NB):
            return {
                "uploads": uploads.seal_stale(patience if is_serving else min(patience, NOT_SERVING_PATIENCE)),
                "sessions": sessions.end_forgotten(timezone.now() - patience),
                **_inbox(),
            }
    except BlockingIOError:
        return {}


def _inbox() -> dict[str, int]:
    try:
        looked = inbox.look()
    except (OSError, blobs.StoreFull) as error:
        log.warning("inbox not taken in", extra={"folder": str(settings.INBOX_DIR), "why": str(error)[:300]})
        return {}
    return {"documents": looked.taken, "refused": looked.refused}
