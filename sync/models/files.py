"""What is known of the stored files of this appliance. Never synchronised."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from appliances.choices import FileProblem, RepairState
from appliances.models.base import Singleton


class FileScrub(Singleton):
    """How far the stored files have been read again and compared with their hash. `sync.datasync.scrub` alone writes.

    Files are taken by the first two digits of their hash. `counts` are the files of each of these 256 parts that rows
    refer to, as counted last. `checked` holds for each part `[all read at, files, new ones read at]` in Unix seconds.
    `part` is in progress, up to the file `after`; `is_fresh`: only its new files are read.
    `wanted_at`: what was read before is to be read again.
    """

    checked = models.JSONField(default=dict)
    part = models.CharField(max_length=2, blank=True)
    after = models.CharField(max_length=64, blank=True)
    part_began_at = models.DateTimeField(null=True)
    is_fresh = models.BooleanField(default=False)
    wanted_at = models.DateTimeField(null=True)
    counts = models.JSONField(default=dict)
    counted_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{len(self.checked)} of 256 parts verified"


class DamagedFile(models.Model):
    """A stored file that was found damaged or missing here, and what became of it. `sync.datasync.repair` alone writes.

    At most one row of each file has no end.
    """

    blob_id = models.CharField(max_length=64)
    name = models.CharField("Name", max_length=255, blank=True)
    problem = models.CharField(max_length=10, choices=FileProblem.choices)
    state = models.CharField(max_length=10, choices=RepairState.choices, default=RepairState.WAITING)
    detail = models.CharField(max_length=1000, blank=True)
    found_at = models.DateTimeField("Found", auto_now_add=True)
    tried_at = models.DateTimeField("Tried last", null=True)
    ended_at = models.DateTimeField("Ended", null=True)

    class Meta:
        verbose_name = "Damaged file"
        ordering = ["-found_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["blob_id"], condition=Q(ended_at=None), name="one_open_damage_per_file")
        ]

    def __str__(self) -> str:
        return f"{self.name or self.blob_id[:12]}: {self.get_state_display()}"
