"""A folder of the administrator's own on a live pair: defined on the pages, changed and compared past the product."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from appliances.beneath import STAGING
from tests.e2e.compare import blake3_of
from tests.e2e.live import LiveAppliance
from tests.e2e.pages import Pages

PAGE = "/login/appliances/folder/"
NAME = "Web content"
LARGE = 700_000  # more than one piece of a stream


class OwnFolder:
    """It lies below `root`, with one place for each appliance; the primary's copy is the one to be changed."""

    def __init__(self, root: Path, primary: LiveAppliance, backup: LiveAppliance) -> None:
        self._root = root
        self._number = 0
        self._written: set[str] = set()  # the hash of every content that a file ever had
        self._sites = primary, backup
        for site in self._sites:
            self.place(site).mkdir(parents=True)

    def place(self, site: LiveAppliance) -> Path:
        """Where it lies on this appliance."""
        return self._root / site.name

    def define(self, synchronise: Callable[[], None]) -> None:
        """Added on the primary, placed on the backup; what lay there is deleted only after somebody has agreed."""
        primary, backup = self._sites
        self.change(primary)
        stray = self.place(backup) / "stray.txt"
        self._write(stray, b"of another service")
        pages = Pages(primary)
        assert pages.log_in()
        path = str(self.place(primary))
        status, page = pages.post(f"{PAGE}add/", name=NAME, mode="mirror", enabled="on", path=path)
        assert status == 302, page
        synchronise()  # now the backup knows of it
        [[number]] = backup.rows(f"SELECT id FROM appliances_folder WHERE name = '{NAME}'")
        pages = Pages(backup)
        assert pages.log_in()
        status, page = pages.post(f"{PAGE}{number}/change/", path=str(self.place(backup)))
        assert status == 302, page
        synchronise()
        assert self.outcome(backup)["state"] == "held"
        assert stray.exists()
        [held] = re.findall('name="held" value="([0-9a-f]+)"', pages.get(PAGE)[1])
        assert pages.post(f"{PAGE}{number}/agree/", held=held)[0] == 302
        synchronise()
        assert (self.outcome(backup)["state"], self.differences()) == ("copied", [])

    @staticmethod
    def outcome(site: LiveAppliance) -> dict[str, object]:
        """How its latest data-sync ended, as this appliance remembers it."""
        [[said]] = site.rows(f"SELECT outcome FROM appliances_folderplace WHERE name = '{NAME}'")
        outcome: dict[str, object] = json.loads(said)
        return outcome

    def change(self, primary: LiveAppliance) -> None:
        """A file is new, two have another content, and one is gone."""
        place, self._number = self.place(primary), self._number + 1
        word = f"word-{self._number} ".encode()
        self._write(place / f"new-{self._number}.txt", word)
        self._write(place / "changed.txt", word * self._number)
        self._write(place / "below" / "large.bin", (word * LARGE)[: LARGE + self._number])
        (place / f"new-{self._number - 1}.txt").unlink(missing_ok=True)

    def _write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        self._written.add(blake3_of(path))

    def torn(self) -> list[str]:
        """The files with a content that none of them ever had: half of one, or of two."""
        found = []
        for path in (path for site in self._sites for path in self.place(site).rglob("*")):
            with suppress(FileNotFoundError):  # the next data-sync has just deleted it
                if path.is_file() and STAGING not in path.parts and blake3_of(path) not in self._written:
                    found.append(str(path))
        return found

    def differences(self) -> list[str]:
        """Every path that is not the same on both: content, time and permissions; what is left of staging too."""
        one, two = (_held(self.place(site)) for site in self._sites)
        return [
            f"{path}: {one.get(path)} and {two.get(path)}"
            for path in sorted({*one, *two})
            if one.get(path) != two.get(path)
        ]


def _held(place: Path) -> dict[str, tuple[str, int, int]]:
    """Hash, time and mode of each file below a folder, by path."""
    return {
        str(path.relative_to(place)): (blake3_of(path), path.stat().st_mtime_ns, path.stat().st_mode)
        for path in place.rglob("*")
        if path.is_file()
    }
