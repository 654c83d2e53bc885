"""What is told about sessions, events and recordings, as JSON: read into values, or refused with a sentence."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from appliances.choices import SessionEventKind

MAX_EVENTS = 10_000  # in one document
MAX_TEXT_CHARACTERS = 100_000  # of one event; chat messages and notes are far shorter
MAX_DURATION = dt.timedelta(days=30)
EARLIEST = dt.datetime(1990, 1, 1, tzinfo=dt.UTC)
LATEST = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)
DEFAULT_TYPE = "video/webm"
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,48}/[a-z0-9][a-z0-9!#$&^_.+-]{0,48}")


class Unusable(ValueError):
    """What was sent cannot be used; the text says which part and why."""


@dataclass(frozen=True)
class EventGiven:
    """One line of an event log."""

    id: uuid.UUID
    at: dt.datetime
    kind: str
    who: str
    text: str


@dataclass(frozen=True)
class SessionGiven:
    """A support session; `ended_at` None: it goes on."""

    id: uuid.UUID
    started_at: dt.datetime
    ended_at: dt.datetime | None
    representative: str
    customer_name: str
    subject: str
    events: tuple[EventGiven, ...] = ()


@dataclass(frozen=True)
class RecordingGiven:
    """What is told of a recording beside its bytes."""

    session_id: uuid.UUID
    name: str
    started_at: dt.datetime
    duration: dt.timedelta | None
    content_type: str


def session(document: object) -> SessionGiven:
    """A session, with its events so far.

    Raises:
        Unusable
    """
    known = ("id", "started_at", "ended_at", "representative", "customer_name", "subject", "events")
    given = _object(document, "a session", known)
    started_at = _moment(given, "started_at")
    ended_at = moment(given["ended_at"], "ended_at") if given.get("ended_at") is not None else None
    if ended_at is not None and ended_at < started_at:
        raise Unusable("ended_at is before started_at.")
    return SessionGiven(
        id=_id(given),
        started_at=started_at,
        ended_at=ended_at,
        representative=_text(given, "representative", 150),
        customer_name=_text(given, "customer_name", 150),
        subject=_text(given, "subject", 300, ""),
        events=events(given.get("events", [])),
    )


def events(document: object) -> tuple[EventGiven, ...]:
    """Lines of an event log.

    Raises:
        Unusable
    """
    if not isinstance(document, list):
        raise Unusable("Events are sent as a list.")
    if len(document) > MAX_EVENTS:
        raise Unusable(f"At most {MAX_EVENTS} events can be sent at once.")
    found = tuple(_event(item) for item in document)
    if len({event.id for event in found}) != len(found):
        raise Unusable("Two events have one id.")
    return found


def recording(given: Mapping[str, object], default_started_at: dt.datetime) -> RecordingGiven:
    """What is told of a recording: `session`, `name` and, if known, `started_at`, `duration_seconds`, `content_type`.

    Raises:
        Unusable
    """
    content_type = _text(given, "content_type", 99, DEFAULT_TYPE).lower()
    if not _MEDIA_TYPE.fullmatch(content_type):
        raise Unusable("content_type is not a media type such as video/webm.")
    return RecordingGiven(
        session_id=identifier(given.get("session"), "session"),
        name=_text(given, "name", 255),
        started_at=moment(given["started_at"], "started_at") if given.get("started_at") else default_started_at,
        duration=_duration(given.get("duration_seconds")),
        content_type=content_type,
    )


def identifier(value: object, name: str) -> uuid.UUID:
    """A UUID in its usual form.

    Raises:
        Unusable
    """
    try:
        return uuid.UUID(value if isinstance(value, str) else "")
    except ValueError as error:
        raise Unusable(f"{name} must be a UUID such as 6f2c1d9e-5a0b-4c3d-8e7f-0123456789ab.") from error


def moment(value: object, name: str) -> dt.datetime:
    """A moment in ISO 8601 with its offset from UTC.

    Raises:
        Unusable
    """
    try:
        found = dt.datetime.fromisoformat(value if isinstance(value, str) else "")
        if found.tzinfo is not None and EARLIEST <= found <= LATEST:
            return found.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        pass
    raise Unusable(f"{name} must be a moment with its offset from UTC, such as 2026-11-22T14:03:00+00:00.")


def plain(value: object, name: str, longest: int, *, is_line: bool = True) -> str:
    """A text that every database can hold and every page can show.

    Raises:
        Unusable
    """
    if not isinstance(value, str):
        raise Unusable(f"{name} must be a text.")
    if len(value) > longest:
        raise Unusable(f"{name} is longer than {longest} characters.")
    for character in value:
        category = unicodedata.category(character)
        if category == "Cs" or (category == "Cc" and (is_line or character not in "\t\n\r")):
            raise Unusable(f"{name} contains a control character.")
    return value


def _object(document: object, what: str, known: tuple[str, ...]) -> Mapping[str, object]:
    if not isinstance(document, dict):
        raise Unusable(f"{what[0].upper()}{what[1:]} is sent as a JSON object.")
    for name in document:
        if name not in known:
            raise Unusable(f"{str(name)[:60]!r} is no part of {what}: {', '.join(known)}.")
    return document


def _event(document: object) -> EventGiven:
    given = _object(document, "an event", ("id", "at", "kind", "who", "text"))
    kind = given.get("kind")
    if kind not in SessionEventKind.values:
        raise Unusable(f"The kind of an event is one of: {', '.join(SessionEventKind.values)}.")
    return EventGiven(
        id=_id(given),
        at=_moment(given, "at"),
        kind=str(kind),
        who=_text(given, "who", 150, ""),
        text=plain(given.get("text", ""), "text", MAX_TEXT_CHARACTERS, is_line=False),
    )


def _id(given: Mapping[str, object]) -> uuid.UUID:
    return identifier(given["id"], "id") if given.get("id") is not None else uuid.uuid4()


def _moment(given: Mapping[str, object], name: str) -> dt.datetime:
    if name not in given:
        raise Unusable(f"{name} is missing.")
    return moment(given[name], name)


def _text(given: Mapping[str, object], name: str, longest: int, otherwise: str | None = None) -> str:
    value = given.get(name, otherwise)
    if value is None or (value == "" and otherwise is None):
        raise Unusable(f"{name} is missing.")
    return plain(value, name, longest) if value else str(otherwise)


def _duration(value: object) -> dt.timedelta | None:
    if value is None or value == "":
        return None
    try:
        seconds = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        seconds = -1.0
    if not 0 <= seconds <= MAX_DURATION.total_seconds():
        raise Unusable(f"duration_seconds must be a number from 0 to {MAX_DURATION.total_seconds():.0f}.")
    return dt.timedelta(seconds=seconds)
