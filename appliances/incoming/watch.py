"""What is looked at every few seconds, in a worker: who has stopped sending."""

from __future__ import annotations

import datetime as dt
import fcntl
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from appliances import durable
from appliances.incoming import sessions, uploads

# Clients go on with the primary, so what stands still on an appliance that does not serve is kept soon.
NOT_SERVING_PATIENCE = dt.timedelta(minutes=5)


def take_in(*, is_serving: bool) -> dict[str, int]:
    """What nobody goes on with is kept as it is; how much of each kind. One process does so at a time."""
    patience = dt.timedelta(seconds=settings.UPLOAD_PATIENCE_SECONDS)
    try:
        with durable.folder_lock(Path(settings.STAGING_DIR) / "taking-in", fcntl.LOCK_EX | fcntl.LOCK_NB):
            return {
                "uploads": uploads.seal_stale(patience if is_serving else min(patience, NOT_SERVING_PATIENCE)),
                "sessions": sessions.end_forgotten(timezone.now() - patience),
            }
    except BlockingIOError:
        return {}
