"""Demo support sessions with their event logs and recordings."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from dataclasses import dataclass, field

from appliances import blobs
from appliances.choices import SessionEventKind
from appliances.demo import words
from appliances.demo.formats import make_recording
from appliances.models import Account, Recording, SessionEvent, SupportSession

DAYS = 60
SESSIONS = 150
RECORDINGS = 25


@dataclass
class Log:
    """Rows that are not saved yet."""

    sessions: list[SupportSession] = field(default_factory=list)
    events: list[SessionEvent] = field(default_factory=list)
    recordings: list[Recording] = field(default_factory=list)


def session_id(until: dt.datetime, number: int) -> uuid.UUID:
    """The id of the demo session of this number in the content that ends at `until`."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"https://support.example.com/demo/{until:%Y-%m-%d}/session/{number}")


def make_log(until: dt.datetime, scale: int, accounts: list[Account], batch: blobs.Batch, chance: random.Random) -> Log:
    """Sessions over sixty days up to `until`; the recordings' bytes go into the batch.

    The accounts need not be saved yet: `number_accounts` tells the sessions their numbers.
    """
    log = Log()
    total = SESSIONS * scale
    recorded = set(chance.sample(range(total), RECORDINGS * scale))
    for number in range(total):
        session = _session(until, number, chance.choice(accounts), chance)
        log.sessions.append(session)
        log.events.extend(_events(session, chance))
        if number in recorded:
            log.recordings.append(_recording(session, batch, chance))
    return log


def number_accounts(log: Log, accounts: list[Account]) -> None:
    """The sessions know the numbers of their accounts, which are saved now; each has a name of its own."""
    numbers = {account.display_name: account.pk for account in accounts}
    for session in log.sessions:
        session.account_id_value = numbers[session.account_name]


def _session(until: dt.datetime, number: int, account: Account, chance: random.Random) -> SupportSession:
    day = until - dt.timedelta(days=chance.randint(1, DAYS))
    started = day + dt.timedelta(hours=chance.randint(6, 18), seconds=chance.randrange(3600))
    return SupportSession(
        id=session_id(until, number),
        started_at=started,
        ended_at=started + dt.timedelta(seconds=chance.randint(300, 4200)),
        account_name=account.display_name,
        customer_name=chance.choice(words.CUSTOMERS),
        subject=chance.choice(words.SUBJECTS),
    )


def _events(session: SupportSession, chance: random.Random) -> list[SessionEvent]:
    assert session.ended_at is not None  # a demo session has ended
    length = (session.ended_at - session.started_at).total_seconds()
    moments = sorted(chance.uniform(5, length - 5) for _ in range(chance.randint(8, 40)))
    told = [(0.0, SessionEventKind.STARTED, session.account_name, session.subject)]
    told += [(moment, *_event(session, chance)) for moment in moments]
    told.append((length, SessionEventKind.ENDED, session.account_name, "Solved" if chance.random() < 0.85 else "Open"))
    return [
        SessionEvent(
            id=uuid.uuid5(session.id, f"event/{number}"),
            session_id=session.id,
            at=session.started_at + dt.timedelta(milliseconds=int(moment * 1000)),
            kind=kind,
            who=who,
            text=text,
        )
        for number, (moment, kind, who, text) in enumerate(told)
    ]


def _event(session: SupportSession, chance: random.Random) -> tuple[SessionEventKind, str, str]:
    dice = chance.random()
    if dice < 0.35:
        return SessionEventKind.CHAT, session.customer_name, chance.choice(words.CUSTOMER_LINES)
    if dice < 0.7:
        return SessionEventKind.CHAT, session.account_name, chance.choice(words.REPRESENTATIVE_LINES)
    if dice < 0.85:
        return SessionEventKind.COMMAND, session.account_name, chance.choice(words.COMMANDS)
    if dice < 0.95:
        size = chance.randint(2, 4000)
        return SessionEventKind.FILE_TRANSFER, session.account_name, f"{chance.choice(words.TRANSFERS)}, {size} KiB"
    return SessionEventKind.NOTE, session.account_name, "The customer agreed to the change."


def _recording(session: SupportSession, batch: blobs.Batch, chance: random.Random) -> Recording:
    seconds = chance.randint(60, 420)
    stored = batch.store(make_recording(seconds, chance))
    return Recording(
        id=uuid.uuid5(session.id, "recording/1"),
        session_id=session.id,
        name=f"{session.started_at:%Y-%m-%d %H-%M-%S} {session.account_name}.wav",
        started_at=session.started_at,
        duration=dt.timedelta(seconds=seconds),
        blob_id=stored.blob_id,
        size_bytes=stored.size_bytes,
        content_type="audio/wav",
    )
