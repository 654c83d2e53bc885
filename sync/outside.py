"""Programs from outside that have a say in who is primary: one that switches the peer off, one that asks a witness.

Each is a list of words, run without a shell and never waited for by a turn. Exit status 0 means yes; everything else,
and a program that takes too long, means no. What they are told stands in `deploy/env.example`.
"""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import threading

from django.conf import settings

from appliances import selectors
from sync import journal

FENCE_SECONDS = 30.0
WITNESS_SECONDS = 10.0
ASK_AGAIN_SECONDS = 30.0
DRIFT = 0.02  # of the clocks of two machines, together

log = logging.getLogger(__name__)


class Errand:
    """One run of a program: `answer` is None while it runs, then whether it said yes."""

    def __init__(self, command: str, seconds: float, environment: dict[str, str]) -> None:
        self.asked = journal.boottime()
        self.answer: bool | None = None
        argv = shlex.split(command)
        self.thread = threading.Thread(
            target=self._run, args=(argv, seconds, environment), name="program from outside", daemon=True
        )
        self.thread.start()

    def _run(self, argv: list[str], seconds: float, environment: dict[str, str]) -> None:
        said, end = "", None
        try:
            done = subprocess.run(
                argv,
                capture_output=True,
                timeout=seconds,
                check=False,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment},
            )
            end, said = done.returncode, done.stderr[-500:].decode(errors="replace")
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            said = str(error)
        log.info("program from outside ended", extra={"program": argv[0], "status": end, "output": said})
        self.answer = end == 0


def ask_witness(term: int, ttl: int) -> Errand | None:
    """Ask the witness to hold the primary role for this appliance, in this term and for so many seconds."""
    return _run(settings.WITNESS_COMMAND, min(WITNESS_SECONDS, ttl), TERM=str(term), TTL=str(ttl))


def fence(term: int) -> Errand | None:
    """Switch the peer off, so that this appliance may be primary in this term."""
    return _run(settings.FENCING_COMMAND, FENCE_SECONDS, TERM=str(term))


def _run(command: str, seconds: float, **environment: str) -> Errand | None:
    """The program at work; None where none is configured."""
    row = selectors.relationship()
    if not command.strip() or row is None:
        return None
    told = {"PAIR_ID": row.pair_id, "NODE": selectors.this_appliance().guid, "PEER_HOST": row.peer_host}
    return Errand(command, seconds, {**told, **environment})


def fence_and_wait(term: int) -> bool | None:
    """Whether the peer is off: for somebody who waits for it. None where no program for that is configured."""
    errand = fence(term)
    if errand is None:
        return None
    errand.thread.join(FENCE_SECONDS + 1)
    return errand.answer is True


class Attempt:
    """One attempt to become primary without the peer: first the witness is asked, then the fence, each of them once.

    A word of the witness that has run out while the fence worked is asked for again.
    """

    def __init__(self, term: int, ttl: int) -> None:
        self.term, self.ttl = term, ttl
        self.witness: Errand | None = None
        self.fence: Errand | None = None
        self._has_asked = False
        self._has_fenced = False

    @property
    def has_witness(self) -> bool | None:
        """What the witness said; None where none is configured, or before its answer."""
        return self.witness.answer if self.witness else None

    @property
    def is_fenced(self) -> bool | None:
        """Whether the peer is off; None where no program for that is configured, or before its end."""
        return self.fence.answer if self.fence else None

    def is_old(self) -> bool:
        """Whether the witness may be asked again."""
        return self.witness is not None and journal.boottime() - self.witness.asked >= ASK_AGAIN_SECONDS

    def hear_witness(self) -> bool:
        """Ask the witness, unless its word still holds; whether there is nothing more to wait for."""
        age = journal.boottime() - self.witness.asked if self.witness and self.witness.answer else 0.0
        if not self._has_asked or age > self.ttl * (1 - DRIFT):
            self.witness, self._has_asked = ask_witness(self.term, self.ttl), True
        return self.witness is None or self.witness.answer is not None

    def is_over(self) -> bool:
        """Ask whoever was not asked yet; whether all that there is to hear was heard."""
        if not self.hear_witness():
            return False
        if self.has_witness is False:
            return True
        if not self._has_fenced:
            self.fence, self._has_fenced = fence(self.term), True
        return self.fence is None or (self.fence.answer is not None and self.hear_witness())


class Lease:
    """The witness's word for a primary that serves, renewed four times in its lifetime."""

    def __init__(self) -> None:
        self.granted = journal.boottime()
        self._errand: Errand | None = None

    def renew_if_due(self, term: int, ttl: int) -> None:
        """Ask for it again when a quarter of its time has passed; this returns at once."""
        if self._errand is not None and self._errand.answer is None:
            return
        if self._errand is not None and self._errand.answer:
            self.granted = max(self.granted, self._errand.asked)
        if self._errand is None or journal.boottime() - self._errand.asked >= ttl / 4:
            self._errand = ask_witness(term, ttl)

    def has_run_out(self, ttl: int) -> bool:
        """Whether the witness may have given the role to the peer, by whichever clock."""
        return journal.boottime() - self.granted > ttl * (1 - DRIFT)
