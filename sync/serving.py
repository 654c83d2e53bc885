"""The keeper's word that this primary may go on serving: a file, renewed by each turn that came to its end.

A primary gives its role up in the database. Where that takes no writes, it cannot, while the backup is about to take
over; then the word runs out, and the gate lets nobody in. Without automatic failover there is nothing to fear.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from django.conf import settings

from appliances.host import runtime
from sync import journal
from sync.rules.timing import Timing

FILE_NAME = "serving.json"
LEAST_SECONDS = 5.0  # a turn may take that long on a busy machine
MAX_FILE_BYTES = 200

log = logging.getLogger(__name__)


def renew(times: Timing | None, *, turn_began: float) -> None:
    """A turn came to its end: go on serving for the isolation time from its beginning (CLOCK_BOOTTIME seconds).

    Without end where `times` is None. A turn that took long says nothing against what a later one has said. Where the
    word cannot be written, the one before runs out.
    """
    until = None if times is None else turn_began + max(LEAST_SECONDS, times.isolation)
    if turn_began < _said()[0] <= journal.boottime():
        return
    try:
        runtime.put(_file(), json.dumps({"began": turn_began, "until": until}), settings.DATA_DIR)
    except OSError as error:
        log.warning("word not renewed", extra={"why": str(error)})


def has_run_out() -> bool:
    """Whether the word was given for a time that is over. No file, or an unreadable one, is no word against serving."""
    _, until = _said()
    return until is not None and journal.boottime() > until


def _said() -> tuple[float, float | None]:
    """When the turn began that gave the word, and until when it is good."""
    try:
        with open(_file(), "rb") as file:
            found = json.loads(file.read(MAX_FILE_BYTES))
        return float(found["began"]), None if found["until"] is None else float(found["until"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0, None


def _file() -> Path:
    return Path(settings.HEALTH_FILE).with_name(FILE_NAME)
