"""The first administrator."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pytest_django import Settings

from appliances.models import Account
from appliances.services import accounts

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_secrets(settings: Settings, tmp_path: Path) -> None:
    settings.SECRETS_DIR = tmp_path / "secrets"


def test_the_first_start_makes_an_administrator_with_a_password_that_only_this_user_can_read() -> None:
    path = accounts.ensure_first_administrator()
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    admin = Account.objects.get(username=accounts.FIRST_ADMINISTRATOR)
    assert admin.is_superuser
    assert admin.check_password(path.read_text().strip())


def test_a_later_start_still_knows_the_password_until_it_is_changed() -> None:
    path = accounts.ensure_first_administrator()
    assert accounts.ensure_first_administrator() == path
    admin = Account.objects.get()
    admin.set_password("another long password")
    admin.save()
    assert accounts.ensure_first_administrator() is None
    assert path is not None
    assert not path.exists()


def test_a_password_that_was_laid_there_before_is_taken(settings: Settings) -> None:
    settings.SECRETS_DIR.mkdir()
    (settings.SECRETS_DIR / accounts.FIRST_PASSWORD).write_text("laid-there-before\n")
    accounts.ensure_first_administrator()
    assert Account.objects.get().check_password("laid-there-before")


def test_nobody_is_made_where_an_administrator_is() -> None:
    Account.objects.create_superuser("somebody", password="a long password")
    assert accounts.ensure_first_administrator() is None
    assert Account.objects.count() == 1


def test_passwords_differ_and_are_long() -> None:
    passwords = {accounts.generate_password() for _ in range(50)}
    assert len(passwords) == 50
    assert all(len(password) == 23 for password in passwords)
