"""Sessions and their event logs are kept; what is sent again after a cut is not kept twice."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from django.db import IntegrityError, transaction
from django.db.models import Max

from appliances.incoming.documents import EventGiven, SessionGiven
from appliances.models import Account, Recording, SessionEvent, SupportSession, Tombstone, Upload

Kept = TypeVar("Kept")

WRITE_ROWS = 500  # rows handed to the database in one call


class AlreadyThere(Exception):
    """The id is here with another content, or can no longer be changed; the text says which."""


class NoSuchSession(Exception):
    """There is no such session on this appliance."""


def bring_in(given: SessionGiven) -> bool:
    """The session and its events are kept; False if all of it was here already.

    Raises:
        AlreadyThere: nothing was changed.
    """
    return _at_most_twice(partial(_bring_in, given))


def _at_most_twice(keep: Callable[[], Kept]) -> Kept:
    """Where an equal request has just kept the same rows, they are found at the second attempt."""
    try:
        return keep()
    except IntegrityError:
        return keep()


def _bring_in(given: SessionGiven) -> bool:
    with transaction.atomic():
        if Tombstone.objects.filter(row_id=given.id).exists():
            raise AlreadyThere(f"The session {given.id} was deleted by the retention, and does not come back.")
        new = _row(given)
        here = SupportSession.objects.filter(pk=given.id).first()
        if here is None:
            new.save(force_insert=True)
        elif _facts(here) != _facts(new):
            raise AlreadyThere(f"Another session has the id {given.id}. Nothing was changed.")
        return bool(_add_events(given.id, given.events)) or here is None


def add_events(session_id: uuid.UUID, events: Sequence[EventGiven]) -> int:
    """The events are kept; how many were new.

    Raises:
        NoSuchSession, AlreadyThere: nothing was changed.
    """
    return _at_most_twice(partial(_add_events, session_id, events))


def _add_events(session_id: uuid.UUID, events: Sequence[EventGiven]) -> int:
    added = 0
    with transaction.atomic():
        # Held until the events are there: whoever deletes the session waits, and deletes them with it.
        if SupportSession.objects.select_for_update().filter(pk=session_id).first() is None:
            raise NoSuchSession(f"There is no session {session_id} on this appliance. Send it first.")
        for start in range(0, len(events), WRITE_ROWS):
            part = [_event(session_id, event) for event in events[start : start + WRITE_ROWS]]
            here = SessionEvent.objects.in_bulk([row.pk for row in part])
            for row in part:
                if row.pk in here and _line(here[row.pk]) != _line(row):
                    raise AlreadyThere(f"Another event has the id {row.pk}. Nothing was changed.")
            new = [row for row in part if row.pk not in here]
            SessionEvent.objects.bulk_create(new)
            added += len(new)
    return added


def end(session_id: uuid.UUID, ended_at: dt.datetime) -> None:
    """The session has ended at this moment; from now on it is never changed.

    Raises:
        NoSuchSession, AlreadyThere: nothing was changed.
    """
    changed = SupportSession.objects.filter(pk=session_id, ended_at=None, started_at__lte=ended_at)
    if changed.update(ended_at=ended_at):
        return
    here = SupportSession.objects.filter(pk=session_id).first()
    if here is None:
        raise NoSuchSession(f"There is no session {session_id} on this appliance.")
    if here.ended_at is None:
        raise AlreadyThere("ended_at is before the session started.")
    if here.ended_at != ended_at:
        raise AlreadyThere(f"The session has ended at {here.ended_at.isoformat()} already, and is kept as it is.")


def end_forgotten(silent_since: dt.datetime) -> int:
    """Sessions of which nothing was heard since that moment have ended with the last that was; how many.

    Without that, a session whose end nobody could report would never be synchronised.
    """
    ended = 0
    for session in SupportSession.objects.filter(ended_at=None, started_at__lt=silent_since):
        if Upload.objects.filter(session_id=session.pk).exists():
            continue
        last = SessionEvent.objects.filter(session_id=session.pk).aggregate(last=Max("at"))["last"]
        recorded = Recording.objects.filter(session_id=session.pk).aggregate(last=Max("started_at"))["last"]
        ended_at = max(moment for moment in (session.started_at, last, recorded) if moment is not None)
        if ended_at < silent_since:
            ended += SupportSession.objects.filter(pk=session.pk, ended_at=None).update(ended_at=ended_at)
    return ended


def may_be_assumed(session_id: uuid.UUID, ended_at: dt.datetime) -> bool:
    """Whether this may be an end of `end_forgotten`, which nobody told: the moment of something that was heard."""
    return (
        SupportSession.objects.filter(pk=session_id, started_at=ended_at).exists()
        or SessionEvent.objects.filter(session_id=session_id, at=ended_at).exists()
        or Recording.objects.filter(session_id=session_id, started_at=ended_at).exists()
    )


def _row(given: SessionGiven) -> SupportSession:
    account = Account.objects.filter(username=given.representative).first()
    return SupportSession(
        id=given.id,
        started_at=given.started_at,
        ended_at=given.ended_at,
        account_id_value=account.pk if account else None,
        account_name=str(account) if account else given.representative,
        customer_name=given.customer_name,
        subject=given.subject,
    )


def _event(session_id: uuid.UUID, given: EventGiven) -> SessionEvent:
    return SessionEvent(
        id=given.id, session_id=session_id, at=given.at, kind=given.kind, who=given.who, text=given.text
    )


def _facts(row: SupportSession) -> tuple[object, ...]:
    return row.started_at, row.ended_at, row.account_name, row.customer_name, row.subject


def _line(row: SessionEvent) -> tuple[object, ...]:
    return row.session_id, row.at, row.kind, row.who, row.text
