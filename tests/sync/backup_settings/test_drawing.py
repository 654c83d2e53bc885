"""The drawing tells the truth about the times: what is drawn lies where the sums say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sync.backup_settings.drawing import ROOM, draw, in_words
from sync.rules.timing import Entered, derive


def per_cent(text: str) -> float:
    return float(text.removesuffix("%"))


@given(st.integers(10, 86400), st.none() | st.integers(3, 100), st.none() | st.floats(1, 500))
def test_the_parts_of_a_line_follow_each_other_to_the_moment_at_its_end(
    timeout: int, lifetime: int | None, isolation: float | None
) -> None:
    entered = Entered(lifetime=lifetime, isolation=isolation)
    times, drawing = derive(timeout, entered), draw(timeout, entered)
    reached = 0.0
    for span in drawing.spans:
        assert abs(per_cent(span.start) - reached) < 0.05
        reached = per_cent(span.start) + per_cent(span.width)
    assert abs(reached - per_cent(drawing.gone)) < 0.05
    assert drawing.is_safe == (times.surely_gone <= timeout + 1e-6)
    ahead = (times.surely_gone - timeout) / (max(times.surely_gone, timeout) * ROOM) * 100
    assert abs(per_cent(drawing.gone) - per_cent(drawing.takes) - ahead) <= 0.0101, "each is rounded to 0.01 %"
    assert max(per_cent(drawing.gone), per_cent(drawing.takes)) < 97
    assert len(drawing.failed) == times.failures
    assert len(drawing.probes) <= 60
    assert drawing.gap.style == ("spare" if drawing.is_safe else "overlap")


def test_times_are_named_as_people_say_them() -> None:
    assert [in_words(seconds) for seconds in (3.5, 72, 299.96, 300, 605, 5400, 86400)] == [
        "3.5 s",
        "72 s",
        "300 s",
        "5 min",
        "10 min 5 s",
        "1 h 30 min",
        "24 h",
    ]


def test_a_reserve_of_nothing_is_not_praised() -> None:
    assert not draw(10).has_reserve
    assert draw(60).has_reserve
