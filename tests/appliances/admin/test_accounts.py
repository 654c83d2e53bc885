"""Accounts and groups in the console: who may give which rights."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client

from appliances.models import Account

pytestmark = pytest.mark.django_db

LIST = "/login/appliances/account/"
GROUPS = "/login/auth/group/"
PHRASE = "quite a long phrase 7"


def logged_in(client: Client, account: Account) -> Client:
    client.force_login(account, "django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def root() -> Account:
    return Account.objects.create_superuser("root", password=PHRASE)


@pytest.fixture
def administrator(client: Client, root: Account) -> Client:
    return logged_in(client, root)


@pytest.fixture
def manager(client: Client) -> Client:
    """An account that may manage accounts but has not all rights."""
    account = Account.objects.create_user("manager", password=PHRASE, is_staff=True)
    names = ["add_account", "change_account", "delete_account", "view_account", "add_group", "change_group"]
    account.user_permissions.set(Permission.objects.filter(codename__in=names))
    return logged_in(client, account)


def form(**changes: str) -> dict[str, str]:
    return {"username": "ada", "display_name": "Ada", "is_active": "on", "is_staff": "on"} | changes


def test_an_account_is_made_with_a_good_password(administrator: Client):
    typed = {"username": "ada", "usable_password": "true", "password1": PHRASE, "password2": PHRASE}
    assert administrator.post(f"{LIST}add/", typed).status_code == 302
    assert Account.objects.get(username="ada").check_password(PHRASE)


@pytest.mark.parametrize("weak", ["short", "1q2w3e4r5t6y", "123456789012", "ada-lovelace"])
def test_a_weak_password_is_refused(administrator: Client, weak: str):
    typed = {"username": "ada-lovelace", "usable_password": "true", "password1": weak, "password2": weak}
    answer = administrator.post(f"{LIST}add/", typed)
    assert answer.status_code == 200
    assert not Account.objects.filter(username="ada-lovelace").exists()


def test_a_new_password_is_set_on_its_own_page(administrator: Client):
    ada = Account.objects.create_user("ada", is_staff=True)
    page = f"{LIST}{ada.pk}/password/"
    assert administrator.get(page).status_code == 200
    assert administrator.post(page, {"password1": "short", "password2": "short"}).status_code == 200
    administrator.post(page, {"password1": PHRASE, "password2": PHRASE, "usable_password": "true"})
    ada.refresh_from_db()
    assert ada.check_password(PHRASE)


def test_an_account_is_changed_and_put_into_a_group(administrator: Client):
    ada = Account.objects.create_user("ada", is_staff=True)
    group = Group.objects.create(name="Operators")
    answer = administrator.post(
        f"{LIST}{ada.pk}/change/", form(may_use_command_api="on", display_name="Ada L.", groups=str(group.pk))
    )
    assert answer.status_code == 302
    ada.refresh_from_db()
    assert (ada.display_name, ada.may_use_command_api) == ("Ada L.", True)
    assert list(ada.groups.all()) == [group]


def test_nobody_takes_away_the_own_rights_or_the_own_account(administrator: Client, root: Account):
    administrator.post(f"{LIST}{root.pk}/change/", {"username": "root", "display_name": "Me"})
    root.refresh_from_db()
    assert (root.display_name, root.is_active, root.is_superuser, root.is_staff) == ("Me", True, True, True)
    assert administrator.post(f"{LIST}{root.pk}/delete/", {"post": "yes"}).status_code == 403


def test_an_account_is_deleted_on_its_own_page_only(administrator: Client):
    ada = Account.objects.create_user("ada")
    administrator.post(LIST, {"action": "delete_selected", "_selected_action": [str(ada.pk)], "post": "yes"})
    assert Account.objects.filter(pk=ada.pk).exists()
    administrator.post(f"{LIST}{ada.pk}/delete/", {"post": "yes"})
    assert not Account.objects.filter(pk=ada.pk).exists()


def test_who_has_not_all_rights_cannot_give_them(manager: Client):
    ada = Account.objects.create_user("ada", is_staff=True)
    group = Group.objects.create(name="Operators")
    manager.post(f"{LIST}{ada.pk}/change/", form(is_superuser="on", may_use_command_api="on", groups=str(group.pk)))
    ada.refresh_from_db()
    assert (ada.display_name, ada.is_superuser, ada.may_use_command_api) == ("Ada", False, False)
    assert not ada.groups.exists()


def test_who_has_not_all_rights_cannot_touch_an_account_that_has(manager: Client, root: Account):
    assert manager.post(f"{LIST}{root.pk}/change/", form(username="root2")).status_code == 403
    typed = {"password1": "another long phrase", "password2": "another long phrase", "usable_password": "true"}
    assert manager.post(f"{LIST}{root.pk}/password/", typed).status_code == 403
    assert manager.post(f"{LIST}{root.pk}/delete/", {"post": "yes"}).status_code == 403
    root.refresh_from_db()
    assert root.username == "root"
    assert root.check_password(PHRASE)


def test_groups_are_changed_by_administrators_with_all_rights_only(manager: Client):
    assert manager.post(f"{GROUPS}add/", {"name": "Mine"}).status_code == 403


def test_a_group_gets_the_permissions_of_this_product(administrator: Client):
    switch = Permission.objects.get(codename="switch_roles")
    page = administrator.get(f"{GROUPS}add/").content.decode()
    assert "May switch the roles of the appliances" in page
    assert "Can add session" not in page
    administrator.post(f"{GROUPS}add/", {"name": " Operators ", "permissions": [str(switch.pk)]})
    assert list(Group.objects.get(name="Operators").permissions.all()) == [switch]


@pytest.mark.parametrize(
    "typed", [{"name": " "}, {"name": "x", "permissions": ["99999999999999999999"]}, {"name": "\0"}]
)
def test_bad_groups_are_refused(administrator: Client, typed: dict[str, str]):
    assert administrator.post(f"{GROUPS}add/", typed).status_code in {200, 302}
    assert not Group.objects.exists()


@pytest.mark.parametrize("name", ["", "a b", "\0", "x" * 151, "<script>"])
def test_bad_account_names_are_refused(administrator: Client, name: str):
    typed = {"username": name, "usable_password": "true", "password1": PHRASE, "password2": PHRASE}
    assert administrator.post(f"{LIST}add/", typed).status_code == 200
    assert Account.objects.count() == 1
