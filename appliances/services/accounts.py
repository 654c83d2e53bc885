"""The first administrator."""

from __future__ import annotations

from pathlib import Path
from secrets import choice

from django.conf import settings
from django.db import transaction

from appliances import secrets
from appliances.models import Account

FIRST_ADMINISTRATOR = "admin"
FIRST_PASSWORD = "first-password"  # noqa: S105  (the name of a file in the folder of secrets)
READABLE = "abcdefghijkmnopqrstuvwxyz23456789"  # without what is easily mistaken


def has_administrator() -> bool:
    """Whether anybody may do everything here."""
    return Account.objects.filter(is_superuser=True).exists()


def ensure_first_administrator() -> Path | None:
    """There is an administrator; the file with the generated password while that is still in use, else None.

    The password is the one in the file, if somebody has put one there before the first start. Once it has been changed
    the file is removed.
    """
    path = settings.SECRETS_DIR / FIRST_PASSWORD
    with transaction.atomic():
        if not has_administrator():
            secrets.write_private(path, f"{generate_password()}\n".encode())
            Account.objects.create_superuser(
                FIRST_ADMINISTRATOR, password=path.read_text().strip(), may_use_command_api=True
            )
            return path
    if not path.exists():
        return None
    account = Account.objects.filter(username=FIRST_ADMINISTRATOR).first()
    if account and account.check_password(path.read_text().strip()):
        return path
    path.unlink()
    return None


def generate_password() -> str:
    """A password that is easy to read aloud and has 100 bits: four groups of five letters and digits."""
    return "-".join("".join(choice(READABLE) for _ in range(5)) for _ in range(4))
