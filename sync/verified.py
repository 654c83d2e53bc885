"""What the verification of the stored files has found so far, for pages, STATUS and mails; two small tables tell."""

from __future__ import annotations

from django.db.models import Count

from appliances.choices import RepairState
from sync.models import DamagedFile, FileScrub
from sync.rules.verified import Verified

NAMED = 5  # files named in one sentence


def read() -> Verified:
    """The figures of this appliance."""
    row = FileScrub.objects.filter(pk=1).first() or FileScrub()
    states = dict(DamagedFile.objects.order_by().values_list("state").annotate(Count("pk")))
    waiting, lost = states.get(RepairState.WAITING, 0), states.get(RepairState.LOST, 0)
    examined = sum(min(files, row.counts.get(part, 0)) for part, (_, files, _) in row.checked.items())
    moments = [at for part, (at, files, _) in row.checked.items() if files and row.counts.get(part)]
    return Verified(
        files=sum(row.counts.values()),
        verified=max(0, examined - waiting - lost),
        oldest_at=min(moments, default=None),
        found=sum(states.values()),
        repaired=states.get(RepairState.REPAIRED, 0),
        waiting=waiting,
        lost=lost,
    )


def lost_sentence() -> str:
    """Which files are damaged or missing on both appliances; empty if none is."""
    rows = DamagedFile.objects.filter(state=RepairState.LOST)
    names = [f"{row.name or 'a file'} ({row.blob_id[:12]})" for row in rows[:NAMED]]
    count = rows.count()
    if not names:
        return ""
    which = "One stored file is" if count == 1 else f"{count} stored files are"
    more = f" and {count - len(names)} more" if count > len(names) else ""
    return f"{which} damaged or missing here, and the peer has no whole copy either: {', '.join(names)}{more}."
