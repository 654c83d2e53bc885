"""The messages of a data-sync. All are asked by the backup; `sync.peer.messages.parse` reads them.

pull-begin  -> Manifest       compare; the primary keeps a snapshot of its settings
pull-days   -> Days           what is held of logs that differ though both sides hold as many, day by day
pull-rows   -> frames         rows of the settings tables and append-only rows that the backup lacks
pull-blobs  -> frames         files that the backup lacks
push-deletions <- frames      the ids of what tombstones that come would delete on the primary: may they?
push-held                      what the primary has of the files that come next, whole or in part
push-append <- frames         append-only rows, with their files, that the primary lacks
pull-end    -> Done           the snapshot is given back

folder-begin   -> frames       one look at a folder of the administrator's own; its digest, and those of its directories
folder-entries -> frames       the files of the directories that differ
folder-files   -> frames       the files that the backup lacks
folder-end     -> Done         how it ended
pull-files  -> frames         stored files by their hash, whoever asks: one of its own is damaged or missing

Two more compare and mend versions of the settings (`sync.versions`); whoever is not the primary asks them.

settings       -> Manifest, frames   the settings as they are, whatever the role
take-settings  <- frames             chosen settings, for the primary to take over
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from sync.peer.messages import Message
from sync.rules.diff import DayDigest, Mark, TableDigest, Wanted
from sync.rules.facts import Head, Header


@dataclasses.dataclass(frozen=True)
class PullBegin(Message):
    """What the backup holds. `op_id` is the swap that the data-sync belongs to, if any; `run_id` is its own number.

    `root` is one hash over all of it, instead of `settings` and `marks`: where that of the primary is the same, so is
    all the rest, and the Manifest says no more. Where not, it says `more`, and all has to be told.
    """

    path: ClassVar[str] = "pull-begin"
    may_repeat: ClassVar[bool] = True
    header: Header
    guid: str
    op_id: tuple[int, int] | None
    run_id: str
    trigger: str
    settings: list[TableDigest]
    marks: list[Mark]
    root: str = ""


@dataclasses.dataclass(frozen=True)
class Manifest(Message):
    """What the primary holds, at the moment `clock` (its own). An empty `snapshot_id` says that all is equal.

    `more`: log rows wait for their number that were too many for the time the backup waits; it is to begin again.
    """

    header: Header
    snapshot_id: str
    pair_id: str
    guid: str
    own_term: int
    head: Head
    product: str
    build: str
    schema: str
    settings: list[TableDigest]
    marks: list[Mark]
    clock: float
    more: bool = False


@dataclasses.dataclass(frozen=True)
class PullDays(Message):
    """Say day by day what your mark of this key counts."""

    path: ClassVar[str] = "pull-days"
    may_repeat: ClassVar[bool] = True
    snapshot_id: str
    dataset: str
    origin: str
    incarnation: int


@dataclasses.dataclass(frozen=True)
class Days(Message):
    """What a mark counts, day by day."""

    days: list[DayDigest]


@dataclasses.dataclass(frozen=True)
class PullRows(Message):
    """Send these settings tables of the snapshot, then these append-only rows.

    Of some tables, rows are here already (`held`, sums by bucket): send those that differ.
    """

    path: ClassVar[str] = "pull-rows"
    may_repeat: ClassVar[bool] = True
    snapshot_id: str
    tables: list[str]
    wanted: list[Wanted]
    held: dict[str, str]


@dataclasses.dataclass(frozen=True)
class PullBlobs(Message):
    """Send these blobs, in this order.

    Of some, so many bytes have come before (`starts`); some are new versions of files whose blob is here (`bases`).
    """

    path: ClassVar[str] = "pull-blobs"
    may_repeat: ClassVar[bool] = True
    snapshot_id: str
    blobs: list[str]
    starts: dict[str, int]
    bases: dict[str, str]


@dataclasses.dataclass(frozen=True)
class PullFiles(Message):
    """Send these stored files, in this order: this appliance needs them to mend its own."""

    path: ClassVar[str] = "pull-files"
    may_repeat: ClassVar[bool] = True
    header: Header
    blobs: list[str]


@dataclasses.dataclass(frozen=True)
class PushDeletions(Message):
    """Here follow the ids of all that my tombstones would delete: may they? Nothing is deleted yet."""

    path: ClassVar[str] = "push-deletions"
    snapshot_id: str


@dataclasses.dataclass(frozen=True)
class DeletionsAllowed(Message):
    """The tombstones may come; they will delete so many sessions and recordings."""

    count: int


@dataclasses.dataclass(frozen=True)
class PushHeld(Message):
    """Say what you have of these files, which are to come with append-only rows."""

    path: ClassVar[str] = "push-held"
    may_repeat: ClassVar[bool] = True
    snapshot_id: str
    blobs: list[str]


@dataclasses.dataclass(frozen=True)
class Held(Message):
    """These files are not here, and of each so many bytes have come in earlier attempts; the others are here."""

    absent: dict[str, int]


@dataclasses.dataclass(frozen=True)
class PushAppend(Message):
    """Here follow append-only rows that you lack, their blobs first."""

    path: ClassVar[str] = "push-append"
    snapshot_id: str


@dataclasses.dataclass(frozen=True)
class PushDone(Message):
    """The rows are kept; `marks` is what the primary holds now of all append-only rows, for some make others go.

    `live`: ids of sessions that were not taken, because they go on at the primary.
    `lacking`: the blobs that did not come whole; their rows are kept without them.
    """

    rows: int
    blobs: int
    marks: list[Mark]
    live: list[str] = dataclasses.field(default_factory=list)
    lacking: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class PullReport(Message):
    """How a data-sync went on the backup, for the history of the primary; `code` and `message` where it failed."""

    status: str
    code: str
    message: str
    rows_done: int
    blobs_done: int
    bytes_done: int
    rows_sent: int
    blobs_sent: int


@dataclasses.dataclass(frozen=True)
class PullEnd(Message):
    """The data-sync has ended. `complete`: everything was read back, and `root` is the hash over what is stored."""

    path: ClassVar[str] = "pull-end"
    may_repeat: ClassVar[bool] = True
    header: Header
    snapshot_id: str
    complete: bool
    root: str
    report: PullReport


@dataclasses.dataclass(frozen=True)
class SettingsAsked(Message):
    """Send your manifest, then the settings tables that are not as these."""

    path: ClassVar[str] = "settings"
    may_repeat: ClassVar[bool] = True
    header: Header
    guid: str
    settings: list[TableDigest]


@dataclasses.dataclass(frozen=True)
class SettingsChosen(Message):
    """Here follow rows that the primary is to write and to remove, if its head still is `compared`.

    `wrap_id` is what the secrets among them are wrapped for; `why` is the sentence for its Status History.
    """

    path: ClassVar[str] = "take-settings"
    needs_challenge: ClassVar[bool] = True
    header: Header
    guid: str
    wrap_id: str
    compared: Head
    requested_by: str
    why: str


@dataclasses.dataclass(frozen=True)
class SettingsTaken(Message):
    """The chosen settings are the primary's now; `rows` were written or removed."""

    header: Header
    rows: int


