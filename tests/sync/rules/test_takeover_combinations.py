"""The guard of automatic failover over every combination of evidence: each clause holds or does not, all at once.

For each clause there are several values that satisfy it and several that do not; which of them a combination gets
follows from its number, so that every value meets thousands of combinations of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from appliances.choices import State
from sync.rules.facts import PRIMARY_STATES, Head, RoleState
from sync.rules.takeover import TIMED, TakeoverFacts, Verdict, judge

TIMEOUT = 180.0
CALLS_GO_ON = 5.0  # a primary that calls for so much longer than it answers lives
TESTS = ("has_test_ips", "accepts_no_test_ips", "test_rounds")
UP = (True, True, True)


@dataclass(frozen=True)
class Axis:
    """One clause: the facts it is judged by, the values that satisfy it, and those that do not."""

    clause: str
    facts: tuple[str, ...]
    good: tuple[Any, ...]
    bad: tuple[Any, ...]


AXES = (
    Axis(
        "free to act",
        ("kind",),
        (State.B_IDLE, State.B_PROMOTING),
        (State.B_SYNCING, State.B_READY, State.P_ACTIVE, State.P_UNCONFIRMED, State.NONE),
    ),
    Axis("backup operations", ("backup_operations",), (True,), (False,)),
    Axis("automatic failover", ("automatic_failover",), (True,), (False,)),
    Axis("synchronised once", ("initialised",), (True,), (False,)),
    Axis("pause", ("tilt_left",), (0.0,), (0.1, 30.0)),
    Axis("timeout acknowledged", ("is_timeout_acknowledged",), (True,), (False,)),
    Axis("failovers in 24 h", ("failovers_today",), (0, 2), (3, 40)),
    Axis(
        "peer was primary",
        ("peer_state",),
        (*sorted(PRIMARY_STATES, key=list(State).index), State.B_YIELDED),
        (None, State.NONE, State.B_IDLE, State.B_READY, State.B_PROMOTING),
    ),
    Axis("failures", ("failures",), (3, 60), (0, 1, 2)),
    Axis("silence", ("silence",), (TIMEOUT, 9000.0), (None, 0.0, 30.0, TIMEOUT - 0.1)),
    Axis("peer does not call", ("heard_from_peer",), (None, TIMEOUT, 9000.0), (0.0, 29.0, TIMEOUT - 0.1)),
    Axis(
        "test IPs",
        TESTS,
        ((True, False, UP), (True, True, (False, *UP)), (False, True, ()), (False, True, (False,))),
        ((True, True, (True, True, False)), (True, False, (True, True)), (True, True, ()), (False, False, UP)),
    ),
    Axis("carrier", ("has_carrier",), (True, None), (False,)),
    Axis("shared IP free", ("is_address_free",), (True, None), (False,)),
    Axis("fenced", ("is_fenced",), (True, None), (False,)),
    Axis("witness", ("has_witness",), (True, None), (False,)),
    Axis("back-off", ("back_off_left",), (0.0,), (0.1, 30.0)),
)


def combinations() -> Iterator[tuple[TakeoverFacts, frozenset[str]]]:
    """Facts, and the clauses that they break: all combinations of clauses."""
    for number in range(2 ** len(AXES)):
        values: dict[str, Any] = {}
        for place, axis in enumerate(AXES):
            choices = axis.bad if number >> place & 1 else axis.good
            chosen = choices[(number * 2_654_435_761 >> (place + 7)) % len(choices)]
            values |= dict(zip(axis.facts, chosen if len(axis.facts) > 1 else (chosen,), strict=True))
        state = RoleState(
            state=values.pop("kind"), parity=1, head=Head(0, 3), initialised=values.pop("initialised"), own_term=-1
        )
        broken = frozenset(axis.clause for place, axis in enumerate(AXES) if number >> place & 1)
        yield TakeoverFacts(state=state, failures_needed=3, timeout=TIMEOUT, **values), broken


def is_falling_silent(facts: TakeoverFacts) -> bool:
    """Whether the primary answered once, does not any more, and does not call either."""
    if facts.silence is None or not facts.failures:
        return False
    return facts.heard_from_peer is None or facts.heard_from_peer >= facts.silence - CALLS_GO_ON


@pytest.mark.slow
def test_no_combination_takes_over_but_the_one_in_which_every_clause_holds() -> None:
    names = [axis.clause for axis in AXES]
    taken = counted = 0
    for facts, broken in combinations():
        decision = judge(facts)
        assert [clause.name for clause in decision.clauses] == names
        assert {clause.name for clause in decision.clauses if not clause.holds} == broken, facts
        if not broken:
            expected, taken = Verdict.TAKE_OVER, taken + 1
        elif broken <= TIMED and is_falling_silent(facts):
            expected, counted = Verdict.COUNT_DOWN, counted + 1
        else:
            expected = Verdict.HOLD
        assert decision.verdict == expected, (facts, broken)
        lasting = broken - TIMED
        if expected == Verdict.HOLD:
            told = next(clause for clause in decision.clauses if clause.name in (lasting or broken))
            assert decision.reason == told.sentence, (facts, broken)
        if expected == Verdict.COUNT_DOWN:
            assert decision.seconds_left is not None
            assert 0 <= decision.seconds_left <= TIMEOUT
    assert taken == 1
    assert counted > 1
