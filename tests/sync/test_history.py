"""Status History keeps what is new and forgets what is old."""

from __future__ import annotations

import pytest

from sync import history
from sync.models import StatusEvent

pytestmark = pytest.mark.django_db


def test_a_line_carries_the_role_and_term_of_its_moment() -> None:
    line = history.record("test", "Something happened.", evidence={"count": 1})
    assert (line.role, line.term, line.evidence) == ("none", 0, {"count": 1})
    assert list(history.latest()) == [line]


def test_only_the_newest_lines_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "KEEP", 3)
    lines = [history.record("test", f"Line {number}.") for number in range(5)]
    assert history.prune() == 2
    assert list(StatusEvent.objects.order_by("id")) == lines[2:]


def test_a_sentence_that_is_too_long_for_the_database_is_cut() -> None:
    line = history.record("test", "name " * 900)
    line.full_clean(exclude=["evidence"])
    assert len(line.sentence) <= 1000
    assert line.sentence.endswith("…")
    assert len(history.record("test", "x" * 2000).sentence) > 990
