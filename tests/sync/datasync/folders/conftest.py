"""A folder on two appliances: the backup is this process, the primary one of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliances.choices import SyncTrigger
from appliances.models import FolderPlace
from sync.datasync import pull
from sync.peer.sync_messages import FolderOutcome
from tests.fakes import FakePeer
from tests.sync.datasync.conftest import peer, peer_process, there
from tests.sync.datasync.folders import world

__all__ = ["peer", "peer_process", "there"]


class Both:
    """The folder of the primary (`source`) and of the backup (`target`)."""

    def __init__(self, peer: FakePeer, there: Callable[..., Any], place: Path) -> None:
        self.peer, self.there = peer, there
        self.source, self.target = place / "source", place / "target"
        self.source.mkdir()
        self.target.mkdir()
        world.place(str(self.target))

    def rules(self, mode: str = "mirror", include: str = "", exclude: str = "") -> None:
        """Choose the rules of the folder, on the primary."""
        self.peer.process.call("tests.sync.datasync.folders.world:folder", mode, include, exclude)
        self.peer.process.call("tests.sync.datasync.folders.world:place", str(self.source))

    def sync(self) -> FolderOutcome:
        """A data-sync; how the folder ended."""
        run = pull.pull_data(SyncTrigger.SYNC_NOW, client=self.peer)  # type: ignore[arg-type]
        assert run.status == "success"
        said = self.kept.outcome
        return FolderOutcome(**{**said, "reported": [(path, why) for path, why in said["reported"]]})

    def here(self) -> dict[str, bytes]:
        """All files of the backup."""
        return files(self.target)

    def is_equal(self) -> bool:
        """Whether both have the same files with the same time and permissions."""
        return stamps(self.source) == stamps(self.target)

    def agree(self, outcome: FolderOutcome) -> None:
        """Agree to the deletions that wait, on the backup."""
        FolderPlace.objects.filter(name="web").update(agreed=outcome.held_fingerprint)

    @property
    def kept(self) -> FolderPlace:
        """What this appliance remembers of the folder."""
        return FolderPlace.objects.get(name="web")


def files(root: Path) -> dict[str, bytes]:
    """Content by path."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def stamps(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Content, time and permissions by path."""
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.stat().st_mode, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file()
    }


def write(root: Path, **content: bytes | str) -> None:
    """Files by path; two underscores stand for a slash, one for a dot."""
    for name, text in content.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        os.utime(path, ns=(10**18 + hash(text) % 10**9,) * 2)


@pytest.fixture
def both(peer: FakePeer, there: Callable[..., Any], tmp_path: Path) -> Both:
    pair = Both(peer, there, tmp_path)
    pair.rules()
    return pair
