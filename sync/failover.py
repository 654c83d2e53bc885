"""Automatic failover: the facts for the guard, what its verdict leads to, and a primary that gives up by itself.

Run each turn. A backup asks `sync.rules.takeover` whether it may take over; a primary that is cut off or not well stops
serving, so that the backup can. Every verdict that changes stands in Status History with all it was judged by.
"""

from __future__ import annotations

import datetime as dt
import logging
import shlex
import subprocess
from dataclasses import asdict, replace
from typing import Any

from django.conf import settings
from django.utils import timezone

from appliances import shared_ips
from appliances.choices import ProbeOutcome, Role, Severity, State
from appliances.models import BackupSettings
from sync import act, health, history, journal, probes
from sync.health import Health
from sync.models import PeerView, StatusEvent
from sync.portal import SILENT, Portal
from sync.rules import events as e
from sync.rules import takeover, timing
from sync.rules.facts import RoleState
from sync.rules.takeover import Decision, TakeoverFacts, Verdict

FENCE_SECONDS = 30.0
FAILOVER_EVENT = "role.20"
SHADOW = "shadow"

log = logging.getLogger(__name__)


class Pulse:
    """What one process remembers from turn to turn: when it last turned, and since when it is not well.

    `portal` watches the own web server; None where there is none to watch.
    """

    def __init__(self, portal: Portal | None = None) -> None:
        self.portal = portal
        self.last: tuple[float, float] | None = None
        self.tilt_until = 0.0
        self.unwell_since: float | None = None

    def beat(self, *, boottime: float, monotonic: float, times: timing.Timing) -> float:
        """Note this turn; for how long this appliance stood still before it, in seconds, or 0."""
        last, self.last = self.last, (boottime, monotonic)
        if last is None:
            return 0.0
        passed = boottime - last[0]
        if not timing.is_pause(times, boottime_passed=passed, monotonic_passed=monotonic - last[1]):
            return 0.0
        self.tilt_until = boottime + times.tilt
        log.warning("stood still", extra={"seconds": round(passed, 1)})
        return passed

    def note_health(self, own: Health, now: float) -> None:
        """Remember since when this appliance cannot serve: a silent web server counts from its last good answer."""
        if own.can_serve:
            self.unwell_since = None
        elif self.unwell_since is None:
            is_silent = self.portal is not None and own.message == SILENT
            self.unwell_since = self.portal.served if self.portal and is_silent else now


def consider(pulse: Pulse, *, stood_still: float) -> None:
    """One turn of automatic failover; `stood_still` is how long this appliance did nothing before it, else 0."""
    state, times = journal.read(), probes.times()
    if state.role == Role.PRIMARY:
        _watch_myself(pulse, state, times, stood_still)
    elif state.role == Role.BACKUP:
        _watch_the_primary(pulse, state, times)


def _watch_myself(pulse: Pulse, state: RoleState, times: timing.Timing, stood_still: float) -> None:
    """A primary that must not go on stops serving (rows 2, 7, 7b)."""
    now = journal.boottime()
    own = health.read()
    pulse.note_health(own, now)
    if state.state not in (State.P_ACTIVE, State.P_DRAINING) or probes.acknowledged_timeout() is None:
        return
    view = PeerView.load()
    heard = max(view.answered_boottime or 0.0, view.tests.get("answered") or 0.0, view.heard_boottime or 0.0)
    if stood_still >= times.lifetime:
        act.deliver(e.LeaseRanOut(f"This appliance stood still for {stood_still:.0f} s."))
    elif probes.all_test_ips() and heard and now - heard > times.isolation:
        act.deliver(e.Isolated(now - heard))
    elif pulse.unwell_since is not None and now - pulse.unwell_since > times.isolation:
        act.deliver(e.Unwell(own.message))


