"""Sessions and recordings past their time are deleted on the serving appliance; the peer follows by data-sync."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence

from django.utils import timezone

from appliances import retention
from appliances.choices import BrakeSubject
from appliances.models import RetentionSettings
from appliances.retention import PastTime
from sync import history, journal
from sync.datasync import brake, snapshots, tombstones
from sync.rules.brake import LEAST_RECORDS, Removal, stopped

log = logging.getLogger(__name__)


def expire() -> PastTime:
    """What is past its time is gone, with a line in Status History; how much that was.

    Not while the peer pulls, which compares what is there at its beginning with what is there at its end: the next
    housekeeping goes on. The bytes of recordings are given back by the next sweep.
    """
    rule = RetentionSettings.objects.filter(pk=1).first()
    nothing = PastTime(0, 0, 0, 0)
    if rule is None or not may_expire():
        return nothing
    now = timezone.now()
    due = retention.past_time(rule, now)
    if not due:
        brake.clear(BrakeSubject.RETENTION)
        return nothing
    if _is_braked(rule, due):
        return nothing
    sessions = list(retention.sessions(rule, now).values_list("pk", flat=True))
    recordings = retention.recordings(rule, now)
    is_done = _delete(tombstones.SESSION, sessions) and _delete(tombstones.RECORDING, recordings)
    done = due - retention.past_time(rule, now)
    if done:
        history.record("retention", f"Deleted by the retention settings: {done}.")
    if not is_done:
        log.info("retention goes on later", extra={"sessions": len(sessions), "recordings": len(recordings)})
    return done


def _is_braked(rule: RetentionSettings, due: PastTime) -> bool:
    """Whether this would delete much that nobody has agreed to, by a clock that jumped for one; then it waits."""
    agreed = retention.past_time(rule, rule.agreed_at) if rule.agreed_at else PastTime(0, 0, 0, 0)
    held, new = retention.everything(), due - agreed
    what = stopped(
        [
            Removal("support sessions", new.sessions, held.sessions, LEAST_RECORDS),
            Removal("recordings", new.recordings, held.recordings, LEAST_RECORDS),
        ]
    )
    if what:
        # What is past its time grows by the hour: an episode is known by the rule, and told once.
        brake.stop(BrakeSubject.RETENTION, brake.fingerprint_of([f"agreed {rule.agreed_at}"]), what)
    else:
        brake.clear(BrakeSubject.RETENTION)
    return bool(what)


def may_expire() -> bool:
    """Whether this appliance is the one that deletes: it serves, and no role change is under way."""
    state = journal.read()
    return state.is_serving and state.is_writable and state.op is None


def _delete(dataset: str, ids: Sequence[uuid.UUID]) -> bool:
    """Whether all of these were deleted; a pull of the peer, or a role change, stops it between two batches."""
    for start in range(0, len(ids), tombstones.BATCH):
        with snapshots.none_is_made() as may_delete:
            if not may_delete or not may_expire():
                return False
            tombstones.delete(dataset, ids[start : start + tombstones.BATCH])
    return True
