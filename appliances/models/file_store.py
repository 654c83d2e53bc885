"""The file store: files that representatives and the portal offer."""

from __future__ import annotations

import uuid

from django.db import models


class FileStoreFile(models.Model):
    """A named file of the file store. The bytes lie in the content-addressed store under `blob_id`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField("Name", max_length=255, unique=True)
    blob_id = models.CharField("Content hash", max_length=64, editable=False, db_index=True)
    size_bytes = models.PositiveBigIntegerField("Size", editable=False)
    content_type = models.CharField("Type", max_length=100, default="application/octet-stream")
    is_public = models.BooleanField("Offered on the public portal", default=False)
    created_at = models.DateTimeField("Added", auto_now_add=True)

    class Meta:
        verbose_name = "File"
        verbose_name_plural = "File store"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
