"""One turn: look, decide, act. Read this first.

Both appliances run it each second (`sync.keeper`). A turn looks at the peer when that is due, lets the rules answer
what it saw and what time has brought, and says which work another worker has to do. But for its `Pulse`, which tells
when the appliance stood still, it holds nothing in memory: a turn that is lost or doubled changes nothing.
"""

from __future__ import annotations

import logging
import threading
import time

from django.db import DatabaseError

from appliances import selectors
from appliances.choices import Role
from sync import act, failover, health, journal, probes, role_changes, serving
from sync.datasync import lease, pull
from sync.observe import observe
from sync.relationship import settle
from sync.rules import due, timing
from sync.rules import events as e
from sync.rules.effects import SendGrant
from sync.rules.role import UnknownEdge
from sync.versions import waiting

log = logging.getLogger(__name__)
_giving = threading.Lock()


def boot() -> None:
    """The appliance starts: a primary does not serve before it knows that nobody else does (row 2)."""
    probes.forget_moments()
    act.deliver(e.Boot())
    _give_word(journal.boottime(), is_turn=False)


def turn(pulse: failover.Pulse) -> list[due.Work]:
    """One turn; what another worker is to be asked for."""
    began, times = journal.boottime(), _times()
    stood_still = pulse.beat(boottime=began, monotonic=time.monotonic(), times=times)
    if pulse.portal is not None:
        pulse.portal.ask_if_due(times)
    health.write(health.collect(pulse.portal.problem(times) if pulse.portal else ""))
    settle()
    lease.reap()
    relationship = selectors.relationship()
    if relationship is None:
        pulse.stood_still = 0.0
        _give_word(began)
        return []
    if stood_still:
        probes.forget_failures()
    _look()
    probes.ask_test_ips_if_due()
    _deliver_failover(pulse, stood_still)
    change = role_changes.running()
    seen = observe(
        relationship,
        change,
        is_driven=change is not None and role_changes.is_driven(change),
        is_sync_running=pull.is_running(),
    )
    for event in due.events_due(seen):
        whole = failover.with_witness(pulse, event)
        try:
            if whole is not None:
                act.deliver(whole)
        except UnknownEdge as error:  # the state has changed since it was observed: the next turn looks again
            log.info("event out of date", extra={"why": str(error)})
    if due.is_grant_to_be_repeated(seen) and seen.state.op is not None:
        act.carry_out((SendGrant(seen.state.op.op_id, seen.state.op.new_term),))
    role_changes.end_if_over(seen)
    _give_word(began)
    return [*due.work_due(seen), *([due.Work.COUNT_DIFFERENCES] if waiting.is_due() else [])]


def between_turns(pulse: failover.Pulse) -> None:
    """Many times a second: a primary whose time is over stops now, however long the turns wait for somebody."""
    try:
        failover.stop_in_time(pulse)
    except UnknownEdge as error:
        log.info("event out of date", extra={"why": str(error)})


def _give_word(began: float, *, is_turn: bool = True) -> None:
    """A primary may go on serving, by the times that it has heard of by now: this turn may have brought others.

    Turns overlap: none writes what it had read before another one wrote a word for newer times.
    """
    with _giving:
        kept = probes.acknowledged()
        times = None if kept.timeout is None else timing.derive(kept.timeout, kept.times)
        serving.renew(times, turn_began=began, announced=kept.announcement, is_turn=is_turn)


def _times() -> timing.Timing:
    """The times in force, or the usual ones: a database that does not answer must not keep the health untold."""
    try:
        return probes.times()
    except DatabaseError:
        return timing.derive(timing.DEFAULT_TIMEOUT)


def _deliver_failover(pulse: failover.Pulse, stood_still: float) -> None:
    try:
        failover.consider(pulse, stood_still=stood_still)
    except UnknownEdge as error:
        log.info("event out of date", extra={"why": str(error)})


def _look() -> None:
    """Ask the peer, if it is time to."""
    found = None if journal.read().role == Role.NONE else probes.look_if_due()
    if found is not None:
        role_changes.take_in(found)
