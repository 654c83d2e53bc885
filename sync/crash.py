"""Named crash points: places where a test lets the appliance die, between one durable step and the next.

They do nothing unless the environment has CRASH_POINTS=1. Then the file DATA_DIR/crash-at may name one point: the first
process that comes by it is killed as by `kill -9`. Another word behind the name, `appliance`, kills the supervisor
first, and with it every program of this appliance, as a power cut does. The file is renamed to DATA_DIR/crashed-at,
durably, before anything dies: a point is armed for one crash.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from functools import cache
from pathlib import Path

from django.conf import settings

from appliances.durable import fsync
from sync.rules import actions
from sync.rules.effects import Effect
from sync.rules.table import SUPERSEDED, TABLE

ARMED, CRASHED = "crash-at", "crashed-at"
WHOLE_APPLIANCE = "appliance"
# Rows that put nothing down but their line in Status History.
_WITHOUT_A_STEP = (actions.stay, actions.grant_again)
# On the answering appliance: the message has had its durable effect, and its answer is lost.
ANSWERS = (
    "SwapWish",
    "HandoverRequest",
    "Ready",
    "Grant",
    "Cancel",
    "Demote",
    "Promote",
    "Break",
    "Confirm",
    "PullBegin",
    "PushAppend",
    "PullEnd",
)
# On the backup, in the order of `datasync.pull`; then on the primary, in that of `datasync.export`.
SYNC = (
    "pull begun",
    "pull manifest",
    "pull rows staged",
    "pull blobs staged",
    "pull merged",
    "pull sent",
    "apply begun",
    "apply uncommitted",
    "apply durable",
    "pull agreed",
    "pull told",
    "pull durable",
    "source snapshot written",
    "source serving rows",
    "source serving blobs",
    "source pushed",
    "source push durable",
    "source ended",
)
# Of the folders, behind them: on the backup, then on the primary.
FOLDERS = (
    "folder looked",
    "folder staged",
    "folder published",
    "folder deleting",
    "folder told",
    "source looked",
    "source serving folder",
)


def point(name: str) -> None:
    """The process is about to pass this point; it dies here if a test asked for that."""
    if settings.CRASH_POINTS:
        _die_if_armed(name)


def names() -> tuple[str, ...]:
    """Every point there is: each durable step of a role, each effect, each answer, and the steps of a data-sync."""
    rows = tuple(f"row.{row} {when}" for row in written_rows() for when in ("before", "durable"))
    effects = tuple(
        f"effect.{kind.__name__} {when}" for kind in Effect.__subclasses__() for when in ("before", "after")
    )
    return rows + effects + tuple(f"answer.{message}" for message in ANSWERS) + SYNC + FOLDERS


@cache
def written_rows() -> tuple[str, ...]:
    """The rows of the table that put down a new state, each once, in the order of the table."""
    return tuple(dict.fromkeys(edge.row for edge in (*TABLE, SUPERSEDED) if edge.action not in _WITHOUT_A_STEP))


def _die_if_armed(name: str) -> None:
    folder = Path(settings.DATA_DIR)
    try:
        wanted, _, how = (folder / ARMED).read_text().strip().partition("\n")
        if wanted != name:
            return
        (folder / ARMED).rename(folder / CRASHED)  # of several processes here at once, one succeeds
    except FileNotFoundError:
        return
    fsync(folder)
    if how == WHOLE_APPLIANCE:
        with suppress(OSError, ValueError):
            os.kill(int((folder / "supervisor.lock").read_text()), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
