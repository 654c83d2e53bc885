"""The keeper turns each second, survives a turn that fails, and is the only one of its appliance."""

from __future__ import annotations

import threading
from pathlib import Path

from sync.keeper import Keeper


def test_turns_go_on_after_one_that_failed(tmp_path: Path) -> None:
    turned, enough = [], threading.Event()

    def turn() -> None:
        turned.append(threading.current_thread().name)
        if len(turned) == 1:
            raise RuntimeError("the database is gone")
        enough.set()

    keeper = Keeper(turn, lambda: tmp_path / "keeper.lock")
    assert keeper.ensure()
    assert keeper.ensure()
    assert enough.wait(10)
    keeper.stop()
    assert len(turned) >= 2


def test_a_turn_that_waits_does_not_hold_up_the_next(tmp_path: Path) -> None:
    first, second, release = threading.Event(), threading.Event(), threading.Event()

    def turn() -> None:
        if first.is_set():
            second.set()
        else:
            first.set()
            release.wait(20)

    keeper = Keeper(turn, lambda: tmp_path / "keeper.lock")
    keeper.ensure()
    assert second.wait(10)
    release.set()
    keeper.stop()


def test_an_appliance_has_one_keeper(tmp_path: Path) -> None:
    one = Keeper(lambda: None, lambda: tmp_path / "keeper.lock")
    other = Keeper(lambda: None, lambda: tmp_path / "keeper.lock")
    assert one.ensure()
    assert not other.ensure()
    one.stop()
