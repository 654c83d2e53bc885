"""The backup fetches the blobs that it lacks, and says what it has of them already."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from contextlib import closing
from functools import reduce
from operator import or_

from django.db.models import Q

from appliances import blob_partials, blobs
from appliances.choices import SyncStage, SyncStatus
from sync.datasync import failures
from sync.datasync.blobs_in import Resumed, store_blobs
from sync.datasync.frames import FrameReader
from sync.datasync.lease import Progress
from sync.datasync.receive import Received, check_space
from sync.datasync.registry import SETTINGS, Dataset
from sync.datasync.rows import RowCodec
from sync.datasync.wrapping import NO_SECRETS
from sync.errors import PeerMisbehaved, PeerSilent, SyncRefused
from sync.models import SyncRun
from sync.peer.client import PeerClient
from sync.peer.sync_messages import PullBlobs
from sync.rules.snapshot import Refusal

BLOBS_A_CALL = 5000  # ids in one request, which is far below the size limit of a message
DIFFED_BYTES = 1 << 20  # of a larger file, only what its earlier version does not have is asked for
MOST_DIFFED = 1000  # in one data-sync
_HINDERED = frozenset({PeerSilent.code, PeerMisbehaved.code, failures.DISK_ERROR})
_IDS = re.compile(rb'"([0-9a-f]{64})"')


def fetch(
    client: PeerClient, snapshot_id: str, absent: dict[str, int], received: Received, progress: Progress
) -> dict[str, Refusal]:
    """All blobs of `absent` (id and size) are in the store, but for those that are given back with the reason.

    They are missing or unreadable on the primary, or damaged twice.
    """
    large = {blob_id for blob_id, size in absent.items() if size >= DIFFED_BYTES}
    bases = {} if _bases_hinder() else earlier_versions(received, large)
    unusable = _fetch(client, snapshot_id, absent, bases, progress)
    # From their beginning, and without the help of other files.
    again = {blob_id: 0 for blob_id, why in unusable.items() if why is Refusal.BLOB_CORRUPT or blob_id in bases}
    lacking = {blob_id: why for blob_id, why in unusable.items() if blob_id not in again}
    return lacking | _fetch(client, snapshot_id, again, {}, progress)


def _bases_hinder() -> bool:
    """Whether the last attempt ended over the files: the primary may be slow to compare them with their earlier
    versions, and one of these may be cut off or unreadable here."""
    last = SyncRun.objects.exclude(status=SyncStatus.RUNNING).first()
    return last is not None and last.stage == SyncStage.BLOBS and last.code in _HINDERED


def room_for(absent: dict[str, int], *, refusal: Refusal = Refusal.NO_SPACE) -> int:
    """The bytes that are still to come of these blobs.

    Raises:
        SyncRefused: there is no room for them; nothing of them is kept then.
    """
    held = blob_partials.all_held() if absent else {}
    needed = sum(size - min(held.get(blob_id, 0), size) for blob_id, size in absent.items())
    try:
        check_space(needed, len(absent), refusal=refusal)
    except SyncRefused:
        blob_partials.remove_older(math.inf)
        raise
    return needed


def earlier_versions(received: Received, wanted: Collection[str]) -> dict[str, str]:
    """Of these blobs, those whose file has an earlier version here, by the row that is to be replaced."""
    found: dict[str, str] = {}
    for dataset in SETTINGS:
        staged = received.tables.get(dataset.label)
        if not dataset.blob_field or staged is None or not wanted:
            continue
        codec, place = RowCodec(dataset, NO_SECRETS), dataset.fields.index(dataset.blob_field)
        for line in staged.lines():
            if len(found) < MOST_DIFFED and any(name.decode() in wanted for name in _IDS.findall(line)):
                row = dict(zip(dataset.fields, codec.parse(line), strict=True))
                earlier = _earlier(dataset, row)
                if earlier:
                    found[str(row[dataset.fields[place]])] = earlier
    return found


def _earlier(dataset: Dataset, row: dict[str, object]) -> str:
    """The blob of the row here that is the same object: of the same number, or of the same name."""
    same = [Q(**{field.name: row[field.name]}) for field in dataset.model_fields if field.unique]
    rows = dataset.model._base_manager.filter(reduce(or_, same)).order_by("pk")
    held = [str(name) for name in rows.values_list(dataset.blob_field, flat=True) if blobs.has(str(name))]
    return max(held, key=blobs.size, default="")


def _fetch(
    client: PeerClient, snapshot_id: str, wanted: dict[str, int], bases: dict[str, str], progress: Progress
) -> dict[str, Refusal]:
    unusable: dict[str, Refusal] = {}
    names = list(wanted)
    for start in range(0, len(names), BLOBS_A_CALL):
        part = names[start : start + BLOBS_A_CALL]
        with closing(Resumed.of(wanted, part, bases=bases, tick=progress.tick)) as resumed:
            helps = resumed.helps
            asked = PullBlobs(snapshot_id, part, dict(helps.starts), dict(helps.bases))
            with client.open_stream(asked) as frames:
                reader = FrameReader(frames)
                unusable |= store_blobs(reader, part, progress, resumed=resumed)
                if reader.peek() is not None:
                    raise PeerMisbehaved("the data-sync carries more files than asked for")
    return unusable
