"""What can be the matter with a pair: the kinds of problems, and one of them in words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Trouble(StrEnum):
    """The kinds of problems, the gravest first."""

    CONFLICT = "conflict"
    SUPERSEDED = "superseded"
    PEER_SUPERSEDED = "peer_superseded"
    REFUSED = "refused"
    SILENT = "silent"
    LEFT = "left"
    SHARED_IP = "shared_ip"
    NEVER_SYNCED = "never_synced"
    BACKUP_OFF = "backup_off"
    NOT_SYNCED = "not_synced"
    LATE = "late"
    FOLDER = "folder"
    LOST_FILES = "lost_files"
    PEER_UNWELL = "peer_unwell"
    MISMATCH = "mismatch"
    UNWELL = "unwell"


@dataclass(frozen=True)
class Problem:
    """Something that an administrator should look at, as a sentence."""

    kind: Trouble
    sentence: str
