"""What the settings tables hold: read once, and remembered until a trigger says that a table has changed.

So a data-sync with nothing to do reads no table, however large they are.
"""

from __future__ import annotations

from collections.abc import Collection

from django.db import transaction

from sync import journal
from sync.datasync import snapshots
from sync.datasync.differences import read_digest
from sync.datasync.registry import SETTINGS
from sync.datasync.rows import RowCodec
from sync.datasync.wrapping import SecretWrap
from sync.models import RoleJournal, SettingsDigest
from sync.rules.diff import TableDigest


def digests(wrap: SecretWrap) -> list[TableDigest]:
    """What the settings tables hold now, in the order of the registry; what is not remembered is read."""
    known = _known(wrap)
    return [known.get(dataset.label) or read_digest(RowCodec(dataset, wrap)) for dataset in SETTINGS]


def remember(wrap: SecretWrap, anew: Collection[str] = ()) -> None:
    """What the settings tables hold is remembered; the tables named in `anew` are read again in any case.

    Outside of any transaction. What changes meanwhile is left to the next time.
    """
    if anew:
        SettingsDigest.objects.filter(dataset__in=anew).delete()
    known = _known(wrap)
    unknown = [dataset for dataset in SETTINGS if dataset.label not in known]
    if not unknown:
        return
    with snapshots.read_transaction():
        writes = journal.settings_writes()
        found = [read_digest(RowCodec(dataset, wrap)) for dataset in unknown]
    with transaction.atomic():
        if RoleJournal.objects.select_for_update().get(pk=1).settings_writes != writes:
            return
        for table in found:
            values = {"key_id": wrap.key_id, "rows": table.rows, "digest": table.digest}
            SettingsDigest.objects.update_or_create(dataset=table.dataset, defaults=values)


def _known(wrap: SecretWrap) -> dict[str, TableDigest]:
    rows = SettingsDigest.objects.filter(key_id=wrap.key_id)
    return {row.dataset: TableDigest(row.dataset, row.rows, row.digest) for row in rows}
