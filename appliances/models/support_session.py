"""Support sessions with their event logs and recordings, and what was deleted of them: append-only, kept in union."""

from __future__ import annotations

from django.db import models

from appliances.choices import SessionEventKind
from appliances.models.base import AppendOnly


class SupportSession(AppendOnly):
    """A support session. It is sealed once it has ended."""

    started_at = models.DateTimeField("Started", db_index=True)
    ended_at = models.DateTimeField("Ended", null=True, blank=True)
    account_id_value = models.PositiveBigIntegerField("Representative's account number", null=True)
    account_name = models.CharField("Representative", max_length=150)
    customer_name = models.CharField("Customer", max_length=150)
    subject = models.CharField("Subject", max_length=300, blank=True)

    class Meta(AppendOnly.Meta):
        verbose_name = "Support session"
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return f"{self.customer_name}, {self.started_at:%Y-%m-%d %H:%M}"


class SessionEvent(AppendOnly):
    """One line of a session's event log."""

    session_id = models.UUIDField("Session", db_index=True)
    at = models.DateTimeField("Time")
    kind = models.CharField("Event", max_length=20, choices=SessionEventKind.choices)
    who = models.CharField("Who", max_length=150, blank=True)
    text = models.TextField("Text", blank=True)

    class Meta(AppendOnly.Meta):
        verbose_name = "Session event"
        ordering = ["at"]

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S} {self.get_kind_display()}"


class Recording(AppendOnly):
    """A sealed recording of a session. The bytes lie in the content-addressed store under `blob_id`."""

    session_id = models.UUIDField("Session", db_index=True)
    name = models.CharField("Name", max_length=255)
    started_at = models.DateTimeField("Started", db_index=True)
    duration = models.DurationField("Duration", null=True)
    blob_id = models.CharField("Content hash", max_length=64, db_index=True)
    size_bytes = models.PositiveBigIntegerField("Size")
    content_type = models.CharField("Type", max_length=100, default="video/webm")
    is_incomplete = models.BooleanField("Incomplete", default=False)

    class Meta(AppendOnly.Meta):
        verbose_name = "Recording"
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return self.name


class Tombstone(AppendOnly):
    """What it names was deleted and never comes back: a session with all that belongs to it, or one recording.

    `dataset` is the label of the model (`appliances.SupportSession` or `appliances.Recording`). It is kept for good.
    """

    dataset = models.CharField(max_length=60)
    row_id = models.UUIDField(db_index=True)
    deleted_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.dataset} {self.row_id}"
