"""This appliance."""

from __future__ import annotations

import uuid

from django.db import models

from appliances.models.base import Singleton


def new_guid() -> str:
    """A new appliance id: 32 lower-case hex digits."""
    return uuid.uuid4().hex


class Appliance(Singleton):
    """This appliance: who it is. The peer is described by `FailoverRelationship`."""

    guid = models.CharField("Appliance id", max_length=32, default=new_guid, editable=False)
    host_name = models.CharField("Host name", max_length=253)
    incarnation = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = verbose_name_plural = "Appliance"

    def __str__(self) -> str:
        return self.host_name
