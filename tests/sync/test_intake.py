"""What cannot be taken in stands in Status History: once when it is found, once when none is left."""

from __future__ import annotations

import pytest

from sync import intake
from sync.models import StatusEvent

pytestmark = pytest.mark.django_db


def told() -> list[str]:
    return list(StatusEvent.objects.order_by("pk").values_list("sentence", flat=True))


def test_what_stays_is_told_once_and_its_end_too() -> None:
    intake.tell({}, {})
    assert told() == []
    for _ in range(3):
        intake.tell({"'a.json' in the watched folder": "Operation not permitted"}, {})
    assert len(told()) == 1
    assert "'a.json' in the watched folder: Operation not permitted. All others are." in told()[0]
    for _ in range(2):
        intake.tell({}, {})
    assert told()[1:] == ["Nothing is left that could not be taken in."]


def test_a_refused_file_is_told_and_is_not_taken_for_what_stays() -> None:
    intake.tell({}, {f"{number}.json": "'x.webm' cannot be read: Input/output error." for number in range(7)})
    intake.tell({}, {})
    assert len(told()) == 1
    assert "0.json: 'x.webm' cannot be read: Input/output error; 1.json" in told()[0]
    assert "and 2 more" in told()[0]
