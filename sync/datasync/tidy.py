"""Give back the disk space that nothing refers to any more: deleted files, and snapshots nobody came back for."""

from __future__ import annotations

import datetime as dt

from appliances import blob_sweep
from appliances.models import FileStoreFile, Recording, Upload
from sync.datasync import backups, pull, served, snapshots

# Far longer than a file lies in the store before the row that refers to it is there.
GRACE = dt.timedelta(hours=24)


def tidy() -> blob_sweep.Swept:
    """Old snapshots are gone, and so are the blobs that no row has referred to for a day; what was removed of those.

    A row of a kept configuration backup counts too: it may be restored.

    Blobs stay while a data-sync runs: here, where rows may still come, and on the primary, whose snapshot may list
    files that were deleted since.
    """
    snapshots.prune()
    served.give_up_silent()
    if pull.is_running() or snapshots.are_there():
        return blob_sweep.Swept(0, 0)
    referenced = backups.referenced_blobs()
    for model in (FileStoreFile, Recording, Upload):
        referenced.update(model._base_manager.values_list("blob_id", flat=True).iterator())
    return blob_sweep.sweep(referenced, GRACE)
