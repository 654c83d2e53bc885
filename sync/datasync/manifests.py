"""What the primary says of itself and of what it holds is looked at before anything is believed of it."""

from __future__ import annotations

import datetime as dt
import logging
import re

from django.conf import settings

from appliances import selectors
from appliances.choices import Severity
from sync import history
from sync.datasync import marks
from sync.datasync.refusals import refused
from sync.datasync.registry import SETTINGS
from sync.errors import PeerMisbehaved
from sync.models import StatusEvent
from sync.peer import identity
from sync.peer.sync_messages import Manifest
from sync.rules.snapshot import Refusal

CLOCK_WARNING = dt.timedelta(hours=24)
LATEST_CLOCK = dt.datetime(9999, 1, 1, tzinfo=dt.UTC).timestamp()
_GUID = re.compile(r"[0-9a-f]{32}")

log = logging.getLogger(__name__)


def check(manifest: Manifest) -> None:
    """Raises SyncRefused or PeerMisbehaved unless the manifest is one that this appliance may follow."""
    pair = selectors.relationship()
    if pair is None:
        raise refused(Refusal.NO_RELATIONSHIP)
    if (manifest.pair_id, manifest.guid) != (pair.pair_id, pair.peer_guid):
        raise refused(Refusal.OTHER_PAIR)
    ours = {
        Refusal.OTHER_PRODUCT: (manifest.product, str(settings.PRODUCT)),
        Refusal.OTHER_BUILD: (manifest.build, identity.product_build()),
        Refusal.OTHER_SCHEMA: (manifest.schema, identity.schema_digest()),
    }
    for refusal, (there, here) in ours.items():
        if there != here:
            raise refused(refusal, f"Primary: {there[:80]}; backup: {here[:80]}.")
    well_formed = [table.dataset for table in manifest.settings] == [dataset.label for dataset in SETTINGS]
    well_formed &= all(map(marks.is_well_formed, manifest.marks)) and 0 <= manifest.clock < LATEST_CLOCK
    if not well_formed or (manifest.snapshot_id and not _GUID.fullmatch(manifest.snapshot_id)):
        raise PeerMisbehaved("the manifest of the data-sync is not well-formed")


def compare_clocks(theirs: dt.datetime) -> None:
    """No decision goes by the wall clock; but people who compare two histories do. Told once a day."""
    now = dt.datetime.now(dt.UTC)
    if abs(now - theirs) <= CLOCK_WARNING:
        return
    log.warning("clocks differ by more than a day", extra={"theirs": theirs.isoformat()})
    if not StatusEvent.objects.filter(event="clocks_differ", at__gte=now - CLOCK_WARNING).exists():
        history.record(
            "clocks_differ",
            f"The clock of the primary says {theirs:%Y-%m-%d %H:%M} UTC, that of this appliance {now:%Y-%m-%d %H:%M} "
            "UTC. Nothing depends on it but the times that are shown; set the wrong one.",
            severity=Severity.WARNING,
        )
