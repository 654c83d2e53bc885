"""The app `sync`: keeps the triggers of the settings head in step with the tables."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate

from appliances.host import memory


class SyncConfig(AppConfig):
    """What happens between the two appliances."""

    name = "sync"

    def ready(self) -> None:
        """Take the triggers away before tables are rebuilt, and make them again afterwards; copy files fast."""
        memory.reuse_blocks()
        pre_migrate.connect(_before_migrate, sender=self)
        post_migrate.connect(_after_migrate, sender=self)


def _before_migrate(using: str, **_: Any) -> None:
    from sync.datasync import triggers

    triggers.remove(connections[using])


def _after_migrate(using: str, **_: Any) -> None:
    from sync.datasync import triggers

    triggers.install(connections[using])
