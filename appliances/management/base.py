"""What the commands for an appliance share: they need one that is there."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection

from appliances.models import Appliance

NO_APPLIANCE = 2
LOUD = 2  # verbosity


class ApplianceCommand(BaseCommand):
    """Runs on an appliance that has been started at least once; anywhere else it says so, exit code 2."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run it, if there is an appliance.

        Raises:
            CommandError: there is none; nothing was created.
        """
        try:
            is_there = has_appliance()
        except OperationalError as error:
            raise CommandError(
                f"DATABASE_URL: the database does not answer: {error}", returncode=NO_APPLIANCE
            ) from error
        if not is_there:
            raise CommandError(
                f"There is no appliance in {settings.DATA_DIR}; set DATA_DIR (and DATABASE_URL, if it was started "
                "with one).",
                returncode=NO_APPLIANCE,
            )
        with quiet_terminal(options.get("verbosity", 1)):
            return super().execute(*args, **options)


@contextmanager
def quiet_terminal(verbosity: int) -> Iterator[None]:
    """Whoever sits at a terminal reads what the command says, and errors; the log as well from `--verbosity 2` on."""
    handlers = logging.getLogger().handlers if sys.stderr.isatty() and verbosity < LOUD else []
    levels = [(handler, handler.level) for handler in handlers]
    for handler in handlers:
        handler.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for handler, level in levels:
            handler.setLevel(level)


def has_appliance() -> bool:
    """Whether the database of an appliance is there. SQLite would create a file by looking into it."""
    name = str(settings.DATABASES["default"]["NAME"])
    is_file = connection.vendor == "sqlite" and not connection.is_in_memory_db()  # type: ignore[attr-defined]
    if is_file and not Path(name).exists():
        return False
    return Appliance._meta.db_table in connection.introspection.table_names()
