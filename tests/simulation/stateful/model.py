"""What two appliances must hold, in plain dicts and sets, and what they do hold, read past the product.

A version is all synchronised settings at one moment. What was acknowledged stays: settings until a newer version comes
whole, rows and files until somebody deletes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from os import stat_result
from pathlib import Path

from blake3 import blake3

from tests.simulation.schedules.appliances import Appliance
from tests.simulation.schedules.world import Violation

_SETTINGS = (
    "SELECT 'account', username, email FROM appliances_account",
    "SELECT 'group', name, '' FROM auth_group",
    "SELECT 'member', a.username || ' of ' || g.name, '' FROM appliances_account_groups m"
    " JOIN appliances_account a ON a.id = m.account_id JOIN auth_group g ON g.id = m.group_id",
    "SELECT 'file', name, blob_id FROM appliances_filestorefile",
    "SELECT 'portal', '', portal_text FROM appliances_site",
    "SELECT 'sessions are kept', '', keep_sessions_days FROM appliances_retentionsettings",
)
_ROWS = (
    "SELECT id, id, customer_name, '' FROM appliances_supportsession",
    "SELECT id, session_id, text, '' FROM appliances_sessionevent",
    "SELECT id, session_id, name, blob_id FROM appliances_recording",
)
_HEAD = "SELECT head_term, head_seq FROM sync_rolejournal"
_DELETED = "SELECT row_id FROM appliances_tombstone"

NO_HEAD = (-1, 0)
Version = dict[tuple[str, str], object]


@dataclass(frozen=True)
class Row:
    """A session, a line of its log or a recording of it. A session that is open stays where it is."""

    session: str
    text: str
    blob_id: str = ""


@dataclass(frozen=True)
class View:
    """What an appliance holds."""

    appliance: Appliance

    @property
    def name(self) -> str:
        """Whose it is."""
        return self.appliance.name

    @cached_property
    def version(self) -> Version:
        """The settings."""
        return {(kind, name): value for sql in _SETTINGS for kind, name, value in self.appliance.raw.execute(sql)}

    @cached_property
    def head(self) -> tuple[int, int]:
        """By which the product knows the version."""
        term, seq = self.appliance.raw.execute(_HEAD).fetchone()
        return term, seq

    @cached_property
    def rows(self) -> dict[str, Row]:
        """Sessions, logs and recordings by id."""
        return {key: Row(*rest) for sql in _ROWS for key, *rest in self.appliance.raw.execute(sql)}

    @cached_property
    def deleted(self) -> set[str]:
        """What was deleted for good, as far as is known here."""
        return {key for (key,) in self.appliance.raw.execute(_DELETED)}

    @property
    def blobs(self) -> dict[str, Path]:
        """The files of the store by their names."""
        root = Path(self.appliance.settings["BLOB_DIR"])
        return {folder.name + file.name: file for folder in root.iterdir() for file in folder.iterdir()}

    @property
    def wanted_blobs(self) -> set[str]:
        """The files that the rows here refer to."""
        files = {str(value) for (kind, _), value in self.version.items() if kind == "file"}
        return files | {row.blob_id for row in self.rows.values() if row.blob_id}


@dataclass
class Model:
    """The truth. `held`: which version each appliance has; `damaged`: what the disk of which one has spoiled."""

    versions: list[Version]
    held: dict[str, int]
    rows: dict[str, Row] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    there: dict[str, set[str]] = field(default_factory=lambda: {"A": set(), "B": set()})
    deleted: dict[str, set[str]] = field(default_factory=lambda: {"A": set(), "B": set()})
    heads: dict[tuple[int, int], int] = field(default_factory=dict)
    damaged: set[tuple[str, str]] = field(default_factory=set)
    _read: dict[Path, stat_result] = field(default_factory=dict)

    def save(self, name: str, version: Version) -> None:
        """A change of the settings was acknowledged by this appliance."""
        self.versions.append(version)
        self.held[name] = len(self.versions) - 1

    def add(self, name: str, key: str, row: Row) -> None:
        """A row was acknowledged."""
        self.rows[key] = row
        self.there[name].add(key)

    def delete(self, name: str, key: str) -> None:
        """A session, with all that belongs to it, or a recording was deleted there for good."""
        self.deleted[name].add(key)

    def is_deleted(self, key: str, *names: str) -> bool:
        """Whether it is gone for good, as one of these knows."""
        return any({key, self.rows[key].session} & self.deleted[name] for name in names)

    @property
    def left(self) -> set[str]:
        """The rows that both have to hold in the end."""
        return {key for key in self.rows if key not in self.open and not self.is_deleted(key, "A", "B")}

    # --- looking --------------------------------------------------------------------------------------------------

    def check(self, *views: View) -> None:
        """Compare.

        Raises:
            Violation: an appliance lost or mixed what it has acknowledged.
        """
        for view in views:
            self._check_version(view)
            self._check_rows(view)
            self._check_blobs(view)
        if len(self.versions) - 1 not in self.held.values():
            raise Violation("the newest settings, which were acknowledged, are on neither appliance")

    def _check_version(self, view: View) -> None:
        lowest = self.held[view.name]
        for number in range(lowest, len(self.versions)):
            if self.versions[number] == view.version:
                self.held[view.name] = number
                of_head = self.versions[self.heads.setdefault(view.head, number)]
                if view.head > NO_HEAD and of_head != view.version:
                    raise Violation(f"{view.name} says that it has version {view.head}, which is another one")
                return
        known = [number for number, version in enumerate(self.versions) if version == view.version]
        nearest = min(self.versions, key=lambda version: len(version.items() ^ view.version.items()))
        what = f"went back from version {lowest} to {known}" if known else "are a mixture of several versions"
        raise Violation(
            f"the settings of {view.name} {what}: {sorted(map(str, nearest.items() ^ view.version.items()))}"
        )

    def _check_rows(self, view: View) -> None:
        unknown = view.deleted - self.deleted["A"] - self.deleted["B"]
        if unknown or self.deleted[view.name] - view.deleted:
            raise Violation(f"{view.name} has deleted what nobody wanted deleted, or has forgotten what it deleted")
        self.deleted[view.name] |= view.deleted
        for key, row in view.rows.items():
            if self.rows.get(key) != row:
                raise Violation(f"{view.name} holds a row that was never written so: {row}, not {self.rows.get(key)}")
            if self.is_deleted(key, view.name):
                raise Violation(f"{view.name} holds a row that it has deleted: {row}")
        for key in self.there[view.name] - view.rows.keys():
            if not self.is_deleted(key, view.name):
                raise Violation(f"{view.name} has lost a row: {self.rows[key]}")
        self.there[view.name] = set(view.rows)

    def _check_blobs(self, view: View) -> None:
        lacking = view.wanted_blobs - view.blobs.keys()
        if lacking:
            raise Violation(f"{view.name} has lost a file that it has a row of: {min(lacking)[:12]}")
        for blob_id, place in view.blobs.items():
            if (view.name, blob_id) not in self.damaged and not self._is_whole(blob_id, place):
                raise Violation(f"{view.name} has a file in its store whose content is another one: {blob_id[:12]}")

    def is_whole(self, view: View, blob_id: str) -> bool:
        """Whether the file is there, with the content of its name."""
        return blob_id in view.blobs and self._is_whole(blob_id, view.blobs[blob_id])

    def _is_whole(self, blob_id: str, place: Path) -> bool:
        found = place.stat()
        if self._read.get(place) != found:
            if blake3(place.read_bytes()).hexdigest() != blob_id:
                return False
            self._read[place] = found
        return True

    def check_equal(self, *views: View) -> None:
        """Both hold all there is, and the same.

        Raises:
            Violation: an undisturbed data-sync has left a difference.
        """
        self.check(*views)
        for view in views:
            if view.version != self.versions[-1]:
                raise Violation(f"after a data-sync {view.name} has settings of version {self.held[view.name]}")
            if self.left != view.rows.keys() - self.open:
                raise Violation(f"after a data-sync {view.name} holds {len(view.rows)} rows, not {len(self.left)}")
