"""Certificates of this appliance's web server."""

from __future__ import annotations

import uuid

from django.db import models


class Certificate(models.Model):
    """A certificate with its chain (PEM) and its private key, sealed with the appliance's data key.

    Never synchronised. `appliances.certificates` reads and makes them.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    friendly_name = models.CharField("Friendly name", max_length=200)
    pem = models.TextField("Certificate and chain")
    sealed_key = models.BinaryField(editable=False)
    is_default = models.BooleanField("Presented on every address without one of its own", default=False)
    created_at = models.DateTimeField("Added", auto_now_add=True)

    class Meta:
        verbose_name = "Certificate"

    def __str__(self) -> str:
        return self.friendly_name

    @property
    def key_label(self) -> str:
        """What the sealed private key is bound to."""
        return f"certificate|{self.pk}|key"
