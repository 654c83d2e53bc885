"""Folders of the administrator's own that the pair keeps on both appliances."""

from __future__ import annotations

from django.db import models

from appliances.choices import FolderMode


class Folder(models.Model):
    """A folder with its rules. Synchronised; where it lies is said on each appliance by itself (`FolderPlace`)."""

    name = models.CharField(
        "Name", max_length=100, unique=True, help_text="What both appliances call it, such as “Web content”."
    )
    mode = models.CharField("Mode", max_length=10, choices=FolderMode.choices, default=FolderMode.MIRROR)
    include = models.TextField(
        "Include",
        blank=True,
        help_text="One pattern a line, such as *.pdf or reports/**. Empty: everything.",
    )
    exclude = models.TextField(
        "Exclude",
        blank=True,
        help_text="One pattern a line, such as *.tmp or cache/. What is excluded is neither copied nor deleted.",
    )
    enabled = models.BooleanField("Copied by each data-sync", default=True)

    class Meta:
        verbose_name = "Folder"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class FolderPlace(models.Model):
    """Where a folder lies on this appliance, and how its latest data-sync ended. Never synchronised.

    `outcome` is what `sync.peer.sync_messages.FolderOutcome` says; `agreed`: the fingerprint of the deletions that an
    administrator has agreed to.
    """

    name = models.CharField("Folder", max_length=100, unique=True)
    path = models.CharField("Path", max_length=1000, blank=True)
    outcome = models.JSONField(default=dict)
    outcome_at = models.DateTimeField("Latest data-sync", null=True)
    agreed = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = "Place of a folder"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
