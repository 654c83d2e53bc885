"""What several models share."""

from __future__ import annotations

import uuid
from typing import Self

from django.db import models


class Singleton(models.Model):
    """A table with exactly one row, number 1."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)

    class Meta:
        abstract = True

    @classmethod
    def load(cls) -> Self:
        """The row, made with its defaults the first time."""
        row, _ = cls._default_manager.get_or_create(pk=1)
        return row


class AppendOnly(models.Model):
    """A row that is never changed once it is sealed, known by a UUID made at its creation.

    Sealing gives it `(origin, incarnation, seq)`; only sealed rows are synchronised.
    Rows refer to settings by value, never by foreign key: deleting an account must not delete history.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    origin = models.CharField("Written on appliance", max_length=32, blank=True, editable=False)
    incarnation = models.PositiveIntegerField(default=0, editable=False)
    seq = models.PositiveBigIntegerField(null=True, editable=False)

    class Meta:
        abstract = True
        indexes = [models.Index(fields=["origin", "incarnation", "seq"], name="%(class)s_mark")]
