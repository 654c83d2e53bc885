"""Which sessions and recordings are past their time, by the settings or by others that are being considered."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

from django.db.models import QuerySet, Sum
from django.template.defaultfilters import filesizeformat, pluralize

from appliances.models import Recording, RetentionSettings, SessionEvent, SupportSession

GIGABYTE = 10**9


@dataclass(frozen=True)
class PastTime:
    """What would be deleted."""

    sessions: int
    events: int
    recordings: int
    size_bytes: int

    def __bool__(self) -> bool:
        return bool(self.sessions or self.recordings)

    def __sub__(self, left: PastTime) -> PastTime:
        return PastTime(
            self.sessions - left.sessions,
            self.events - left.events,
            self.recordings - left.recordings,
            self.size_bytes - left.size_bytes,
        )

    def __str__(self) -> str:
        parts = []
        if self.sessions:
            lines = f"{self.events} line{pluralize(self.events)} of event log"
            parts.append(f"{self.sessions} session{pluralize(self.sessions)} with {lines}")
        if self.recordings:
            size = filesizeformat(self.size_bytes).replace("\xa0", " ")
            parts.append(f"{self.recordings} recording{pluralize(self.recordings)} ({size})")
        return " and ".join(parts) or "nothing"


def sessions(rule: RetentionSettings, now: dt.datetime) -> QuerySet[SupportSession]:
    """The sessions that are past their time, oldest first."""
    if rule.keep_sessions_days is None:
        return SupportSession.objects.none()
    oldest_kept = now - dt.timedelta(days=rule.keep_sessions_days)
    return SupportSession.objects.filter(ended_at__lt=oldest_kept).order_by("ended_at")


def recordings(rule: RetentionSettings, now: dt.datetime) -> list[uuid.UUID]:
    """The recordings that are past their time by age, or beyond the total; beside those of `sessions`.

    Those that began later than `now` neither go nor count.
    """
    staying = Recording.objects.filter(started_at__lte=now)
    staying = staying.exclude(session_id__in=sessions(rule, now).values("pk"))
    past: list[uuid.UUID] = []
    if rule.keep_recordings_days is not None:
        old = staying.filter(started_at__lt=now - dt.timedelta(days=rule.keep_recordings_days))
        past = list(old.values_list("pk", flat=True))
        staying = staying.exclude(pk__in=old.values("pk"))
    if rule.max_recordings_gigabytes is not None:
        total = 0
        for key, size in staying.order_by("-started_at", "pk").values_list("pk", "size_bytes").iterator():
            total += size
            if total > rule.max_recordings_gigabytes * GIGABYTE:
                past.append(key)
    return past


def everything() -> PastTime:
    """How much there is."""
    size = Recording.objects.aggregate(total=Sum("size_bytes"))["total"] or 0
    return PastTime(SupportSession.objects.count(), SessionEvent.objects.count(), Recording.objects.count(), size)


def past_time(rule: RetentionSettings, now: dt.datetime) -> PastTime:
    """How much is past its time."""
    gone = sessions(rule, now)
    with_them = Recording.objects.filter(session_id__in=gone.values("pk"))
    alone = recordings(rule, now)
    sizes = dict(Recording.objects.values_list("pk", "size_bytes")) if alone else {}
    return PastTime(
        sessions=gone.count(),
        events=SessionEvent.objects.filter(session_id__in=gone.values("pk")).count(),
        recordings=with_them.count() + len(alone),
        size_bytes=(with_them.aggregate(total=Sum("size_bytes"))["total"] or 0) + sum(sizes[key] for key in alone),
    )
