"""`role_diagram`: the transition table of the role protocol, drawn and written out from the table itself."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync.rules import diagram

README = settings.BASE_DIR / "sync/README.md"
BEGIN, END = "<!-- role_diagram -->\n", "<!-- end of role_diagram -->\n"


class Command(BaseCommand):
    help = "Print the role diagram and the transition table. Exit code 1 with --check, if sync/README.md has another."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--check", action="store_true", help="only compare it with sync/README.md")
        what.add_argument("--write", action="store_true", help="put it into sync/README.md")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print, compare or write."""
        if not options["check"] and not options["write"]:
            self.stdout.write(diagram.text())
            return
        before, _, rest = README.read_text().partition(BEGIN)
        held, end, after = rest.partition(END)
        if not end:
            raise CommandError(f"{README} has no place for it: the marks {BEGIN.strip()} and {END.strip()}.")
        if options["write"]:
            README.write_text(before + BEGIN + diagram.text() + END + after)
        elif held != diagram.text():
            raise CommandError(f"{README} has another table: run manage.py role_diagram --write.")
