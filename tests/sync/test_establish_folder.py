"""Establishing a relationship where the data folder cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings

from appliances.choices import EstablishStep
from sync import relationship
from sync.errors import EstablishRefused
from tests.sync.peer_server import own_key

pytestmark = pytest.mark.django_db(transaction=True)


def test_it_is_refused_with_the_reason(settings: Settings, tmp_path: Path) -> None:
    own_key()
    (tmp_path / "no-folder").touch()
    settings.DATA_DIR = tmp_path / "no-folder"
    with pytest.raises(EstablishRefused, match="cannot write to its data folder: Not a directory") as caught:
        relationship.establish(
            peer_host="192.0.2.2", peer_port=443, reverse_host="192.0.2.1", reverse_port=443, requested_by="anna"
        )
    assert caught.value.step == EstablishStep.STATE
    assert caught.value.remedy
