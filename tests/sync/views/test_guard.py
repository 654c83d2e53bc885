"""The card of automatic failover on a backup: what stands beside the count-down."""

from __future__ import annotations

import pytest

from sync import history, situation
from sync.models import PeerView
from sync.rules.takeover import Verdict
from sync.views.guard import Guard, read_guard
from tests.sync import pair

pytestmark = pytest.mark.django_db


def counting(back_off_holds: bool) -> Guard:
    clauses = [
        {"name": "silence", "holds": True, "value": "70 of 60 s"},
        {"name": "back-off", "holds": back_off_holds, "value": "none" if back_off_holds else "21 s left"},
    ]
    PeerView.objects.update(
        decision={"verdict": Verdict.COUNT_DOWN.value, "seconds_left": 21.0, "reason": "", "clauses": clauses}
    )
    it = situation.read()
    assert it is not None
    guard = read_guard(it)
    assert guard is not None
    return guard


def test_after_an_attempt_that_was_given_up_the_card_says_why() -> None:
    pair.backup()
    pair.silent()
    history.record("role.21", "Given up.", evidence={"reason": "The fencing command did not confirm."})
    assert counting(back_off_holds=True).detail == "The primary is silent."
    again = counting(back_off_holds=False)
    assert again.status == "takes over in 21 s"
    assert "The last attempt was given up: The fencing command did not confirm." in again.detail
