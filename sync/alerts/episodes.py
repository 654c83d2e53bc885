"""Episodes: what is seen and what was told become what is told now.

An episode stands in the database and survives a restart; for how long something has been seen or gone is remembered by
the process that looks (`Watch`), so that what was seen before a restart does not count as seen since.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import IntegrityError, transaction
from django.utils import timezone

from appliances import mail
from appliances.choices import EstablishStep
from sync import journal, overview
from sync.alerts import outbox, series, sight
from sync.alerts.conditions import CONDITIONS, PRODUCT_MISMATCH, Condition
from sync.alerts.sight import Sight
from sync.errors import EstablishRefused
from sync.models import AlertEpisode
from sync.overview import Overview
from sync.rules.due import Turn, alert_turn

HOUR = dt.timedelta(hours=1)


class Watch:
    """For how long each condition has been seen or gone: of one process, which looks each second.

    `clock` gives seconds of CLOCK_BOOTTIME.
    """

    def __init__(self, clock: Callable[[], float] = journal.boottime) -> None:
        self._clock = clock
        self._looking = threading.Lock()
        self._since: dict[str, tuple[object, float]] = {}

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether nobody else looks at this moment: a look that is slow is not doubled."""
        is_alone = self._looking.acquire(blocking=False)
        try:
            yield is_alone
        finally:
            if is_alone:
                self._looking.release()

    def seconds(self, name: str, value: object) -> float:
        """For how many seconds this has had this value; 0 for None."""
        now = self._clock()
        since = self._since.get(name)
        if since is None or since[0] != value:
            since = self._since[name] = (value, now)
        return 0.0 if value is None else now - since[1]


def examine(watch: Watch) -> None:
    """Look at the pair, begin and end what has to, and write the mails into the outbox. Safe to call each second."""
    with watch.alone() as is_alone:
        if not is_alone:
            return
        seen = sight.look()
        if seen is None:
            _forget()
        elif not seen.known.is_held:  # a planned swap in progress explains whatever is seen
            _examine(watch, seen)


def establish_refused(refusal: EstablishRefused) -> None:
    """A relationship was refused; that is told if the products differ."""
    if refusal.step == EstablishStep.VERSION:
        _begin(PRODUCT_MISMATCH, refusal.message, overview.now())


def _examine(watch: Watch, seen: Sight) -> None:
    applicable = [known for known in CONDITIONS if seen.role in known.roles and known.applies(seen)]
    found = {condition.code: condition.look(seen) for condition in applicable}
    still_open = _open_episodes()
    for condition in applicable:
        code, sentence = condition.code, found[condition.code]
        is_seen = None if sentence is None else bool(sentence)
        turn = alert_turn(
            condition.hold,
            is_open=code in still_open,
            is_seen=is_seen,
            seconds=watch.seconds(code, is_seen),
            begun_this_hour=_begun_this_hour(code) if code in still_open and is_seen is False else 0,
        )
        if turn == Turn.BEGINS and sentence:
            _take_the_place(condition, still_open)
            _begin(code, sentence, seen.known, **series.words(seen))
        elif turn == Turn.ENDS and not _is_being_replaced(code, applicable, found):
            _end(still_open[code], "ended", seen.known)
        elif turn is None and code in still_open and is_seen:
            _tell_at_last(still_open[code], seen)
            _go_on(watch, still_open[code], seen)
    for code, episode in _open_episodes().items():
        if code not in found and not _is_being_replaced(code, applicable, found):
            _end(episode, "lapsed", seen.known)


def _open_episodes() -> dict[str, AlertEpisode]:
    return {episode.code: episode for episode in AlertEpisode.objects.filter(closed_at=None)}


def _begun_this_hour(code: str) -> int:
    return AlertEpisode.objects.filter(code=code, opened_at__gte=timezone.now() - HOUR).count()


def _is_being_replaced(code: str, applicable: list[Condition], found: dict[str, str | None]) -> bool:
    """Whether something is seen that is about to take its place, or has."""
    return any(code in condition.replaces and found[condition.code] for condition in applicable)


def _take_the_place(condition: Condition, still_open: dict[str, AlertEpisode]) -> None:
    for code in condition.replaces & still_open.keys():
        AlertEpisode.objects.filter(pk=still_open.pop(code).pk, closed_at=None).update(closed_at=timezone.now())


def _begin(code: str, detail: str, known: Overview, **words: object) -> None:
    """The episode is open and its first mail waits; nothing if it was open before."""
    if AlertEpisode.objects.filter(code=code, closed_at=None).exists():
        return
    try:
        with transaction.atomic():
            episode = AlertEpisode.objects.create(code=code, detail=detail[:1000], told=series.told_at_once(words))
            outbox.put(episode, "begun", known, **words)
    except IntegrityError:  # somebody else has just begun it
        return


def _tell_at_last(episode: AlertEpisode, seen: Sight) -> None:
    """An episode that began while mail was not configured is told as soon as it is."""
    if not episode.mails.exists() and mail.is_configured():
        outbox.put(episode, "begun", seen.known, **series.words(seen))


def _end(episode: AlertEpisode, kind: str, known: Overview) -> None:
    """The episode is closed and its last mail waits; nobody is told of the end of what was never told."""
    with transaction.atomic():
        episode.closed_at = timezone.now()
        if AlertEpisode.objects.filter(pk=episode.pk, closed_at=None).update(closed_at=episode.closed_at):
            if not episode.mails.exclude(sent_at=None, next_try_at=None).exists():
                return
            outbox.put(episode, kind, known, lasted=overview.ago(episode.closed_at - episode.opened_at))


def _go_on(watch: Watch, episode: AlertEpisode, seen: Sight) -> None:
    """Tell what comes in the middle of an episode, each thing once."""
    due = series.next_of(episode, seen)
    steady = watch.seconds(f"{episode.code}, series", due.key if due else None)
    if due is None or steady < due.hold:
        return
    with transaction.atomic():
        held = AlertEpisode.objects.select_for_update().get(pk=episode.pk)
        if due.key not in held.told and held.closed_at is None:
            held.told = [*held.told, due.key]
            held.save(update_fields=["told"])
            outbox.put(held, due.kind, seen.known, **series.words(seen))


def _forget() -> None:
    """Nothing is told of a relationship that was left; who left it knows. A refused one may be tried again."""
    AlertEpisode.objects.filter(closed_at=None).exclude(code=PRODUCT_MISMATCH).update(closed_at=timezone.now())
