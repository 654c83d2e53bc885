"""Management > Folders: the rules on the primary, the path on each appliance, and the agreement to deletions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from appliances.choices import FolderState, Role, State
from appliances.models import Account, Folder, FolderPlace
from sync.models import RoleJournal

pytestmark = pytest.mark.django_db
PAGE = "/login/appliances/folder/"
ASKED = {"name": "web", "mode": "mirror", "include": "", "exclude": "", "enabled": "on"}


@pytest.fixture
def admin(settings: Settings, tmp_path: Path) -> Client:
    settings.FOLDER_ROOTS = [tmp_path]
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    client = Client()
    client.force_login(Account.objects.create_superuser("anna", password="x"))
    return client


def become(state: State) -> None:
    RoleJournal.load()
    RoleJournal.objects.update(state=state)


def errors(answer: Any) -> str:
    return str(answer.context["adminform"].form.errors.as_text())


def test_a_folder_is_added_with_its_path_on_this_appliance(admin: Client, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    answer = admin.post(f"{PAGE}add/", {**ASKED, "path": f"{tmp_path}/web/", "exclude": "*.tmp\n\n cache/ "})
    assert answer.status_code == 302, errors(answer)
    folder = Folder.objects.get()
    assert (folder.name, folder.exclude) == ("web", "*.tmp\ncache/")
    assert FolderPlace.objects.get().path == str(tmp_path / "web")
    page = admin.get(PAGE).content.decode()
    assert str(tmp_path / "web") in page
    assert "There is no snapshot of a folder" in page


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/etc", "is not below"),
        ("relative", "absolute"),
        ("{0}/../etc", "absolute"),
        ("{0}", "is not below"),
        ("{0}/absent", "mkdir -p"),
        ("{0}/link", "symlink"),
        ("{0}/data", "data folder"),
        ("{0}/other/in", "lie within each other"),
    ],
)
def test_a_path_that_cannot_be_used_is_refused_with_what_to_do(
    admin: Client, tmp_path: Path, path: str, said: str
) -> None:
    for name in ("web", "other/in"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to("web")
    Folder.objects.create(name="other")
    FolderPlace.objects.create(name="other", path=str(tmp_path / "other"))
    answer = admin.post(f"{PAGE}add/", {**ASKED, "path": path.format(tmp_path)})
    assert answer.status_code == 200
    assert said in errors(answer)
    assert not Folder.objects.filter(name="web").exists()


@pytest.mark.parametrize("pattern", ["/etc", "../x", "a/../b"])
def test_a_pattern_that_leads_out_is_refused(admin: Client, pattern: str) -> None:
    assert "stay within the folder" in errors(admin.post(f"{PAGE}add/", {**ASKED, "path": "", "exclude": pattern}))


def test_on_the_backup_only_the_path_is_changed(admin: Client, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    folder = Folder.objects.create(name="web")
    become(State.B_IDLE)
    answer = admin.post(
        f"{PAGE}{folder.pk}/change/", {**ASKED, "mode": "union", "enabled": "", "path": str(tmp_path / "web")}
    )
    assert answer.status_code == 302, errors(answer)
    folder.refresh_from_db()
    assert (folder.mode, folder.enabled) == ("mirror", True)
    assert FolderPlace.objects.get().path == str(tmp_path / "web")
    assert admin.post(f"{PAGE}add/", {**ASKED, "name": "b", "path": ""}).status_code == 409
    assert admin.post(f"{PAGE}{folder.pk}/delete/", {"post": "yes"}).status_code == 409
    assert "changed on the primary" in admin.get(f"{PAGE}{folder.pk}/change/").content.decode()


def test_deletions_that_wait_are_agreed_to_once_and_only_as_many(admin: Client) -> None:
    folder = Folder.objects.create(name="web")
    outcome = {
        "state": FolderState.HELD,
        "held": 25,
        "held_fingerprint": "ab" * 32,
        "message": "25 deletions wait.",
        "reported": [],
    }
    FolderPlace.objects.create(name="web", path="/srv/web", outcome=outcome)
    become(State.B_IDLE)
    assert "Delete 25 files at the next data-sync" in admin.get(PAGE).content.decode()
    FolderPlace.objects.update(outcome={**outcome, "held_replaced": 12})
    page = admin.get(PAGE).content.decode()
    assert "25 deletions and 12 replacements wait." in page
    assert "Delete 25 and replace 12 files at the next data-sync" in page
    admin.post(f"{PAGE}{folder.pk}/agree/", {"held": "cd" * 32})
    assert FolderPlace.objects.get().agreed == ""
    admin.post(f"{PAGE}{folder.pk}/agree/", {"held": "ab" * 32})
    assert FolderPlace.objects.get().agreed == "ab" * 32
    assert "The next data-sync makes them" in admin.get(PAGE).content.decode()
    assert admin.get(f"{PAGE}{folder.pk}/agree/").status_code == 405


def test_a_name_is_shown_as_text(admin: Client) -> None:
    Folder.objects.create(name="<b>bold</b>")
    FolderPlace.objects.create(
        name="<b>bold</b>", outcome={"state": "partly", "reported": [["<script>", "<i>"]], "reported_count": 3}
    )
    page = admin.get(PAGE).content.decode()
    assert "<b>bold" not in page
    assert "<script>" not in page.split("</head>")[1].replace("<script src", "")
    assert "and 2 more" in page


def test_who_may_not_see_folders_does_not() -> None:
    client = Client()
    client.force_login(Account.objects.create_user("bob", password="x", is_staff=True))
    assert client.get(PAGE).status_code == 403


def test_each_role_has_the_tab() -> None:
    from appliances.admin.tabs import visible_tabs

    anna = Account.objects.create_superuser("anna", password="x")
    for role in Role:
        [management] = [tab for tab in visible_tabs("login", role, anna, PAGE) if tab.label == "Management"]
        assert "Folders" in [tab.label for tab in management.children]
