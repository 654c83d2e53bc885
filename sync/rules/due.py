"""What is due: values in, yes or no out. Moments are seconds of one clock, or aware datetimes of rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from appliances.choices import OperationKind, Role, State
from sync.rules import events as e
from sync.rules.facts import Header, Observation, RoleState

# A primary that has just started does not serve before the peer has answered: each second counts.
CONFIRMING_PROBE_INTERVAL_SECONDS = 1.0
# The first grant goes out with the yield; after this long it is sent again.
GRANT_REPEAT_SECONDS = 3.0
PROBE_TOTAL_SECONDS = 5.0
# A data-sync that failed is tried again after this, for its reason has often gone by then; after each second failure in
# a row the time is doubled.
RETRY_AFTER = dt.timedelta(seconds=20)
MOST_COUNTED_FAILURES = 10  # 320 s
# A drained primary takes its role back when the swap makes no progress for this long (D).
OPERATION_SECONDS = 120.0
# A role change that only this primary knows of, this long after it was asked for, is over.
CHANGE_SECONDS = 30.0
# Silent looks in a row after which the peer of a running swap counts as lost.
PEER_LOST_PROBES = 3
# A grant without an answer for this long is worth an alert.
GRANT_ALERT_SECONDS = 60.0
# The parts of the timeout at which a mail tells how long the primary has been silent.
COUNT_DOWN_PARTS = (0.0, 0.25, 0.5, 0.75)
SHORTEST_PULL_THRESHOLD = dt.timedelta(hours=1)
# An alert that has begun so often within an hour flaps: from then on it is over only when it stays away for long.
FLAPPING_AFTER = 3
FLAPPING_SECONDS = 600.0
# A mail that no server took is tried again after this, then after twice the time and so on, for at most two days.
MAIL_FIRST_WAIT = dt.timedelta(minutes=1)
MAIL_LONGEST_WAIT = dt.timedelta(hours=1)
MAIL_GIVEN_UP_AFTER = dt.timedelta(days=2)
# The primary is looked for under its host name this often, and sooner while it is not found.
NAME_LOOK_SECONDS = 60.0
NAME_RETRY_SECONDS = 15.0
# Two polls that find both appliances in one role must lie this far apart to count as two.
SAME_ROLE_POLL_SECONDS = 5.0


def probe_interval(state: State, interval: float) -> float:
    """The seconds between two looks at the peer in this state; `interval` is the usual one."""
    return CONFIRMING_PROBE_INTERVAL_SECONDS if state == State.P_UNCONFIRMED else interval


def is_probe_due(now: float, last_asked: float | None, interval: float) -> bool:
    """Whether somebody is to be asked again; all are CLOCK_BOOTTIME seconds."""
    return last_asked is None or not 0 <= now - last_asked < interval


def is_data_sync_due(
    now: dt.datetime,
    *,
    established_at: dt.datetime,
    last_started_at: dt.datetime | None,
    interval: dt.timedelta,
    first_delay: dt.timedelta,
    failures: int = 0,
) -> bool:
    """Whether an automatic data-sync is to start: the first one `first_delay` after establishing, then by interval.

    After `failures` in a row, failed or cut off, it is tried again sooner: the less so, the more they are. A last start
    in the future (the clock was set back) counts as due.
    """
    if last_started_at is None or last_started_at < established_at:
        return now - established_at >= first_delay or now < established_at
    if failures:
        interval = min(interval, RETRY_AFTER * 2 ** ((min(failures, MOST_COUNTED_FAILURES) - 1) // 2))
    return now - last_started_at >= interval or now < last_started_at


class Work(Enum):
    """What a turn finds to be done by another worker."""

    PULL_DATA = "pull_data"
    DRIVE_ROLE_CHANGE = "drive_role_change"
    COUNT_DIFFERENCES = "count_differences"


def events_due(seen: Observation) -> list[e.Event]:
    """What has happened by the passing of time: a boot time-out, a lost operation, a grant without an answer."""
    state = seen.state.state
    if state == State.P_UNCONFIRMED and seen.seconds_in_state >= seen.boot_seconds and not _is_peer_answering(seen):
        return [e.BootTimedOut(seen.hears_test_ip, seen.can_serve)]
    if state == State.B_YIELDED and seen.seconds_in_state >= GRANT_ALERT_SECONDS:
        return [e.GrantUnanswered()]
    if seen.state.op is None or state == State.B_YIELDED:
        return []
    op_id = seen.state.op.op_id
    is_peer_lost = seen.failures >= PEER_LOST_PROBES
    is_overdue = seen.seconds_in_state >= OPERATION_SECONDS
    if state == State.P_DRAINING and is_peer_lost:
        return [e.OperationLost(op_id, "The backup does not answer any more.")]
    if state == State.P_DRAINING and _has_peer_given_up(seen):
        return [e.OperationLost(op_id, "The backup has given it up.")]
    if state == State.P_DRAINING and is_overdue and not _is_peer_syncing(seen):
        return [e.OperationLost(op_id, "The swap made no progress for two minutes.")]
    if state == State.B_SYNCING and is_overdue and not seen.is_sync_running and not seen.is_driven:
        return [e.OperationLost(op_id, "The final data-sync made no progress for two minutes.")]
    if state == State.B_READY and is_peer_lost and is_overdue:
        return [e.OperationLost(op_id, "The primary has not answered for two minutes.", is_peer_out=True)]
    return []


def work_due(seen: Observation) -> list[Work]:
    """What another worker is to be asked for: a data-sync, or to go on driving a role change that nobody drives."""
    work = []
    if seen.is_sync_due and not seen.is_sync_running and seen.state.state == State.B_IDLE and not seen.change:
        work.append(Work.PULL_DATA)
    is_abandoned = bool(seen.change) and not seen.is_driven and seen.state.role == Role.BACKUP
    if is_abandoned and seen.state.state != State.B_YIELDED:
        work.append(Work.DRIVE_ROLE_CHANGE)
    return work


def why_change_is_over(seen: Observation) -> str:
    """Why the running role change, which has not come to an operation, will never do so; empty while it may.

    The backup drives a swap: a primary gives it up when the backup is gone or does not know of it.
    """
    if not seen.change or seen.state.op is not None:
        return ""
    if seen.failures >= PEER_LOST_PROBES:
        return "The peer does not answer any more."
    is_known = seen.peer_change == seen.change
    if seen.state.role == Role.PRIMARY and not is_known and seen.change_age >= CHANGE_SECONDS:
        return "The backup has given it up."
    return ""


def is_unsettled(state: RoleState, peer: Header) -> bool:
    """Whether a look found a pair that no running operation explains: both in one role, or nobody to serve.

    The second is a superseded primary beside a backup, which row 25 ends.
    """
    if state.op is not None or peer.op is not None:
        return False
    is_deserted = state.state == State.P_SUPERSEDED and peer.role == Role.BACKUP
    return is_deserted or peer.role == state.role


def is_grant_to_be_repeated(seen: Observation) -> bool:
    """Whether the grant is to be sent again: the first one goes out with the yield itself."""
    return seen.state.state == State.B_YIELDED and seen.seconds_in_state >= GRANT_REPEAT_SECONDS


@dataclass(frozen=True)
class Hold:
    """For how many seconds a condition must be seen until it is told, and must be gone until it is over."""

    begins: float
    ends: float = 10.0


class Turn(Enum):
    """What becomes of an alert."""

    BEGINS = "begins"
    ENDS = "ends"


def alert_turn(
    hold: Hold, *, is_open: bool, is_seen: bool | None, seconds: float, begun_this_hour: int = 0
) -> Turn | None:
    """Whether an alert begins or ends now.

    `is_seen` has been so for `seconds`; None: not known at this moment, nothing changes. `begun_this_hour` counts how
    often this alert has begun within an hour.
    """
    if is_seen is None or is_seen == is_open:
        return None
    if is_seen:
        return Turn.BEGINS if seconds >= hold.begins else None
    ends = max(hold.ends, FLAPPING_SECONDS) if begun_this_hour >= FLAPPING_AFTER else hold.ends
    return Turn.ENDS if seconds >= ends else None


def count_down_part(silence: float, timeout: float, told: Collection[int]) -> int | None:
    """Which mail of the count-down is due, as an index of COUNT_DOWN_PARTS; None if none is.

    The latest whose moment has come, unless that one or a later one was told before: those that were missed are not
    made up for.
    """
    reached = [index for index, part in enumerate(COUNT_DOWN_PARTS) if silence >= part * timeout]
    if not reached or reached[-1] <= max(told, default=-1):
        return None
    return reached[-1]


def pull_threshold(own: dt.timedelta | None, interval: dt.timedelta) -> dt.timedelta:
    """How long no backup may have pulled data before the primary says so.

    `own` is what was set on the primary; without it twice the backup's `interval`, but at least an hour.
    """
    return own if own is not None else max(2 * interval, SHORTEST_PULL_THRESHOLD)


def mail_wait(attempts: int) -> dt.timedelta:
    """How long a mail waits for its next attempt after so many that failed, of which there was at least one."""
    factor: int = 2 ** min(attempts - 1, 16)  # far beyond the longest wait
    return min(MAIL_FIRST_WAIT * factor, MAIL_LONGEST_WAIT)


def is_name_look_due(now: float, asked: float | None, *, has_failed: bool) -> bool:
    """Whether the primary is to be looked for under its host name; both are CLOCK_BOOTTIME seconds."""
    return is_probe_due(now, asked, NAME_RETRY_SECONDS if has_failed else NAME_LOOK_SECONDS)


def _is_peer_answering(seen: Observation) -> bool:
    return seen.seconds_since_answer is not None and seen.seconds_since_answer < seen.boot_seconds


def _has_peer_given_up(seen: Observation) -> bool:
    """Whether the backup, asked since this primary drained, holds neither the operation nor the role change any more.

    It holds the change from before it asked for the role until the swap has ended, so this is no early answer.
    """
    is_asked_since = seen.seconds_since_answer is not None and seen.seconds_since_answer < seen.seconds_in_state
    return bool(seen.change) and is_asked_since and seen.peer_op is None and seen.peer_change != seen.change


def _is_peer_syncing(seen: Observation) -> bool:
    """Whether the backup pulls for this operation; it gives up by itself when its data-sync stands still."""
    peer, own = seen.peer_op, seen.state.op
    return peer is not None and own is not None and peer.op_id == own.op_id and peer.kind == OperationKind.OFFERED
