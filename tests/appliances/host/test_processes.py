"""One start of the product for each folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliances.host.processes import AlreadyRunning, SingleInstance


def test_a_second_start_in_the_same_folder_is_refused_and_names_the_first(tmp_path: Path) -> None:
    with SingleInstance(tmp_path), pytest.raises(AlreadyRunning, match=str(os.getpid())), SingleInstance(tmp_path):
        pass


def test_the_folder_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with SingleInstance(tmp_path / "new"):
            pass
