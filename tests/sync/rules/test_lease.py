"""The shared address has left the primary before the backup may take it: two machines, two clocks, one cut line.

Each run is a small simulation in true time. Both clocks run wrong by up to one per cent, turns and the kernel are as
late as the rules allow, and the line is cut at any moment.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sync.rules.timing import (
    KERNEL_LATENESS,
    LOOP_LATENESS,
    MAX_TIMEOUT,
    MIN_TIMEOUT,
    Entered,
    Timing,
    derive,
    problems,
)

LEAST, MOST = 0.99, 1.01  # seconds of a wrong clock in a second


@dataclass(frozen=True)
class Chance:
    """What the two machines cannot choose: fractions from 0 to 1, and seconds of a clock in a true second."""

    primary_rate: float
    backup_rate: float
    probe_phase: float
    probe_duration: float
    request_phase: float
    renewal_phase: float
    lateness: float
    kernel: float


def chances() -> st.SearchStrategy[Chance]:
    rate = st.sampled_from([LEAST, 1.0, MOST]) | st.floats(LEAST, MOST)
    fraction = st.sampled_from([0.0, 1.0]) | st.floats(0, 1)
    return st.builds(Chance, rate, rate, fraction, fraction, fraction, fraction, fraction, fraction)


def last_answered(interval: float, phase: float, duration: float) -> float:
    """When the last question was sent whose answer came before the line was cut at 0; the questions are regular."""
    sent = -phase * interval  # the last one that was sent before the cut
    while sent + duration > 0:
        sent -= interval
    return sent


def address_ends(times: Timing, chance: Chance) -> float:
    """True time at which the kernel of the primary has removed the address, after the line was cut at 0."""
    interval = (times.interval + chance.lateness * LOOP_LATENESS) / chance.primary_rate
    heard = last_answered(interval, chance.request_phase, 0.0)  # the primary's own question may be answered at once
    renewal = (times.renewal + chance.lateness * LOOP_LATENESS) / chance.primary_rate
    not_after = heard + times.isolation / chance.primary_rate
    first = heard + chance.renewal_phase * renewal
    # Each is judged by the gate before it is made: with few renewals, the last was before the primary heard last.
    last = first + math.floor((not_after - first) / renewal) * renewal
    assert last <= not_after + 1e-6
    late = chance.lateness * LOOP_LATENESS  # between the look at the gate and the renewal
    return last + (late + times.lifetime + chance.kernel * KERNEL_LATENESS) / chance.primary_rate


def take_over_begins(times: Timing, chance: Chance) -> float:
    """True time at which the backup may take over at the earliest."""
    interval = times.interval / chance.backup_rate
    duration = chance.probe_duration * times.probe / chance.backup_rate
    return last_answered(interval, chance.probe_phase, duration) + times.timeout / chance.backup_rate


TIMEOUTS = st.sampled_from([10.0, 11.0, 30.0, 60.0, 180.0, 600.0, MAX_TIMEOUT]) | st.floats(MIN_TIMEOUT, MAX_TIMEOUT)
ENTERED = st.builds(
    Entered, st.none() | st.floats(1, 5), st.none() | st.integers(2, 60), st.none() | st.floats(1, MAX_TIMEOUT)
)


@settings(max_examples=1000, deadline=None)
@given(TIMEOUTS, ENTERED, chances())
def test_the_address_is_gone_before_the_backup_may_act(timeout: float, entered: Entered, chance: Chance) -> None:
    assume(not problems(timeout, entered))
    times = derive(timeout, entered)
    assert address_ends(times, chance) < take_over_begins(times, chance) + 1e-6


@given(TIMEOUTS, chances())
def test_so_it_is_with_every_timeout_whose_times_are_derived(timeout: float, chance: Chance) -> None:
    times = derive(timeout)
    assert address_ends(times, chance) < take_over_begins(times, chance) + 1e-6


WORST = Chance(LEAST, MOST, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("timeout", [10.0, 30.0, 60.0, 180.0, 600.0])
def test_a_primary_that_held_on_for_longer_would_be_found(timeout: float) -> None:
    times = derive(timeout)
    longer = Timing(**{**vars(times), "isolation": timeout})
    assert address_ends(longer, WORST) > take_over_begins(longer, WORST)