def _watch_the_primary(pulse: Pulse, state: RoleState, times: timing.Timing) -> None:
    wishes = BackupSettings.load()
    facts = _facts(pulse, state, times, wishes)
    decision = takeover.judge(facts)
    as_if_armed = replace(facts, automatic_failover=True, is_timeout_acknowledged=True)
    shadow = None if wishes.enable_automatic_failover else takeover.judge(as_if_armed)
    _keep(decision, shadow)
    if decision.verdict == Verdict.TAKE_OVER:
        _take_over(pulse, times, decision)
    elif state.state == State.B_PROMOTING:
        act.deliver(e.TakeoverAborted(decision.reason), evidence=decision.evidence)


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
        is_timeout_acknowledged=peer is not None
        and peer.acknowledged_timeout is not None
        and peer.acknowledged_timeout <= times.timeout,
        has_carrier=shared_ips.have_carrier(),
        is_address_free=None,
        is_fenced=None,
        has_witness=None,
        failovers_today=StatusEvent.objects.filter(event=FAILOVER_EVENT, at__gte=day).count(),
    )


def _since(moment: float | None, now: float) -> float | None:
    """Seconds since a CLOCK_BOOTTIME moment; None if there is none, or if the machine was started after it."""
    return now - moment if moment is not None and moment <= now else None


def _keep(decision: Decision, shadow: Decision | None) -> None:
    """Keep the verdict for the page, and tell of every change of it in Status History."""
    view = PeerView.load()
    before = view.decision or {}
    kept: dict[str, Any] = {
        "verdict": decision.verdict.value,
        "reason": decision.reason,
        "seconds_left": decision.seconds_left,
        "clauses": [asdict(clause) for clause in decision.clauses],
    }
    was, would = before.get("verdict", Verdict.HOLD.value), before.get(SHADOW, "")
    # What it would have done stands until the primary has answered again, whatever else speaks against it by then.
    is_back = view.outcome == ProbeOutcome.ANSWERED
    is_standing = would == Verdict.TAKE_OVER.value and not is_back
    kept[SHADOW] = would if is_standing else shadow.verdict.value if shadow else ""
    PeerView.objects.filter(pk=1).update(decision=kept)
    if decision.verdict == Verdict.COUNT_DOWN and was == Verdict.HOLD.value:
        sentence = f"The primary is silent. This appliance takes over in {decision.seconds_left or 0:.0f} s."
        history.record("failover.count_down", sentence, severity=Severity.WARNING, evidence=decision.evidence)
    elif decision.verdict == Verdict.HOLD and was == Verdict.COUNT_DOWN.value:
        history.record("failover.held", f"No take-over: {decision.reason}", evidence=decision.evidence)
    if shadow is not None and shadow.verdict == Verdict.TAKE_OVER and would != Verdict.TAKE_OVER.value:
        sentence = "Automatic failover is off. It would have taken over now."
        history.record("failover.shadow", sentence, severity=Severity.WARNING, evidence=shadow.evidence)
    if shadow is not None and would == Verdict.TAKE_OVER.value and is_back:
        history.record("failover.shadow_over", "The primary is back; a take-over would have been needless by now.")


def _take_over(pulse: Pulse, times: timing.Timing, decision: Decision) -> None:
    """Take over: mark it, fence the peer, judge again, and only then be primary (rows 19, 12b, 20, 21)."""
    if journal.read().state != State.B_PROMOTING:  # it is, when the process that began has died since
        act.deliver(e.TakeoverDue(decision.reason), evidence=decision.evidence)
    is_fenced = fence()
    facts = replace(_facts(pulse, journal.read(), times, BackupSettings.load()), is_fenced=is_fenced)
    again = takeover.judge(facts)
    if again.verdict == Verdict.TAKE_OVER:
        act.deliver(e.TakeoverConfirmed(again.reason), evidence=again.evidence)
    else:
        act.deliver(e.TakeoverAborted(again.reason), evidence=again.evidence)


def fence() -> bool | None:
    """Run the fencing command; True when it confirmed that the peer is off, None when none is configured."""
    argv = shlex.split(settings.FENCING_COMMAND)
    if not argv:
        return None
    try:
        done = subprocess.run(argv, capture_output=True, timeout=FENCE_SECONDS, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("fencing failed", extra={"why": str(error)})
        return False
    log.info("fencing ended", extra={"status": done.returncode, "output": done.stderr[-500:].decode(errors="replace")})
    return done.returncode == 0
