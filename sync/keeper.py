"""The resident keeper: runs the turns of this appliance each second, whatever becomes of the broker.

It lives in the worker of the queue `role`. A turn that waits for a silent peer does not hold up the next one, which
reports the health of this appliance. One keeper an appliance: it holds a lock on a file in the data folder.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from django.db import DatabaseError, close_old_connections

TURN_SECONDS = 1.0
SENTRY_SECONDS = 0.05  # between two looks at the clock; with them and the change, a primary stops within LOOP_LATENESS
TURNS_AT_ONCE = 3

log = logging.getLogger(__name__)


class Keeper:
    """Calls `turn` each second, or as often as `seconds` says, from threads of its own, once started."""

    def __init__(
        self, turn: Callable[[], None], lock_file: Callable[[], Path], *, seconds: float = TURN_SECONDS
    ) -> None:
        self._turn, self._seconds = turn, seconds
        self._lock_file = lock_file
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._held: int | None = None
        self._pending = threading.Semaphore(TURNS_AT_ONCE)
        self._stopping = threading.Event()

    def ensure(self) -> bool:
        """The keeper runs; False if another process of this appliance has it."""
        with self._starting:
            if self._thread is not None and self._thread.is_alive():
                return True
            if not self._take_lock():
                return False
            self._thread = threading.Thread(target=self._loop, name="keeper", daemon=True)
            self._thread.start()
            log.info("keeper started")
            return True

    def stop(self) -> None:
        """No further turn begins: the process is about to end."""
        self._stopping.set()

    def _take_lock(self) -> bool:
        if self._held is None:
            file = os.open(self._lock_file(), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return False
            self._held = file
        return True

    def _loop(self) -> None:
        while not self._stopping.is_set():
            started = time.monotonic()
            if self._pending.acquire(blocking=False):
                threading.Thread(target=self._one, name="turn", daemon=True).start()
            self._stopping.wait(max(0.0, started + self._seconds - time.monotonic()))

    def _one(self) -> None:
        try:
            close_old_connections()
            self._turn()
        except DatabaseError as error:  # the health says it too
            log.warning("turn failed", extra={"why": str(error)[:300]})
        except Exception:
            # A turn that fails must not end the turns: the next one derives everything again.
            if not self._stopping.is_set():
                log.exception("turn failed")
        finally:
            close_old_connections()
            self._pending.release()