@dataclasses.dataclass(frozen=True)
class FolderBegin(Message):
    """Look at this folder. `rules`: a digest of its mode and patterns; `known`: its digest when the backup last looked.

    If yours is the same, the digests of its directories need not be sent.
    """

    path: ClassVar[str] = "folder-begin"
    may_repeat: ClassVar[bool] = True
    folder: str
    rules: str
    known: str


@dataclasses.dataclass(frozen=True)
class FolderEntries(Message):
    """Send the files of these directories, as they were at the look that gave the digest `root`."""

    path: ClassVar[str] = "folder-entries"
    may_repeat: ClassVar[bool] = True
    folder: str
    root: str
    directories: list[str]


@dataclasses.dataclass(frozen=True)
class FolderFiles(Message):
    """Send all files of these directories, then those named in others."""

    path: ClassVar[str] = "folder-files"
    may_repeat: ClassVar[bool] = True
    folder: str
    root: str
    directories: list[str]
    files: list[tuple[str, list[str]]]


@dataclasses.dataclass(frozen=True)
class FolderOutcome:
    """How the data-sync of one folder ended on the backup, with the figures; `reported` lists some paths with why."""

    state: str
    message: str = ""
    files: int = 0
    size: int = 0
    restamped: int = 0
    deleted: int = 0
    kept_twice: int = 0
    held: int = 0
    held_replaced: int = 0
    held_fingerprint: str = ""
    total_files: int = 0
    total_size: int = 0
    seconds: float = 0.0
    reported_count: int = 0
    reported: list[tuple[str, str]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class FolderEnd(Message):
    """The folder is done; `complete` says that the backup holds all that the look with the digest `root` found."""

    path: ClassVar[str] = "folder-end"
    may_repeat: ClassVar[bool] = True
    header: Header
    folder: str
    root: str
    complete: bool
    outcome: FolderOutcome
