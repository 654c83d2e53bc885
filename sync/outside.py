"""Programs from outside that have a say in who is primary: one that switches the peer off, one that asks a witness.

Each is a list of words, run without a shell and never waited for by a turn. Exit status 0 means yes; everything else,
and a program that takes too long, means no. What they are told stands in `deploy/env.example`.
"""

from __future__ import annotations

import logging
import math
import os
import select
import shlex
import signal
import subprocess
import threading
import time
from dataclasses import dataclass

from django.conf import settings

from appliances import selectors
from sync import journal
from sync.rules.timing import DRIFT, LOOP_LATENESS, Timing

FENCE_SECONDS = 30.0
WITNESS_SECONDS = 10.0
ASK_AGAIN_SECONDS = 30.0
MAX_OUTPUT = 64 * 1024  # bytes that are kept of what a program says
LISTEN_SECONDS = 0.05
# All that a program finds in its environment beside what it is told: the secrets of this appliance are not for it.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}

log = logging.getLogger(__name__)


class Errand:
    """One run of a program: `answer` is None while it runs, then whether it said yes."""

    def __init__(self, command: str, seconds: float, environment: dict[str, str]) -> None:
        self.asked = journal.boottime()
        self.answer: bool | None = None
        self.thread = threading.Thread(
            target=self._run, args=(command, seconds, environment), name="program from outside", daemon=True
        )
        self.thread.start()

    def _run(self, command: str, seconds: float, environment: dict[str, str]) -> None:
        end, said = None, ""
        try:
            end, said = _result(shlex.split(command), seconds, {**ENVIRONMENT, **environment})
        except (OSError, ValueError) as error:  # no such program, or no command: an unbalanced quote
            said = str(error)
        finally:
            # Its words may be secret, but for the first.
            words = {"program": command.split()[0], "status": end, "output": said[-500:]}
            log.info("program from outside ended", extra=words)
            self.answer = end == 0


def _result(argv: list[str], seconds: float, environment: dict[str, str]) -> tuple[int | None, str]:
    """The exit status of a program, None if it took too long and was ended with its children; and what it said.

    A child that it leaves behind may hold its output open: only the program itself is waited for.
    """
    deadline = time.monotonic() + seconds
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )
    with process.stdout as output:  # type: ignore[union-attr]  # it is a pipe
        said = _listen(process, output.fileno(), deadline)
        try:
            return process.wait(max(0.0, deadline - time.monotonic())), said
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None, f"ended after {seconds:.0f} s; {said}"


def _listen(process: subprocess.Popen[bytes], output: int, deadline: float) -> str:
    """What a program says until it closes its output, ends, or the deadline (CLOCK_MONOTONIC) has come."""
    said, poll = b"", select.poll()
    poll.register(output, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        has_ended = process.poll() is not None  # what it has said by then is in the pipe
        if poll.poll(0 if has_ended else min(left, LISTEN_SECONDS) * 1000):
            chunk = os.read(output, MAX_OUTPUT)
            if not chunk:
                break
            said = (said + chunk)[-MAX_OUTPUT:]
        elif has_ended:
            break
    return said.decode(errors="replace")


def ask_witness(term: int, ttl: int) -> Errand | None:
    """Ask the witness to hold the primary role for this appliance, in this term and for so many seconds."""
    return _run(settings.WITNESS_COMMAND, min(WITNESS_SECONDS, ttl), _told(), term, ttl)


def fence(term: int) -> Errand | None:
    """Switch the peer off, so that this appliance may be primary in this term."""
    return _run(settings.FENCING_COMMAND, FENCE_SECONDS, _told(), term)


def _told() -> dict[str, str]:
    """What each program is told of the pair; empty without a relationship."""
    row = selectors.relationship()
    if row is None:
        return {}
    return {"PAIR_ID": row.pair_id, "NODE": selectors.this_appliance().guid, "PEER_HOST": row.peer_host}


def _run(command: str, seconds: float, told: dict[str, str], term: int, ttl: int | None = None) -> Errand | None:
    """The program at work; None where none is configured, or there is no relationship."""
    if not command.strip() or not told:
        return None
    wanted = {"TERM": str(term)} | ({} if ttl is None else {"TTL": str(ttl)})
    return Errand(command, seconds, {**told, **wanted})


def witness_seconds(times: Timing) -> int:
    """How long the witness is to hold the role for whom it gave it to: it has run out before the backup may act."""
    return math.floor(times.isolation)


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


def attempt_and_wait(term: int, ttl: int) -> Attempt:
    """An attempt that is over: for somebody who waits for it, 50 s at the longest."""
    attempt = Attempt(term, ttl)
    while not attempt.is_over():
        time.sleep(LISTEN_SECONDS)
    return attempt


@dataclass(frozen=True)
class _Wish:
    """What the last turn of a primary wanted of the witness; `at` is CLOCK_BOOTTIME seconds."""

    term: int
    ttl: int
    told: dict[str, str]
    at: float


class Lease:
    """The witness's word for a primary that serves, renewed four times in its lifetime.

    A thread asks, so that slow turns do not make it rarer; without turns for half the lifetime it asks no more, and
    whoever does not live does not hold the role.
    """

    def __init__(self) -> None:
        self.granted = journal.boottime()
        self._wish: _Wish | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def keep(self, term: int, ttl: int) -> None:
        """Go on asking for it, as each turn of a serving primary wants; this returns at once."""
        self._wish = _Wish(term, ttl, _told(), journal.boottime())
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._renew, name="witness", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Ask no more."""
        self._over.set()

    def _renew(self) -> None:
        while not self._over.is_set() and (wish := self._wish) and journal.boottime() - wish.at <= wish.ttl / 2:
            errand = _run(settings.WITNESS_COMMAND, min(WITNESS_SECONDS, wish.ttl), wish.told, wish.term, wish.ttl)
            if errand is None:
                return
            errand.thread.join()
            if errand.answer:
                self.granted = max(self.granted, errand.asked)
            self._over.wait(max(0.0, errand.asked + wish.ttl / 4 - journal.boottime()))

    def ends(self, ttl: int) -> float:
        """When this primary must stop at the latest, in CLOCK_BOOTTIME seconds.

        By then the witness cannot have given the role to the peer, by whichever clock and however late the stop is.
        """
        return self.granted + ttl * (1 - DRIFT) - LOOP_LATENESS
