"""`manage.py demo_content`: fill this appliance with content like that of a real support site."""

from __future__ import annotations

import argparse
import datetime as dt
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import IntegrityError
from django.utils import timezone

from appliances import blobs, gate
from appliances.demo.fill import fill, has_demo_content, has_exactly
from appliances.management.base import ApplianceCommand

MAX_SCALE = 1000


class Command(ApplianceCommand):
    """Adds the demo content once; a second run changes nothing."""

    help = "Fill this appliance with demo content: the same at every run with the same --until and --scale."

    def add_arguments(self, parser: CommandParser) -> None:
        """`--scale` and `--until`."""
        parser.add_argument("--scale", type=_scale, default=1, help="How many times as much (1 to 1000).")
        parser.add_argument(
            "--until", type=_day, default=None, help="The day before which it all happened, YYYY-MM-DD (today)."
        )

    def handle(self, *args: Any, scale: int, until: dt.datetime | None, **options: Any) -> None:
        """Fill, unless the content is here already or this appliance takes no changes."""
        end = until or timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
        if has_exactly(end, scale) or (until is None and has_demo_content()):
            self.stdout.write("Demo content is here already; nothing was changed.")
            return
        if has_demo_content():
            raise CommandError("Demo content of other dates or another size is here already; nothing was changed.")
        here = gate.read()
        if not here.is_writable:
            raise CommandError(f"{here.sentence} Demo content goes to the primary; nothing was changed.")
        try:
            filled = fill(end, scale)
        except blobs.StoreFull as error:
            raise CommandError(str(error)) from error
        except IntegrityError as error:
            raise CommandError("A file or account of the same name is here already; nothing was changed.") from error
        self.stdout.write(
            f"Added {filled.accounts} accounts, {filled.files} files, {filled.sessions} sessions with "
            f"{filled.events} events and {filled.recordings} recordings: {filled.size_bytes / 1e6:.0f} MB. "
            "The accounts have no password until an administrator sets one."
        )


def _scale(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_SCALE:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {MAX_SCALE}")
    return int(text)


def _day(text: str) -> dt.datetime:
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.UTC)
    except ValueError as error:
        raise argparse.ArgumentTypeError("must be a day as YYYY-MM-DD") from error
