"""What failed when this appliance could not write or read: its disk or its database, in words that say what to do."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from typing import TypeVar

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
_DEADLOCK_STATE = "40P01"  # of PostgreSQL
_FULL_STATES, _BROKEN_STATES = ("53100",), ("58030", "58P01", "XX001", "XX002")  # of PostgreSQL
_BROKEN_NAMES = ("SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_CORRUPT", "SQLITE_NOTADB")

T = TypeVar("T")
log = logging.getLogger(__name__)


def despite_deadlock(work: Callable[[], T]) -> T:
    """What `work` returns, which is one transaction; done once more if the database has ended that for a deadlock.

    A change of settings takes its row first and the role journal in the trigger; who writes under the lock of the
    role journal takes them the other way round.
    """
    try:
        return work()
    except OperationalError as error:
        if _state_of(error) != _DEADLOCK_STATE:
            raise
        log.info("deadlock, tried again", extra={"why": str(error)[:300]})
    return work()


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
    name, state = str(getattr(error.__cause__, "sqlite_errorname", "")), _state_of(error)
    if name == "SQLITE_FULL" or state in _FULL_STATES:
        return DISK_FULL
    if name.startswith(_BROKEN_NAMES) or state in _BROKEN_STATES:
        return DISK_ERROR
    is_gone = isinstance(error, OperationalError | InterfaceError) and state != _DEADLOCK_STATE
    return DATABASE_GONE if is_gone else NOT_STORED


def _state_of(error: Exception) -> str:
    """The SQLSTATE of an error of PostgreSQL, empty for any other."""
    return str(getattr(error.__cause__, "sqlstate", "") or "")


_BROKEN = frozenset({errno.EIO, errno.EROFS, errno.ENODEV, errno.ENXIO, errno.EUCLEAN})
