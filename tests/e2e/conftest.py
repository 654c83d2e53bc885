"""Live appliances and a browser for the end-to-end tests; each test ends with clean logs and no process left."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.e2e.browser import chromium
from tests.e2e.live import LiveAppliance, LivePair, wait_for

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever stands in this folder is end to end."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with a short path: Unix sockets lie below it."""
    path = Path(tempfile.mkdtemp(prefix="e2e-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    with chromium() as running:
        yield running


@contextmanager
def running(*appliances: LiveAppliance) -> Iterator[None]:
    """Whatever happens meanwhile, these are stopped; then nothing of them is left and no log holds a traceback."""
    try:
        yield
    except BaseException:
        for appliance in appliances:
            print(f"--- loud lines of {appliance.name}", *appliance.loud_lines()[-15:], sep="\n")
        raise
    finally:
        for appliance in appliances:
            appliance.stop()
    for appliance in appliances:
        found = appliance.tracebacks()
        assert not found, "\n".join(found)
        wait_for(f"the end of all processes of {appliance.name}", appliance.has_ended, 5)


@contextmanager
def established_pair(folder: Path, *, port: int, **environment: str) -> Iterator[LivePair]:
    """A pair with demo content, established from the shell, its first data-sync done: site1 is primary."""
    pair = LivePair.below(folder, port=port, **environment)
    with running(pair.site1, pair.site2):
        pair.start()
        filled = pair.site1.manage("demo_content")
        assert filled.returncode == 0, filled.stderr
        pair.establish_from_shell()
        pair.wait_until_synchronised()
        yield pair


def by_role(pair: LivePair) -> tuple[LiveAppliance, LiveAppliance]:
    """The primary and the backup."""
    sites = (pair.site1, pair.site2)
    primary, backup = sites if pair.site1.role() == "primary" else sites[::-1]
    assert backup.role() == "backup"
    return primary, backup


def settle(pair: LivePair) -> None:
    """Wait until no role change runs on either and both are healthy."""
    for site in (pair.site1, pair.site2):
        wait_for("the end of the role change", site.has_no_role_change, 60)
        wait_for("health", site.says_healthy, 60)
