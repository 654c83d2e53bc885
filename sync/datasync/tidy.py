"""Give back the disk space that nothing refers to any more: deleted files, and snapshots nobody came back for."""

from __future__ import annotations

import datetime as dt
import logging

from appliances import blob_sweep
from appliances.models import FileStoreFile, Recording, Upload
from sync.datasync import backups, pull, served, snapshots
from sync.errors import SyncError

# Far longer than a file lies in the store before the row that refers to it is there.
GRACE = dt.timedelta(hours=24)

log = logging.getLogger(__name__)


def tidy() -> blob_sweep.Swept:
    """Old snapshots are gone, and so are the blobs that no row refers to; what was removed of those.

    Blobs stored within GRACE stay: the row that refers to them may be yet to come.

    A row of a kept configuration backup counts too: it may be restored. While one cannot be read, no file goes.

    Blobs stay while a data-sync runs: here, where rows may still come, and on the primary, whose snapshot may list
    files that were deleted since.
    """
    snapshots.prune()
    served.give_up_silent()  # those whose snapshot is gone
    with snapshots.none_is_made() as may_sweep:  # else one could list a file that is deleted before its id is read here
        if not may_sweep or pull.is_running():
            return blob_sweep.Swept(0, 0)
        try:
            referenced = backups.referenced_blobs()
        except SyncError as error:
            log.warning("no files were swept", extra={"why": str(error)})
            return blob_sweep.Swept(0, 0)
        for model in (FileStoreFile, Recording, Upload):
            referenced.update(model._base_manager.values_list("blob_id", flat=True).iterator())
    return blob_sweep.sweep(referenced, GRACE)
