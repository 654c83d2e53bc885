"""The guard of automatic failover: it takes over only when every clause holds, and says which one does not."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from appliances.choices import State
from sync.rules.facts import Head, RoleState
from sync.rules.takeover import TakeoverFacts, Verdict, judge

GONE = TakeoverFacts(
    state=RoleState(state=State.B_IDLE, parity=1, head=Head(0, 3), initialised=True),
    backup_operations=True,
    automatic_failover=True,
    tilt_left=0.0,
    peer_state=State.P_ACTIVE,
    failures=60,
    failures_needed=3,
    silence=181.0,
    timeout=180.0,
    has_test_ips=True,
    accepts_no_test_ips=False,
    test_rounds=(True, True, True),
    heard_from_peer=181.0,
    is_timeout_acknowledged=True,
    has_carrier=True,
    is_address_free=True,
    is_fenced=None,
    has_witness=None,
    failovers_today=0,
)
# What speaks against a take-over, one at a time.
AGAINST: dict[str, dict[str, object]] = {
    "in a swap": {"state": replace(GONE.state, state=State.B_READY)},
    "backup operations off": {"backup_operations": False},
    "automatic failover off": {"automatic_failover": False},
    "never synchronised": {"state": replace(GONE.state, initialised=False)},
    "stood still": {"tilt_left": 12.0},
    "timeout not acknowledged": {"is_timeout_acknowledged": False},
    "too many today": {"failovers_today": 3},
    "peer was backup": {"peer_state": State.B_IDLE},
    "peer never heard": {"peer_state": None},
    "peer calls": {"heard_from_peer": 2.0},
    "no test IP answers": {"test_rounds": (True, True, False)},
    "too few rounds": {"test_rounds": (True, True)},
    "no test IP configured": {"has_test_ips": False},
    "no link": {"has_carrier": False},
    "shared IP answers": {"is_address_free": False},
    "not fenced": {"is_fenced": False},
    "no witness": {"has_witness": False},
}


def test_without_a_shared_ip_no_link_is_asked_for() -> None:
    decision = judge(replace(GONE, has_carrier=None))
    assert decision.verdict == Verdict.TAKE_OVER
    assert decision.evidence["carrier"] == "yes (no shared IP)"


def test_takes_over_when_nothing_speaks_against_it() -> None:
    decision = judge(GONE)
    assert decision.verdict == Verdict.TAKE_OVER
    assert all(clause.holds for clause in decision.clauses)


@pytest.mark.parametrize("changes", AGAINST.values(), ids=AGAINST)
def test_holds_and_says_why(changes: dict[str, object]) -> None:
    decision = judge(replace(GONE, **changes))  # type: ignore[arg-type]
    assert decision.verdict == Verdict.HOLD
    broken = [clause for clause in decision.clauses if not clause.holds]
    assert [decision.reason] == [clause.sentence for clause in broken]


def test_while_it_is_off_no_acknowledgement_is_missed() -> None:
    decision = judge(replace(GONE, automatic_failover=False, is_timeout_acknowledged=False))
    assert [clause.sentence for clause in decision.against] == ["Automatic failover is disabled."]


@pytest.mark.parametrize("pair", list(itertools.combinations(AGAINST, 2)), ids=" and ".join)
def test_two_things_against_it_hold_too(pair: tuple[str, str]) -> None:
    changes = AGAINST[pair[0]] | AGAINST[pair[1]]
    assert judge(replace(GONE, **changes)).verdict == Verdict.HOLD  # type: ignore[arg-type]


def test_no_combination_of_evidence_takes_over_unless_every_clause_holds() -> None:
    bad: dict[str, object] = {}
    for changes in AGAINST.values():
        bad |= {name: value for name, value in changes.items() if name not in bad}
    bad |= {"silence": 30.0, "failures": 1, "back_off_left": 9.0}
    assert len(bad) >= 17
    names = list(bad)
    for chosen in itertools.product((False, True), repeat=len(names)):
        changes = {name: bad[name] for name, is_bad in zip(names, chosen, strict=True) if is_bad}
        decision = judge(replace(GONE, **changes))  # type: ignore[arg-type]
        assert (decision.verdict == Verdict.TAKE_OVER) is not any(chosen), changes
        assert (decision.verdict == Verdict.HOLD) is bool(decision.against), changes


def test_counts_down_while_the_primary_is_silent_but_not_long_enough() -> None:
    decision = judge(replace(GONE, silence=30.0, failures=9, heard_from_peer=None))
    assert decision.verdict == Verdict.COUNT_DOWN
    assert decision.seconds_left == 150.0
    assert "150 s" in decision.reason


def test_counts_down_from_the_last_that_was_heard_of_the_primary() -> None:
    assert judge(replace(GONE, silence=30.0, failures=9, heard_from_peer=28.0)).seconds_left == 152.0


def test_a_primary_that_only_calls_is_never_counted_down() -> None:
    decision = judge(replace(GONE, silence=300.0, heard_from_peer=1.0))
    assert decision.verdict == Verdict.HOLD
    assert "it lives" in decision.reason


def test_a_primary_that_answers_is_no_reason_to_count_down() -> None:
    assert judge(replace(GONE, silence=1.0, failures=0)).verdict == Verdict.HOLD


def test_a_primary_never_heard_is_never_taken_over() -> None:
    assert judge(replace(GONE, silence=None)).verdict != Verdict.TAKE_OVER


def test_the_risk_of_no_test_ip_can_be_accepted() -> None:
    assert judge(replace(GONE, has_test_ips=False, accepts_no_test_ips=True)).verdict == Verdict.TAKE_OVER


def test_whoever_has_yielded_may_take_the_role_back_from_a_silent_grantee() -> None:
    yielded = replace(GONE, state=replace(GONE.state, state=State.B_YIELDED), peer_state=State.B_READY)
    assert judge(yielded).verdict == Verdict.TAKE_OVER


def test_every_clause_stands_in_the_evidence_with_its_value() -> None:
    evidence = judge(GONE).evidence
    assert len(evidence) == len(judge(GONE).clauses)
    assert evidence["silence"] == "yes (181.0 of 180 s)"
    assert judge(replace(GONE, failures=1)).evidence["failures"] == "NO (1 of 3)"


def test_the_values_are_words_that_people_read() -> None:
    evidence = judge(replace(GONE, has_test_ips=True, test_rounds=(True, True, False), back_off_left=3.0)).evidence
    assert evidence["test IPs"] == "NO (2 of the last 3 rounds answered)"
    assert (evidence["pause"], evidence["back-off"]) == ("yes (none)", "NO (3 s left)")
    assert evidence["automatic failover"] == "yes"
    told = " ".join(judge(replace(GONE, automatic_failover=False, is_timeout_acknowledged=False)).evidence.values())
    assert "NO (not asked for: automatic failover is off)" in told
    assert not {"True", "False", "None"} & set(told.replace("(", " ").replace(")", " ").split())


def test_the_state_of_the_peer_is_named_in_words() -> None:
    values = {clause.name: clause.value for clause in judge(GONE).clauses}
    assert values["peer was primary"] == State.P_ACTIVE.label
    never = {clause.name: clause.value for clause in judge(replace(GONE, peer_state=None)).clauses}
    assert never["peer was primary"] == "never heard"
