"""What several models share."""

from __future__ import annotations

import uuid
from typing import Any, Self

from django.db import IntegrityError, models

from appliances import settings_lock


class Singleton(models.Model):
    """A table with exactly one row, number 1."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)

    class Meta:
        abstract = True

    @classmethod
    def load(cls, **initial: Any) -> Self:
        """The row, made with its defaults, `initial` before them, the first time.

        Where settings may not be changed, one that is not there comes as it would be made, unsaved.
        """
        try:
            row, _ = cls._default_manager.get_or_create(pk=1, defaults=initial)
        except IntegrityError as error:
            if not settings_lock.is_refused(error):
                raise
            return cls(pk=1, **initial)
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
