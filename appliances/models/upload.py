"""Recordings that are still arriving."""

from __future__ import annotations

from django.db import models


class Upload(models.Model):
    """A recording of which some bytes have arrived at this appliance; its number is that of the recording to be.

    How many have arrived is the size of its file in staging. `length` is how many there will be, None while that is
    not known. `blob_id` is set just before the file moves into the store. `appliances.incoming.uploads` alone writes.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    session_id = models.UUIDField()
    name = models.CharField(max_length=255)
    started_at = models.DateTimeField()
    duration = models.DurationField(null=True)
    content_type = models.CharField(max_length=100)
    length = models.PositiveBigIntegerField(null=True)
    account_name = models.CharField(max_length=150)
    begun_at = models.DateTimeField(auto_now_add=True)
    blob_id = models.CharField(max_length=64, blank=True)

    def __str__(self) -> str:
        return self.name
