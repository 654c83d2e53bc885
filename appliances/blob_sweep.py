"""Remove what is in the store of blobs and nobody refers to."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from appliances import blob_partials, blobs


@dataclass(frozen=True)
class Swept:
    """What a sweep removed."""

    blobs: int
    size_bytes: int


def sweep(referenced: Collection[str], grace: dt.timedelta) -> Swept:
    """Remove the blobs that no row refers to and that are older than `grace`, and what crashes left in staging.

    A blob is stored before the row that refers to it; `grace` must be longer than the time between the two.
    """
    oldest_kept = time.time() - grace.total_seconds()
    count = freed = 0
    for blob_id in blobs.all_ids():
        if blob_id in referenced:
            continue
        with blobs.guard(fcntl.LOCK_EX), contextlib.suppress(FileNotFoundError):
            found = blobs.path(blob_id).stat()
            if found.st_mtime < oldest_kept:
                blobs.path(blob_id).unlink()
                count, freed = count + 1, freed + found.st_size
    for folder in Path(settings.STAGING_DIR).glob(f"{blobs.STAGING_PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):
            if folder.stat().st_mtime < oldest_kept:
                shutil.rmtree(folder, ignore_errors=True)
    blob_partials.remove_older(oldest_kept)
    return Swept(count, freed)
