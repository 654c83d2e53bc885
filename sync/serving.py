"""The keeper's word that this primary may go on serving: a file, renewed by each turn that came to its end.

A primary gives its role up in the database. Where that takes no writes, it cannot, while the backup is about to take
over; then the word runs out, and the gate lets nobody in. Without automatic failover there is nothing to fear. A backup
hears that its times are kept to only once they bound the word: from then on it may take over.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from appliances.host import runtime
from sync import journal
from sync.rules.timing import Timing

FILE_NAME = "serving.json"
LEAST_SECONDS = 5.0  # a turn may take that long on a busy machine
MAX_FILE_BYTES = 4096

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Word:
    """When the turn began that gave it, until when it is good (None: without end), and for which announced times.

    `turned`: when the last turn began that came to its end; the start of the appliance gives a word too, and is none.
    """

    began: float = 0.0
    until: float | None = None
    announced: str = ""
    turned: float = 0.0


def renew(times: Timing | None, *, turn_began: float, announced: str = "", is_turn: bool = True) -> None:
    """A turn came to its end, or the appliance starts: go on serving for the isolation time, counted from `turn_began`.

    That is the beginning of the turn, or the start, in CLOCK_BOOTTIME seconds. Without end where `times` is None;
    `announced` names the announcement of the backup that they come from. A turn that took long says nothing against
    what a later one has said. Where the word cannot be written, the one before runs out. One at a time calls this.
    """
    until = None if times is None else turn_began + max(LEAST_SECONDS, times.isolation)
    before = _said()
    if turn_began < before.began <= journal.boottime():
        return
    turned = turn_began if is_turn else before.turned
    word = {"began": turn_began, "until": until, "announced": announced, "turned": turned}
    try:
        runtime.put(_file(), json.dumps(word), settings.DATA_DIR)
    except OSError as error:
        log.warning("word not renewed", extra={"why": str(error)})


def last_turn() -> float | None:
    """When the last turn began that came to its end, whichever process of this appliance it was of.

    CLOCK_BOOTTIME seconds; None if that is not known. A moment in the future is from before the machine started.
    """
    return _said().turned or None


def is_bound_by(announced: str) -> bool:
    """Whether the word is given for a time, after the times of this announcement."""
    word = _said()
    return word.until is not None and word.announced == announced


def has_run_out() -> bool:
    """Whether the word was given for a time that is over. No file, or an unreadable one, is no word against serving."""
    until = _said().until
    return until is not None and journal.boottime() > until


def _said() -> _Word:
    try:
        with open(_file(), "rb") as file:
            found = json.loads(file.read(MAX_FILE_BYTES))
        until = None if found["until"] is None else float(found["until"])
        return _Word(float(found["began"]), until, str(found["announced"]), float(found["turned"]))
    except (OSError, ValueError, KeyError, TypeError):
        return _Word()


def _file() -> Path:
    return Path(settings.HEALTH_FILE).with_name(FILE_NAME)
