"""Two appliances: the backup is this process, the primary one of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings

from tests.fakes import FakePeer, PeerProcess
from tests.sync.datasync import world

# On SQLite one transaction writes at a time: what two of them do to each other shows on PostgreSQL only.
collect_ignore = ["test_late_rows.py"] if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3") else []
WORLD = "tests.sync.datasync.world"


@pytest.fixture(scope="session")
def peer_process() -> Iterator[PeerProcess]:
    process = PeerProcess()
    yield process
    process.close()


@pytest.fixture
def peer(peer_process: PeerProcess, transactional_db: None) -> FakePeer:
    """The primary, paired with this appliance, which is its backup."""
    peer_process.call(f"{WORLD}:set_up", "primary")
    world.set_up("backup")
    return FakePeer(peer_process)


@pytest.fixture
def there(peer: FakePeer) -> Callable[..., Any]:
    """Calls a function of `world` on the primary."""
    return lambda name, *arguments: peer.process.call(f"{WORLD}:{name}", *arguments)
