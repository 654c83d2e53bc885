"""What failed when this appliance could not write or read: its disk or its database, in words that say what to do."""

from __future__ import annotations

import errno
import os

from django.db import DatabaseError, InterfaceError, OperationalError

from appliances import disk
from appliances.choices import SyncStatus
from sync.datasync.refusals import SENTENCES
from sync.errors import NotStored, SyncError, code_of
from sync.rules.snapshot import Refusal

DISK_FULL, DISK_ERROR, DATABASE_GONE, NOT_STORED = "disk_full", "disk_error", "database_gone", "not_stored"
CANCELLED = frozenset({Refusal.OPERATION_GONE.value})
_KEPT = "The settings are as they were, and what had arrived is kept."
_SENTENCES = {
    DISK_FULL: (
        f"The disk of {{whose}} is full. {_KEPT}",
        "Free some space on it, or enlarge it; the next data-sync goes on from there.",
    ),
    DISK_ERROR: (
        f"The disk of {{whose}} reports an error ({{why}}). {_KEPT}",
        "See its system log and check the disk before you rely on this pair; replace it if the error comes back.",
    ),
    DATABASE_GONE: (
        f"The database of {{whose}} does not answer. {_KEPT}",
        "See whether it runs, and its log; the next data-sync goes on from there.",
    ),
    NOT_STORED: ("{whose} could not store what was received: {why}", "The log of {whose} says more."),
}
_FULL_STATES, _BROKEN_STATES = ("53100",), ("58030", "58P01", "XX001", "XX002")  # of PostgreSQL
_BROKEN_NAMES = ("SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_CORRUPT", "SQLITE_NOTADB")


def not_stored(error: OSError | DatabaseError | InterfaceError, whose: str = "this appliance") -> NotStored:
    """The failure that an error of the disk or of the database means; `whose` names the appliance."""
    code = _code(error)
    text, remedy = _SENTENCES[code]
    why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    said = text.format(whose=whose, why=why[:200])
    return NotStored(said[0].upper() + said[1:], remedy=remedy.format(whose=whose), reason=code)


def outcome(error: Exception | None) -> tuple[SyncStatus, str, str]:
    """How a data-sync ended that ended so: status, code and sentence."""
    if error is None:
        return SyncStatus.SUCCESS, "", ""
    if isinstance(error, OSError | DatabaseError | InterfaceError):
        error = not_stored(error)
    if not isinstance(error, SyncError):
        return SyncStatus.FAILED, "internal_error", f"{type(error).__name__}: {error}"
    code = code_of(error)
    if code in CANCELLED:
        return SyncStatus.CANCELLED, code, str(error)
    is_refused = code in {refusal.value for refusal in SENTENCES}
    return SyncStatus.REFUSED if is_refused else SyncStatus.FAILED, code, str(error)


def _code(error: Exception) -> str:
    if isinstance(error, OSError):
        return DISK_FULL if error.errno in disk.FULL else DISK_ERROR if error.errno in _BROKEN else NOT_STORED
    cause = error.__cause__
    name, state = str(getattr(cause, "sqlite_errorname", "")), str(getattr(cause, "sqlstate", "") or "")
    if name == "SQLITE_FULL" or state in _FULL_STATES:
        return DISK_FULL
    if name.startswith(_BROKEN_NAMES) or state in _BROKEN_STATES:
        return DISK_ERROR
    return DATABASE_GONE if isinstance(error, OperationalError | InterfaceError) else NOT_STORED


_BROKEN = frozenset({errno.EIO, errno.EROFS, errno.ENODEV, errno.ENXIO, errno.EUCLEAN})
