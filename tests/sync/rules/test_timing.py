"""The times of automatic failover never let the backup take over before the primary is surely gone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.rules.timing import DEFAULT_TIMEOUT, MAX_TIMEOUT, MIN_TIMEOUT, derive, is_pause, problems


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
