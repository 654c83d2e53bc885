"""The token bucket: never more than the limit in any window of time, and hardly less where there is enough to move."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.rules.throttle import BUCKET_SECONDS, Bucket

RATES = st.floats(10_000, 1e9)
STEPS = st.lists(st.tuples(st.floats(0, 2), st.integers(1, 2**20)), min_size=1, max_size=60)


def run(bucket: Bucket, steps: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """At which moments how much was moved, when somebody asks after each pause for so many bytes."""
    moved = []
    for moment, (_, wanted) in zip(accumulate(pause for pause, _ in steps), steps, strict=True):
        count = bucket.allowed(wanted, moment)
        assert 0 <= count <= wanted
        bucket.spend(count, moment)
        moved.append((moment, count))
    return moved


@given(RATES, STEPS)
def test_no_window_of_time_sees_more_than_the_rate_and_one_bucket(rate: float, steps: list[tuple[float, int]]) -> None:
    bucket = Bucket(rate, 0.0)
    moved = run(bucket, steps)
    for first in range(len(moved)):
        total = 0
        for moment, count in moved[first:]:
            total += count
            assert total <= rate * (moment - moved[first][0]) + bucket.capacity + 1


@given(RATES, st.floats(0.0, 0.02))
def test_whoever_takes_what_is_allowed_gets_the_rate(rate: float, late: float) -> None:
    """Also where each wait ends a little late, as long as the bucket does not run over."""
    bucket, now, total = Bucket(rate, 0.0), 0.0, 0
    while now < 2.0:
        wait = bucket.wait(2**30, now)
        assert 0 <= wait <= BUCKET_SECONDS
        now += wait + late
        count = bucket.allowed(2**30, now)
        assert count > 0
        bucket.spend(count, now)
        total += count
    assert total >= rate * now * 0.97 - bucket.capacity


@given(RATES, RATES, STEPS)
def test_a_changed_rate_holds_from_then_on(before: float, after: float, steps: list[tuple[float, int]]) -> None:
    bucket = Bucket(before, 0.0)
    run(bucket, [(0.1, 2**20)] * 5)
    bucket.set_rate(after, 0.5)
    moved = run(bucket, [(0.5, 1), *steps])[1:]
    assert sum(count for _, count in moved) <= after * (moved[-1][0] - 0.5) + bucket.capacity + 1


@given(STEPS)
def test_without_a_limit_everything_is_allowed_and_nothing_is_owed_later(steps: list[tuple[float, int]]) -> None:
    bucket = Bucket(0, 0.0)
    assert [count for _, count in run(bucket, steps)] == [wanted for _, wanted in steps]
    assert bucket.wait(2**20, 0.0) == 0.0
    bucket.set_rate(1_000_000, 1000.0)
    assert bucket.wait(2**20, 1000.0) <= BUCKET_SECONDS


@pytest.mark.parametrize("rate", [10_000, 1_000_000])
def test_one_byte_is_as_welcome_as_a_million(rate: float) -> None:
    bucket = Bucket(rate, 0.0)
    assert bucket.allowed(1, 0.0) == 0
    assert bucket.allowed(1, 0.01) == 1


def test_a_clock_that_is_read_twice_in_one_moment_or_a_little_back_does_no_harm() -> None:
    bucket = Bucket(100_000, 10.0)
    bucket.spend(bucket.allowed(2**20, 10.05), 10.05)
    assert bucket.allowed(2**20, 10.05) == 0
    assert bucket.allowed(2**20, 9.0) == 0
