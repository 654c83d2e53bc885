"""Kill -9 at every named point of every flow: the pair recovers by itself to what the crash table says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e import crash_cases as cases
from tests.e2e.crash_cases import Case
from tests.e2e.drill import RECOVERY_SECONDS, Drill, drilled_pair
from tests.e2e.live import LiveAppliance
from tests.e2e.pages import Pages
from tests.e2e.shell import ShellError

PORT = 9200


@pytest.fixture(scope="module")
def living(folder: Path) -> Iterator[Drill]:
    """One pair for all crashes of this module; it copies a folder of its administrator's, too."""
    with drilled_pair(folder, port=PORT, FOLDER_ROOTS=str(folder)) as drill:
        drill.add_own_folder(folder / "folders")
        yield drill


@pytest.fixture
def drill(living: Drill) -> Iterator[Drill]:
    """The pair, well, with something to synchronise; afterwards it is well and both hold the same."""
    living.rest()
    living.change_something()
    yield living
    living.synchronise()
    assert living.watch.broken == []


@contextmanager
def crash_of(drill: Drill, case: Case, primary: LiveAppliance, backup: LiveAppliance) -> Iterator[None]:
    """What is begun in this block meets the crash; then the pair is soon well again, with the roles of the table."""
    dies = primary if case.side == cases.PRIMARY else backup
    whole = case.how == cases.WHOLE
    drill.arm(dies, case.point, whole=whole)
    with suppress(ShellError):  # whoever asks may be told that the other did not answer
        yield
    drill.wait_for_crash(dies, whole=whole)
    assert drill.own_folder is not None
    assert drill.own_folder.torn() == []
    took = drill.wait_until_well()
    serves, _ = drill.roles()
    print(f"{case}: well after {took:.1f} s, {cases.SWAPPED if serves is backup else cases.AS_BEFORE}")
    assert serves is (backup if case.ends == cases.SWAPPED else primary)
    assert took <= RECOVERY_SECONDS


@pytest.mark.parametrize("case", cases.SWAP, ids=str)
def test_a_swap_pressed_on_the_backup(drill: Drill, case: Case) -> None:
    primary, backup = drill.roles()
    with crash_of(drill, case, primary, backup):
        drill.ask(backup, "primary")


@pytest.mark.parametrize("case", cases.SWAP_FROM_PRIMARY, ids=str)
def test_a_swap_pressed_on_the_primary(drill: Drill, case: Case) -> None:
    primary, backup = drill.roles()
    drill.synchronise()
    with crash_of(drill, case, primary, backup):
        drill.ask(primary, "backup", box=False)


@pytest.mark.parametrize("case", cases.SYNC, ids=str)
def test_a_data_sync(drill: Drill, case: Case) -> None:
    primary, backup = drill.roles()
    with crash_of(drill, case, primary, backup):
        drill.start_sync(backup)


@pytest.mark.parametrize("case", cases.CANCEL, ids=str)
def test_a_swap_that_is_cancelled(drill: Drill, case: Case) -> None:
    """The backup has the offer, and the process that would go on with it is dead: Cancel is pressed on its page."""
    primary, backup = drill.roles()
    pages = Pages(backup)
    assert pages.log_in()
    drill.arm(backup, "row.13 durable")
    drill.ask(backup, "primary")
    drill.wait_for_crash(backup)
    with crash_of(drill, case, primary, backup):
        pressing = threading.Thread(target=pages.press, args=("role-change/cancel",))
        pressing.start()
    pressing.join()
