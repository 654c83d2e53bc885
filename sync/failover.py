"""Automatic failover: the facts for the guard, what its verdict leads to, and a primary that gives up by itself.

Run each turn. A backup asks `sync.rules.takeover` whether it may take over; a primary that is cut off or not well stops
serving, so that the backup can. Every verdict that changes stands in Status History with all it was judged by.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from dataclasses import asdict, replace
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from appliances import shared_ips
from appliances.choices import ProbeOutcome, Role, Severity, State
from appliances.models import BackupSettings
from sync import act, health, history, journal, probes, serving
from sync.health import Health
from sync.models import PeerView, StatusEvent
from sync.outside import WITNESS_SECONDS, Attempt, Lease, witness_seconds
from sync.portal import SILENT, Portal
from sync.rules import events as e
from sync.rules import takeover, timing
from sync.rules.facts import RoleState, ballot
from sync.rules.takeover import Decision, TakeoverFacts, Verdict

FAILOVER_EVENT = "role.20"
SHADOW = "shadow"
BACK_OFF_SECONDS = 30.0
LONGEST_BACK_OFF_SECONDS = 240.0
TELL_SECONDS = 10.0  # reasons that come and go are told of no more often

log = logging.getLogger(__name__)


class Pulse:
    """What one process remembers from turn to turn: when it last turned, and since when it is not well.

    `portal` watches the own web server; None where there is none to watch. `limit` is the moment (CLOCK_BOOTTIME
    seconds) at which a primary stops serving unless it learns better before; None where nothing speaks against it.
    `stood_still`: the longest pause, in seconds, of which nothing has followed yet.
    """

    def __init__(self, portal: Portal | None = None) -> None:
        self.portal = portal
        self.last: tuple[float, float] | None = None
        self.tilt_until = self.stood_still = 0.0
        self.limit: float | None = None
        self.unwell_since: float | None = None
        self.attempt: Attempt | None = None
        self.lease: Lease | None = None
        self.back_off_until = 0.0
        self._back_off = (BACK_OFF_SECONDS, "")
        self.turning = threading.Lock()

    def attempt_of(self, state: RoleState, times: timing.Timing) -> Attempt:
        """The attempt to take over that is being made, or a new one."""
        if self.attempt is None:
            self.attempt = Attempt(ballot(state.parity, state.term), witness_seconds(times))
        return self.attempt

    def give_lease_up(self) -> None:
        """The witness is not asked any more: this is no serving primary."""
        if self.lease is not None:
            self.lease.end()
            self.lease = None

    def back_off(self, reason: str) -> None:
        """The attempt was given up: no other for 30 s, and for twice as long each time that the reason is the same."""
        seconds, before = self._back_off
        seconds = min(2 * seconds, LONGEST_BACK_OFF_SECONDS) if reason == before else BACK_OFF_SECONDS
        self._back_off = seconds, reason
        self.back_off_until = journal.boottime() + seconds
        self.attempt = None

    def beat(self, *, boottime: float, monotonic: float, times: timing.Timing) -> float:
        """Note this turn; for how long this appliance stood still before it, in seconds, or 0.

        The first turn of a process goes by what the one before has left: while nobody turned, nobody listened either.
        """
        is_first = self.last is None
        passed = self.pause(boottime=boottime, monotonic=monotonic, times=times)
        self.last = boottime, monotonic
        if not passed:
            return 0.0
        self.tilt_until, self.stood_still = boottime + times.tilt, max(passed, self.stood_still)
        if not is_first:  # an appliance that was switched off is no surprise
            log.warning("stood still", extra={"seconds": round(passed, 1)})
        return passed

    def pause(self, *, boottime: float, monotonic: float, times: timing.Timing) -> float:
        """For how long this appliance has stood still since its last turn, in seconds, or 0."""
        last = self.last or _before(boottime, monotonic)
        passed = boottime - last[0]
        return passed if timing.is_pause(times, boottime_passed=passed, monotonic_passed=monotonic - last[1]) else 0.0

    def note_health(self, own: Health, now: float) -> None:
        """Remember since when this appliance cannot serve: a silent web server counts from its last good answer."""
        if own.can_serve:
            self.unwell_since = None
        elif self.unwell_since is None:
            is_silent = self.portal is not None and own.message == SILENT
            self.unwell_since = self.portal.served if self.portal and is_silent else now


def _before(boottime: float, monotonic: float) -> tuple[float, float]:
    """The last whole turn of the process before this one; as long ago as the machine runs, if that is not known.

    One that it began and did not end tells nothing: it may have died before anything followed from a pause.
    """
    last = serving.last_turn()
    passed = boottime - last if last is not None and last <= boottime else boottime
    return boottime - passed, monotonic - passed


def consider(pulse: Pulse, *, stood_still: float) -> None:
    """One turn of automatic failover; `stood_still` is how long this appliance did nothing before it, else 0."""
    with pulse.turning:  # turns overlap while the peer is silent, and each program from outside is run once
        state, times = journal.read(), probes.times()
        if state.role == Role.PRIMARY:
            _watch_myself(pulse, state, times, max(stood_still, pulse.stood_still))
        else:
            pulse.give_lease_up()
        pulse.stood_still = 0.0
        if state.role == Role.BACKUP:
            _watch_the_primary(pulse, state, times)


def stop_in_time(pulse: Pulse) -> None:
    """A primary whose limit has come stops serving, without waiting for the next turn; anybody else does nothing.

    The times that keep two primaries apart leave `timing.LOOP_LATENESS` for this, far less than from turn to turn.
    """
    now = journal.boottime()
    if pulse.limit is None or now <= pulse.limit:
        return
    with pulse.turning:
        state, times = journal.read(), probes.times()
        if state.role == Role.PRIMARY:  # one that has just waked has not turned yet, or is in the middle of it
            stood_still = pulse.pause(boottime=now, monotonic=time.monotonic(), times=times) if pulse.last else 0.0
            _watch_myself(pulse, state, times, max(stood_still, pulse.stood_still))


def _watch_myself(pulse: Pulse, state: RoleState, times: timing.Timing, stood_still: float) -> None:
    """A primary that must not go on stops serving (rows 2, 7, 7b)."""
    now = journal.boottime()
    pulse.note_health(health.read(), now)
    pulse.limit = None
    if state.state not in (State.P_ACTIVE, State.P_DRAINING) or probes.acknowledged().timeout is None:
        pulse.give_lease_up()
        return
    pulse.attempt = None
    if stood_still >= times.lifetime:
        act.deliver(e.LeaseRanOut(f"This appliance stood still for {stood_still:.0f} s."))
        return
    limits = _limits(pulse, state, times, now)
    pulse.limit = min((moment for moment, _ in limits), default=None)
    over = [event for moment, event in limits if moment < now]
    if over:  # the lease stays until this is durable: a new one would begin the time of this primary anew
        act.deliver(over[0])
    elif pulse.lease is not None:  # not before: the time of one that stood still is over, and its term perhaps too
        pulse.lease.keep(state.own_term, witness_seconds(times))


def _limits(pulse: Pulse, state: RoleState, times: timing.Timing, now: float) -> list[tuple[float, e.Event]]:
    """Until when this primary may serve at the longest, and what has happened then; the gravest first."""
    view = PeerView.load()
    # Own questions alone count, from when they were sent: a message that arrives may have been sent long ago.
    peer = _latest(now, view.answered_boottime)
    heard = _latest(now, view.answered_boottime, view.tests.get("answered"))
    found: list[tuple[float, e.Event]] = []
    if probes.all_test_ips():
        found.append((heard + times.isolation, e.Isolated(now - heard)))
    if settings.WITNESS_COMMAND:
        pulse.lease = pulse.lease or Lease()
        ends = max(pulse.lease.ends(witness_seconds(times)), peer + 2 * times.interval + times.probe)
        found.append((ends, e.Isolated(now - peer, "Neither the peer nor the witness answers")))
    if pulse.unwell_since is not None:
        found.append((pulse.unwell_since + times.isolation, e.Unwell(health.read().message)))
    return found


def _latest(now: float, *moments: float | None) -> float:
    """The latest of CLOCK_BOOTTIME moments, or when the present state began if there is none.

    A moment from the future is from before the machine was started, and tells nothing.
    """
    known = [moment for moment in moments if moment is not None and moment <= now]
    return max(known, default=now - journal.seconds_in_state())


def _watch_the_primary(pulse: Pulse, state: RoleState, times: timing.Timing) -> None:
    wishes = BackupSettings.load()
    facts = _facts(pulse, state, times, wishes)
    decision = takeover.judge(facts)
    as_if_armed = replace(facts, automatic_failover=True, is_timeout_acknowledged=True)
    shadow = None if wishes.enable_automatic_failover else takeover.judge(as_if_armed)
    _keep(decision, shadow, facts.failures_needed)
    if decision.verdict == Verdict.TAKE_OVER:
        _take_over(pulse, state, times, decision)
    elif state.state == State.B_PROMOTING or (pulse.attempt and pulse.attempt.has_witness is False):
        _give_up(pulse, decision)
    elif decision.verdict == Verdict.COUNT_DOWN and (decision.seconds_left or 0) <= _lead(times):
        pulse.attempt_of(state, times).hear_witness()
    else:
        pulse.attempt = None


def _facts(pulse: Pulse, state: RoleState, times: timing.Timing, wishes: BackupSettings) -> TakeoverFacts:
    view, peer, now = PeerView.load(), probes.latest_status(), journal.boottime()
    day = timezone.now() - dt.timedelta(days=1)
    return TakeoverFacts(
        state=state,
        backup_operations=wishes.enable_backup_operations,
        automatic_failover=wishes.enable_automatic_failover,
        tilt_left=max(0.0, pulse.tilt_until - now),
        peer_state=peer.header.state if peer else None,
        failures=view.consecutive_failures,
        failures_needed=times.failures,
        silence=_since(view.answered_boottime, now),
        timeout=times.timeout,
        has_test_ips=bool(wishes.test_ips),
        accepts_no_test_ips=wishes.accept_no_test_ips,
        test_rounds=tuple(view.test_rounds),
        heard_from_peer=_since(view.heard_boottime, now),
        is_timeout_acknowledged=probes.is_acknowledged(times),
        has_carrier=shared_ips.have_carrier(),
        is_address_free=None,
        is_fenced=pulse.attempt.is_fenced if pulse.attempt else None,
        has_witness=pulse.attempt.has_witness if pulse.attempt else None,
        back_off_left=max(0.0, pulse.back_off_until - now),
        failovers_today=StatusEvent.objects.filter(event=FAILOVER_EVENT, at__gte=day).count(),
    )


def _since(moment: float | None, now: float) -> float | None:
    """Seconds since a CLOCK_BOOTTIME moment; None if there is none, or if the machine was started after it."""
    return now - moment if moment is not None and moment <= now else None


def _keep(decision: Decision, shadow: Decision | None, failures_needed: int) -> None:
    """Keep the verdict for the page, and tell of every change of it in Status History."""
    view = PeerView.load()
    before = view.decision or {}
    kept: dict[str, Any] = {
        "verdict": decision.verdict.value,
        "reason": decision.reason,
        "seconds_left": decision.seconds_left,
        "clauses": [asdict(clause) for clause in decision.clauses],
    }
    is_back = view.outcome == ProbeOutcome.ANSWERED
    # What it would have done stands until the primary has answered again, whatever else speaks against it by then.
    is_standing = before.get(SHADOW) == Verdict.TAKE_OVER.value and not is_back
    kept[SHADOW] = Verdict.TAKE_OVER.value if is_standing else shadow.verdict.value if shadow else ""
    is_silent = not is_back and view.consecutive_failures >= failures_needed
    kept |= _tell_verdict(decision, before, is_silent=is_silent)
    PeerView.objects.filter(pk=1).update(decision=kept)
    if shadow is not None:
        _tell_shadow(shadow, before.get(SHADOW, ""), is_back=is_back, evidence=decision.evidence)


def _tell_verdict(decision: Decision, before: dict[str, Any], *, is_silent: bool) -> dict[str, Any]:
    """Tell of a verdict that has changed, and of other reasons not to take over while the primary is silent.

    What is to be remembered of it: the reasons told, and when.
    """
    now, told, told_at = journal.boottime(), tuple(before.get("against", ())), before.get("told_at")
    against = tuple(clause.name for clause in decision.against) if is_silent else ()
    was = before.get("verdict", Verdict.HOLD.value)
    if decision.verdict == Verdict.COUNT_DOWN and was == Verdict.HOLD.value:
        sentence = f"The primary is silent. This appliance takes over in {decision.seconds_left or 0:.0f} s."
        history.record("failover.count_down", sentence, severity=Severity.WARNING, evidence=decision.evidence)
    elif decision.verdict == Verdict.HOLD and was == Verdict.COUNT_DOWN.value:
        history.record("failover.held", f"No take-over: {decision.reason}", evidence=decision.evidence)
    elif decision.verdict == Verdict.HOLD and against and against != told:
        if told_at is not None and 0 <= now - told_at < TELL_SECONDS:
            return {"against": told, "told_at": told_at}
        sentences = " ".join(clause.sentence for clause in decision.against)
        sentence = f"The primary is silent, and this appliance does not take over: {sentences}"
        history.record("failover.held", sentence, severity=Severity.WARNING, evidence=decision.evidence)
    else:
        return {"against": against, "told_at": told_at}
    return {"against": against, "told_at": now}


def _tell_shadow(shadow: Decision, would: str, *, is_back: bool, evidence: dict[str, str]) -> None:
    """Tell what would have been done, with the evidence as it really was, and when the primary was back."""
    if shadow.verdict == Verdict.TAKE_OVER and would != Verdict.TAKE_OVER.value:
        now = timezone.now().strftime("%H:%M:%S UTC")
        sentence = f"Automatic failover is off. This appliance would have taken over now, at {now}."
        history.record("failover.shadow", sentence, severity=Severity.WARNING, evidence=evidence)
    if would == Verdict.TAKE_OVER.value and is_back:
        history.record("failover.shadow_over", _shadow_over())


def _shadow_over() -> str:
    told = StatusEvent.objects.filter(event="failover.shadow").first()
    if told is None:
        return "The primary is back. It would have been taken over, but automatic failover was off."
    later = max(0.0, (timezone.now() - told.at).total_seconds())
    return (
        f"Automatic failover was off. This appliance would have taken over at {told.at:%H:%M:%S} UTC; the primary was "
        f"back {timing.text(later)} later."
    )


def _take_over(pulse: Pulse, state: RoleState, times: timing.Timing, decision: Decision) -> None:
    """Take over: mark it, hear witness and fence, judge again, and only then be primary (rows 19, 12b, 20, 21)."""
    if state.state != State.B_PROMOTING:  # it is, when the process that began has died since
        state = act.deliver(e.TakeoverDue(decision.reason), evidence=decision.evidence).after
    if not pulse.attempt_of(state, times).is_over():
        return
    PeerView.load()
    with transaction.atomic():
        # Held until the role is taken: a primary that calls meanwhile is heard of before that, or hears of it.
        PeerView.objects.select_for_update().get(pk=1)
        again = takeover.judge(_facts(pulse, journal.read(), times, BackupSettings.load()))
        if again.verdict == Verdict.TAKE_OVER:
            pulse.attempt = None
            act.deliver(e.TakeoverConfirmed(again.reason), evidence=again.evidence)
            return
    _give_up(pulse, again)


def _give_up(pulse: Pulse, decision: Decision) -> None:
    """Something speaks against it at the last moment: leave it, and not try again at once (row 21)."""
    pulse.back_off(decision.reason)
    if journal.read().state == State.B_PROMOTING:
        act.deliver(e.TakeoverAborted(decision.reason), evidence=decision.evidence)


def with_witness(pulse: Pulse, event: e.Event) -> e.Event | None:
    """The event with who answers at the shared IP (row 5), else with what the witness says (row 4).

    None while there is no answer yet.
    """
    if not isinstance(event, e.BootTimedOut):
        return event
    address_holder = shared_ips.held_elsewhere()
    if address_holder:
        return replace(event, address_holder=address_holder)
    attempt = pulse.attempt
    if attempt is None or (attempt.has_witness is False and attempt.is_old()):
        attempt = pulse.attempt = Attempt(journal.read().own_term, witness_seconds(probes.times()))
    if not attempt.hear_witness():
        return None
    return replace(event, has_witness=attempt.has_witness)


def _lead(times: timing.Timing) -> float:
    """How long before the end of the timeout the witness is asked, so that its word holds then."""
    return min(WITNESS_SECONDS, witness_seconds(times) / 2)
