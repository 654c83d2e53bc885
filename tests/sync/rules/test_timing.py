"""The times of automatic failover never let the backup take over before the primary is surely gone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.rules.timing import (
    DEFAULT_TIMEOUT,
    LONGEST_INTERVAL,
    MAX_TIMEOUT,
    MIN_TIMEOUT,
    SHORTEST_INTERVAL,
    Entered,
    derive,
    is_kept_to,
    is_pause,
    problems,
)

ENTERED = st.builds(
    Entered,
    st.none() | st.floats(SHORTEST_INTERVAL, LONGEST_INTERVAL),
    st.none() | st.integers(3, 200),
    st.none() | st.floats(1, 400),
)


@given(st.floats(MIN_TIMEOUT, MAX_TIMEOUT))
def test_every_timeout_that_the_form_accepts_keeps_the_inequality(timeout: float) -> None:
    times = derive(timeout)
    assert problems(timeout) == []
    assert times.surely_gone <= timeout + 1e-6
    assert times.interval + times.probe <= 6.0


@pytest.mark.parametrize("timeout", [1.0, 9.9, MAX_TIMEOUT + 1])
def test_other_timeouts_are_refused_with_a_sentence(timeout: float) -> None:
    assert any("from 10 s to 24 h" in problem.sentence for problem in problems(timeout))


@pytest.mark.parametrize(
    ("timeout", "interval", "lifetime", "isolation"),
    [(10, 1.0, 3, 3.5), (30, 3.0, 6, 12.0), (60, 3.0, 12, 24.0), (180, 3.0, 20, 72.0), (600, 3.0, 20, 240.0)],
)
def test_the_times_grow_with_the_timeout_up_to_their_bounds(
    timeout: float, interval: float, lifetime: int, isolation: float
) -> None:
    times = derive(timeout)
    assert (times.interval, times.lifetime) == (interval, lifetime)
    assert times.isolation == pytest.approx(isolation)


def test_standing_still_is_noticed_by_either_clock() -> None:
    times = derive(DEFAULT_TIMEOUT)
    assert not is_pause(times, boottime_passed=2.0, monotonic_passed=2.0)
    assert is_pause(times, boottime_passed=times.longest_gap + 0.1, monotonic_passed=times.longest_gap + 0.1)
    assert is_pause(times, boottime_passed=4.0, monotonic_passed=1.0)


@given(st.floats(MIN_TIMEOUT, 1000), ENTERED)
def test_times_that_are_entered_are_accepted_exactly_where_the_primary_is_gone_in_time(
    timeout: float, entered: Entered
) -> None:
    times = derive(timeout, entered)
    found = problems(timeout, entered)
    is_sound = (
        times.surely_gone <= timeout + 1e-6
        and times.isolation >= times.shortest_isolation - 1e-6
        and times.failures * (times.interval + 0.2) + times.probe <= timeout + 1e-6
        and times.longest_gap <= timeout / 2 + 1e-6
    )
    assert (found == []) == is_sound
    given_names = {name for name in ("interval", "lifetime", "isolation") if getattr(entered, name) is not None}
    assert {problem.name for problem in found} <= given_names | {"timeout"}
    for name in given_names:
        assert getattr(times, name) == getattr(entered, name)


def test_a_sum_that_is_too_large_is_told_with_what_it_is_made_of_and_a_timeout_that_would_do() -> None:
    entered = Entered(isolation=50)
    (problem,) = problems(60, entered)
    assert problem.name == "isolation"
    assert "50 s + address lifetime 12 s" in problem.sentence
    assert "= 70.5 s: 10.5 s more than the timeout of 60 s" in problem.sentence
    assert "raise the timeout to 71 s" in problem.sentence
    assert problems(71, Entered(lifetime=12, isolation=50)) == []


def test_an_isolation_timer_that_is_too_short_is_told_what_it_needs() -> None:
    (problem,) = problems(60, Entered(isolation=5))
    assert (problem.name, "Enter at least 9.2 s" in problem.sentence) == ("isolation", True)


@given(st.floats(MIN_TIMEOUT, 1000), ENTERED, st.floats(MIN_TIMEOUT, 1000), ENTERED)
def test_a_backup_acts_only_when_what_the_primary_keeps_to_fits_into_its_own_timeout(
    timeout: float, entered: Entered, heard: float, heard_entered: Entered
) -> None:
    own, kept = derive(timeout, entered), derive(heard, heard_entered)
    if is_kept_to(own, kept):
        # The backup's last answered probe may be this much older than what the primary heard last.
        assert kept.isolation + kept.lifetime + own.interval + own.probe + 1.3 + timeout / 50 <= timeout + 1e-5
    if not problems(timeout, entered):
        assert is_kept_to(own, own)


def test_a_shorter_timeout_waits_for_the_acknowledgement_and_a_longer_one_does_not() -> None:
    assert not is_kept_to(derive(60), derive(180))
    assert is_kept_to(derive(180), derive(60))
    assert not is_kept_to(derive(180), derive(180, Entered(isolation=150)))
