"""What is due: values in, yes or no out. Moments are seconds of one clock, or aware datetimes where they come from rows."""

from __future__ import annotations

import datetime as dt

# Between two looks at the peer. Three seconds and a time-out of five show a dead peer within ten.
PROBE_INTERVAL_SECONDS = 3.0
PROBE_CONNECT_SECONDS = 3.0
PROBE_TOTAL_SECONDS = 5.0
# A primary that starts without hearing the peer serves after this time, if its term is the highest it knows (T_boot).
BOOT_SECONDS = 30.0
# A drained primary takes its role back when the swap makes no progress for this long (D).
OPERATION_SECONDS = 120.0
# Silent looks in a row after which the peer of a running swap counts as lost.
PEER_LOST_PROBES = 3
# A grant without an answer for this long is worth an alert.
GRANT_ALERT_SECONDS = 60.0
# Two polls that find both appliances in one role must lie this far apart to count as two.
SAME_ROLE_POLL_SECONDS = 5.0


def is_probe_due(now: float, last_asked: float | None) -> bool:
    """Whether the peer is to be asked; both are CLOCK_BOOTTIME seconds."""
    return last_asked is None or not 0 <= now - last_asked < PROBE_INTERVAL_SECONDS


def is_data_sync_due(
    now: dt.datetime,
    *,
    established_at: dt.datetime,
    last_started_at: dt.datetime | None,
    interval: dt.timedelta,
    first_delay: dt.timedelta,
) -> bool:
    """Whether an automatic data-sync is to start: the first one `first_delay` after establishing, then by interval.

    A last start in the future (the wall clock was set back) counts as due.
    """
    if last_started_at is None or last_started_at < established_at:
        return now - established_at >= first_delay or now < established_at
    return now - last_started_at >= interval or now < last_started_at
