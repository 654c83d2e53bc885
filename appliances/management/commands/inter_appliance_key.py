"""`manage.py inter_appliance_key`: generate the key on one appliance, enter it on the other."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from appliances import key_words, selectors
from appliances.management.base import ApplianceCommand
from appliances.services import keys


class Command(ApplianceCommand):
    help = "Generate or set the inter-appliance key, or show its fingerprint."

    def add_arguments(self, parser: ArgumentParser) -> None:
        choice = parser.add_mutually_exclusive_group()
        choice.add_argument("--generate", action="store_true", help="set a new key and print it, once")
        choice.add_argument("--set-from-stdin", action="store_true", help="set the key that is given on standard input")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["generate"] or options["set_from_stdin"]:
            typed = keys.generate_inter_appliance_key() if options["generate"] else sys.stdin.readline().strip()
            try:
                keys.set_inter_appliance_key(typed)
            except ValidationError as error:
                raise CommandError(" ".join(error.messages)) from error
            if options["generate"]:
                self.stdout.write(typed)
        key = selectors.inter_appliance_key()
        if key is None:
            raise CommandError("No inter-appliance key is set.")
        self.stderr.write(f"Fingerprint: {key_words.words(key.key_id)}")
