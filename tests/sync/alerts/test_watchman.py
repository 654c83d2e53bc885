"""The watchman: what administrators have to be told of is told whatever else it looks after fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings

from appliances.choices import State
from sync import alerts, health, tasks
from sync.health import Health
from sync.models import AlertMail
from tests.sync import pair

pytestmark = pytest.mark.django_db


def test_a_disk_that_reports_errors_keeps_no_mail_back(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its data folder cannot be read, so nothing can be said of the ballast either."""
    moments = [1000.0]
    monkeypatch.setattr(tasks, "_watch", alerts.Watch(lambda: moments[-1]))
    pair.paired(State.P_ACTIVE)
    settings.DATA_DIR = tmp_path / "gone"
    for moment in (1000.0, 1025.0):
        moments.append(moment)
        health.write(Health(False, "The data folder cannot be read."))
        tasks.watch()
    assert "unwell.begun" in AlertMail.objects.values_list("event", flat=True)
