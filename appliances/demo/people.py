"""Demo accounts in their groups. None of them can log in until an administrator gives it a password."""

from __future__ import annotations

import datetime as dt
import random
import unicodedata

from django.contrib.auth.models import Group, Permission

from appliances.demo import words
from appliances.models import Account

MAIL_DOMAIN = "example.com"


def make_groups() -> dict[str, Group]:
    """The demo groups, made with their permissions where they are not there yet."""
    groups = {}
    for name, codenames in words.GROUPS.items():
        group, is_new = Group.objects.get_or_create(name=name)
        if is_new:
            group.permissions.set(Permission.objects.filter(codename__in=codenames))
        groups[name] = group
    return groups


def plan_accounts(until: dt.datetime) -> list[tuple[Account, str]]:
    """Forty accounts, not saved, each with the name of its group."""
    chance = random.Random("demo accounts")  # noqa: S311  (repeatable on purpose; nothing secret)
    taken: set[str] = set()
    planned = []
    for group_name, count in words.SHARES.items():
        for _ in range(count):
            first, last = _new_name(taken, chance)
            username = _plain(f"{first}.{last}")
            account = Account(
                username=username,
                first_name=first,
                last_name=last,
                display_name=f"{first} {last}",
                email=f"{username}@{MAIL_DOMAIN}",
                is_staff=True,
                is_active=chance.random() > 0.05,
                may_use_command_api=group_name in {"Administrators", "Operators"},
                # "!" marks a password that no input can match; Django's own value would differ at each run.
                password="!" + chance.randbytes(20).hex(),
                date_joined=until - dt.timedelta(days=chance.randint(90, 1500), seconds=chance.randrange(86400)),
            )
            planned.append((account, group_name))
    return planned


def save_accounts(planned: list[tuple[Account, str]]) -> list[Account]:
    """Save the accounts and put them into their groups."""
    groups = make_groups()
    accounts = [account for account, _ in planned]
    for account in accounts:
        account.save(force_insert=True)
    membership = Account.groups.through
    membership.objects.bulk_create(
        membership(account_id=account.pk, group_id=groups[group_name].pk) for account, group_name in planned
    )
    return accounts


def _new_name(taken: set[str], chance: random.Random) -> tuple[str, str]:
    while True:
        first, last = chance.choice(words.FIRST_NAMES), chance.choice(words.LAST_NAMES)
        if (name := f"{first} {last}") not in taken:
            taken.add(name)
            return first, last


def _plain(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name.lower())
    return "".join(letter for letter in decomposed if letter.isascii() and (letter.isalnum() or letter == "."))
