"""May this backup take over now? Every clause of the guard with its value: for the log, the page and the history.

Source: role protocol, section 2.5. Only silence counts as failure; whatever answers with a wrong key, certificate or
version is an alert and never a reason to take over.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from appliances.choices import State
from sync.rules.facts import PRIMARY_STATES, RoleState

MAX_FAILOVERS_A_DAY = 3
# One that has yielded is not refused for that alone, but for want of an acknowledged timeout (row 12b).
FREE_STATES = frozenset({State.B_IDLE, State.B_PROMOTING, State.B_YIELDED})
# The clauses that time alone mends while the primary stays silent.
SWITCH, ACKNOWLEDGED = "automatic failover", "timeout acknowledged"
TIMED = frozenset({"failures", "silence", "peer does not call", "back-off"})
# A primary whose own calls go on this much longer than its answers lives: only the way to it is cut.
CALLS_AFTER_ANSWER_SECONDS = 5.0
TEST_ROUNDS = 3  # rounds in a row in which a test IP has to have answered


_YES = {True: "yes", False: "no"}
_SAID = {None: "not asked", True: "confirmed", False: "refused"}
_ANSWERED = {None: "not asked: this appliance does not move addresses", True: "nobody answers", False: "in use"}


class Verdict(Enum):
    """What the guard says."""

    HOLD = "hold"
    COUNT_DOWN = "count_down"
    TAKE_OVER = "take_over"


@dataclass(frozen=True)
class TakeoverFacts:
    """What the guard looks at. Durations are seconds.

    `silence`: since the send time of the last answered probe, None if none was ever answered. `test_rounds`: for the
    last rounds, newest last, whether any connectivity test IP answered. `heard_from_peer`: since the peer itself last
    opened a connection to this appliance. `has_carrier`: of the interfaces of the shared IPs, None where there are
    none. `is_address_free`: nobody answers at the shared IPs, None where that was not asked. `is_fenced` and
    `has_witness`: None where none is configured or none was asked yet. `back_off_left`: until another attempt may
    follow one that was given up.
    """

    state: RoleState
    backup_operations: bool
    automatic_failover: bool
    tilt_left: float
    peer_state: State | None
    failures: int
    failures_needed: int
    silence: float | None
    timeout: float
    has_test_ips: bool
    accepts_no_test_ips: bool
    test_rounds: tuple[bool, ...]
    heard_from_peer: float | None
    is_timeout_acknowledged: bool
    has_carrier: bool | None
    is_address_free: bool | None
    is_fenced: bool | None
    has_witness: bool | None
    failovers_today: int
    back_off_left: float = 0.0


@dataclass(frozen=True)
class Clause:
    """One condition of the guard: whether it holds, the value it was judged by, and what the operator reads."""

    name: str
    holds: bool
    value: str
    sentence: str

    @property
    def told(self) -> str:
        """Whether it holds, with the value where that says more: "yes (181.0 of 180 s)", "NO"."""
        holds = "yes" if self.holds else "NO"
        return holds if self.value in _YES.values() else f"{holds} ({self.value})"


@dataclass(frozen=True)
class Decision:
    """The verdict, the sentence with its reason, every clause, and the seconds left while it counts down."""

    verdict: Verdict
    reason: str
    clauses: tuple[Clause, ...]
    seconds_left: float | None = None

    @property
    def against(self) -> tuple[Clause, ...]:
        """The clauses for which it holds: those that time alone does not mend, where there are any."""
        broken = tuple(clause for clause in self.clauses if not clause.holds) if self.verdict == Verdict.HOLD else ()
        if any(clause.name == SWITCH for clause in broken):  # the primary is asked to acknowledge only while it is on
            broken = tuple(clause for clause in broken if clause.name != ACKNOWLEDGED)
        return tuple(clause for clause in broken if clause.name not in TIMED) or broken

    @property
    def evidence(self) -> dict[str, str]:
        """Every clause with its value, for the log and the history."""
        return {clause.name: clause.told for clause in self.clauses}


def judge(facts: TakeoverFacts) -> Decision:
    """Whether to hold, count down, or take over."""
    clauses = (*_standing(facts), *_silence(facts), *_surroundings(facts))
    broken = [clause for clause in clauses if not clause.holds]
    if not broken:
        return Decision(Verdict.TAKE_OVER, "The primary has been silent for the whole timeout.", clauses, 0.0)
    left = _seconds_left(facts)
    if facts.failures > 0 and left is not None and all(clause.name in TIMED for clause in broken):
        return Decision(Verdict.COUNT_DOWN, f"The primary is silent; take-over in {left:.0f} s.", clauses, left)
    first = next((clause for clause in broken if clause.name not in TIMED), broken[0])
    return Decision(Verdict.HOLD, first.sentence, clauses)


def _seconds_left(facts: TakeoverFacts) -> float | None:
    """How long the primary must go on being silent; None where it was never heard, or has called since it was."""
    if facts.silence is None:
        return None
    heard = facts.silence if facts.heard_from_peer is None else facts.heard_from_peer
    if heard < facts.silence - CALLS_AFTER_ANSWER_SECONDS:
        return None
    return max(0.0, facts.timeout - min(facts.silence, heard), facts.back_off_left)


def _standing(f: TakeoverFacts) -> tuple[Clause, ...]:
    """What has to be so whatever the primary does."""
    return (
        Clause("free to act", f.state.state in FREE_STATES, f.state.state.label, "This appliance is in a swap."),
        Clause("backup operations", f.backup_operations, _YES[f.backup_operations], "Backup operations are disabled."),
        Clause(SWITCH, f.automatic_failover, _YES[f.automatic_failover], "Automatic failover is disabled."),
        Clause(
            "synchronised once",
            f.state.initialised,
            _YES[f.state.initialised],
            "This backup has never completed a data-sync.",
        ),
        Clause(
            "pause",
            f.tilt_left <= 0,
            _wait(f.tilt_left),
            "This appliance stood still a moment ago and does not trust what it saw.",
        ),
        Clause(
            ACKNOWLEDGED,
            f.is_timeout_acknowledged,
            _YES[f.is_timeout_acknowledged] if f.automatic_failover else "not asked for: automatic failover is off",
            "The primary has not acknowledged the timeout yet.",
        ),
        Clause(
            "failovers in 24 h",
            f.failovers_today < MAX_FAILOVERS_A_DAY,
            f"{f.failovers_today} of {MAX_FAILOVERS_A_DAY}",
            "There were too many automatic failovers in the last 24 hours: only by hand from now on.",
        ),
    )


def _silence(f: TakeoverFacts) -> tuple[Clause, ...]:
    """What the primary does, or does not."""
    return (
        Clause(
            "peer was primary",
            f.peer_state in PRIMARY_STATES or f.peer_state == State.B_YIELDED or f.state.state == State.B_YIELDED,
            f.peer_state.label if f.peer_state else "never heard",
            "The peer was not primary when it was last heard.",
        ),
        Clause(
            "failures",
            f.failures >= f.failures_needed,
            f"{f.failures} of {f.failures_needed}",
            "The primary has answered lately.",
        ),
        Clause(
            "silence",
            f.silence is not None and f.silence >= f.timeout,
            "never heard" if f.silence is None else f"{f.silence:.1f} of {f.timeout:.0f} s",
            "The primary has not been silent long enough.",
        ),
        Clause(
            "peer does not call",
            f.heard_from_peer is None or f.heard_from_peer >= f.timeout,
            "never" if f.heard_from_peer is None else f"{f.heard_from_peer:.1f} s ago",
            "The primary still opens connections to this appliance: it lives.",
        ),
    )


def _surroundings(f: TakeoverFacts) -> tuple[Clause, ...]:
    """Whether it is this appliance that is cut off, and whether somebody else holds the address."""
    rounds = f.test_rounds[-TEST_ROUNDS:]
    answering = f.accepts_no_test_ips if not f.has_test_ips else len(rounds) == TEST_ROUNDS and all(rounds)
    return (
        Clause(
            "test IPs",
            answering,
            f"{sum(rounds)} of the last {TEST_ROUNDS} rounds answered" if f.has_test_ips else "none configured",
            "No connectivity test IP answers: this appliance itself may be cut off."
            if f.has_test_ips
            else "No connectivity test IP is configured, and the risk was not accepted.",
        ),
        Clause(
            "carrier",
            f.has_carrier is not False,
            "no shared IP" if f.has_carrier is None else "link" if f.has_carrier else "no link",
            "The network interface of the shared IP has no link.",
        ),
        Clause(
            "shared IP free",
            f.is_address_free is not False,
            _ANSWERED[f.is_address_free],
            "Somebody answers at the shared IP address.",
        ),
        Clause("fenced", f.is_fenced is not False, _SAID[f.is_fenced], "The fencing command did not confirm."),
        Clause("witness", f.has_witness is not False, _SAID[f.has_witness], "The witness did not grant the role."),
        Clause(
            "back-off",
            f.back_off_left <= 0,
            _wait(f.back_off_left),
            "A take-over was given up a moment ago.",
        ),
    )


def _wait(left: float) -> str:
    return f"{left:.0f} s left" if left > 0 else "none"
