"""What is remembered of what is held, so that two appliances compare numbers instead of rows."""

from __future__ import annotations

from django.db import models


class SealedMark(models.Model):
    """How far this appliance holds the append-only rows of one origin and incarnation in one dataset.

    `seq` is the highest number held, `rows` their count, `digest` the sum of their hashes (64 hex digits).
    `sync.datasync.marks` alone writes it, in the transaction that seals or inserts the rows.
    """

    dataset = models.CharField(max_length=60)
    origin = models.CharField(max_length=32)
    incarnation = models.PositiveIntegerField()
    seq = models.PositiveBigIntegerField(default=0)
    rows = models.PositiveBigIntegerField(default=0)
    digest = models.CharField(max_length=64, default="0" * 64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["dataset", "origin", "incarnation"], name="one_sealed_mark")]

    def __str__(self) -> str:
        return f"{self.dataset} {self.origin} {self.incarnation}: {self.seq}"


class SealedDay(models.Model):
    """What a mark counts, day by day: where two marks reach equally far and differ, the days tell where.

    `day` counts from 1970 (UTC), by the moment of the row itself; `rows` and `digest` are as in `SealedMark`.
    """

    dataset = models.CharField(max_length=60)
    origin = models.CharField(max_length=32)
    incarnation = models.PositiveIntegerField()
    day = models.IntegerField()
    rows = models.PositiveBigIntegerField(default=0)
    digest = models.CharField(max_length=64, default="0" * 64)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["dataset", "origin", "incarnation", "day"], name="one_sealed_day")
        ]

    def __str__(self) -> str:
        return f"{self.dataset} {self.origin} {self.incarnation}: day {self.day}"


class SettingsDigest(models.Model):
    """What a settings table holds, remembered: triggers remove the row when the table changes.

    `rows` and `digest` are as in a manifest; `key_id` names the key that the secrets among them were digested with.
    """

    dataset = models.CharField(max_length=60, primary_key=True)
    key_id = models.CharField(max_length=16)
    rows = models.PositiveBigIntegerField()
    digest = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"{self.dataset}: {self.rows}"
