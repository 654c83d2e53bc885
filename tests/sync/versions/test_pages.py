"""The pages of two versions: who may see and press what, and that a stale choice changes nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from pytest_django import Settings

from appliances.choices import BackupReason, BrakeSubject, Role, State, SyncStatus
from appliances.models import Account, EmailConfiguration, Site
from sync import journal, role_changes, tasks
from sync.datasync import backups, brake
from sync.errors import SyncRefused
from sync.models import ConfigurationBackup, PeerView, RoleJournal, StatusEvent, SyncRun
from sync.rules.facts import Head, header_of
from sync.versions import primary
from sync.versions.primary import Present
from tests.sync import pair
from tests.sync.pairs import settings_open
from tests.sync.versions.test_merge import other_version

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/login/management/failover/"


@pytest.fixture(autouse=True)
def own_data_folder(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path


def client(*permissions: str) -> Client:
    """Somebody with these permissions; with all if none is named."""
    with settings_open():
        account = Account.objects.create_user("operator", password="x", is_staff=True, is_superuser=not permissions)
        account.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    made = Client()
    made.force_login(account)
    return made


def text(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer
    return answer.content.decode()


def keep_one() -> ConfigurationBackup:
    """A kept version in which the portal and the password of the mail server are others than now."""
    Site.objects.update_or_create(pk=1, defaults={"portal_text": "The text of before"})
    row = EmailConfiguration.load()
    row.password = "hunter2-before"
    row.save()
    made = backups.save(BackupReason.BY_HAND)
    Site.objects.update(portal_text="The text of now")
    row.password = "hunter2-now"
    row.save()
    return made


def keys_of(page: str) -> list[str]:
    return re.findall(r'name="pick:([^"]+)" value="mine"', page)


def stamp_of(page: str) -> str:
    return str(re.findall(r'name="stamp" value="([^"]+)"', page)[0])


def test_the_list_says_what_differs_and_one_can_be_saved() -> None:
    pair.paired()
    keep_one()
    admin = client()
    assert "3 objects differ" in text(admin, f"{PAGE}backups/")  # two settings, and the account that looks
    assert admin.post(f"{PAGE}backups/").status_code == 302
    assert ">as now</span>" in text(admin, f"{PAGE}backups/")


def test_one_object_is_restored_after_a_confirmation_and_no_secret_is_on_any_page() -> None:
    pair.paired()
    kept, admin = keep_one(), client()
    path = f"{PAGE}backups/{kept.pk}/"
    page = text(admin, path)
    assert "The text of " in page
    assert "hunter2" not in page
    assert "argon2" not in page
    assert "md5$" not in page
    [key] = [key for key in keys_of(page) if key.startswith("appliances.Site|")]
    choice = {"stamp": stamp_of(page), f"pick:{key}": "mine", "rest": "theirs"}
    confirm = admin.post(path, choice)
    assert b"Nothing has happened yet" in confirm.content
    assert Site.load().portal_text == "The text of now"
    admin.post(path, {**choice, "confirmed": "1"})
    assert Site.load().portal_text == "The text of before"
    assert EmailConfiguration.load().password == "hunter2-now"
    assert Account.objects.filter(username="operator").exists()
    assert "hunter2" not in repr(list(StatusEvent.objects.values_list("sentence", "evidence")))


def test_a_choice_of_more_objects_than_a_form_has_fields_can_be_confirmed() -> None:
    pair.paired()
    Account.objects.bulk_create(Account(username=f"somebody{number}", password="x") for number in range(2500))
    kept, admin = backups.save(BackupReason.BY_HAND), client()
    Account.objects.filter(username__startswith="somebody").delete()
    path = f"{PAGE}backups/{kept.pk}/"
    page = text(admin, path)
    wanted = {"stamp": stamp_of(page), "rest": "mine", f"pick:{keys_of(page)[0]}": "theirs"}
    confirm = admin.post(path, wanted).content.decode()
    fields = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', confirm)
    assert len(fields) < 10
    assert admin.post(path, dict(fields)).status_code == 302
    assert Account.objects.filter(username__startswith="somebody").count() >= 2499


def test_a_choice_on_older_settings_changes_nothing() -> None:
    pair.paired()
    kept, admin = keep_one(), client()
    path = f"{PAGE}backups/{kept.pk}/"
    choice = {"stamp": stamp_of(text(admin, path)), "all": "mine", "confirmed": "1"}
    Site.objects.update(name="Changed meanwhile")
    admin.post(path, choice)
    assert Site.load().portal_text == "The text of now"
    assert "changed meanwhile" in text(admin, path)


def test_who_may_not_manage_the_pair_may_neither_choose_nor_look_at_accounts() -> None:
    pair.paired()
    kept = keep_one()
    path = f"{PAGE}backups/{kept.pk}/"
    stamp = stamp_of(text(client(), path))
    Account.objects.all().delete()
    operator = client("switch_roles")
    for name in ("backups/", f"backups/{kept.pk}/", "differences/"):
        assert operator.get(f"{PAGE}{name}").status_code == 403
        assert operator.post(f"{PAGE}{name}", {"stamp": stamp, "all": "mine", "confirmed": "1"}).status_code == 403
    assert f"{PAGE}backups/" not in text(operator, PAGE)
    Account.objects.all().delete()
    nobody = client("view_account")
    for name in ("backups/", f"backups/{kept.pk}/", "differences/"):
        assert nobody.get(f"{PAGE}{name}").status_code == 403


def test_a_damaged_backup_and_a_silent_peer_are_said_and_no_error_of_the_server() -> None:
    kept = keep_one()
    pair.paired(State.B_IDLE, State.P_ACTIVE)
    admin = client()
    page = text(admin, f"{PAGE}backups/")
    assert "cannot be compared" in page
    assert admin.get(f"{PAGE}differences/").status_code == 302
    backups.path_of(kept).write_bytes(b"x")
    assert admin.get(f"{PAGE}backups/{kept.pk}/").status_code == 302
    assert "damaged" in text(admin, f"{PAGE}backups/")


class Waiting:
    """This appliance waits, its peer is primary with another text; what it sends or becomes is noted."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        pair.paired(State.P_SUPERSEDED, State.P_ACTIVE)
        with settings_open():
            Site.objects.update_or_create(pk=1, defaults={"portal_text": "Text of site1"})
        self.admin = client()
        with settings_open():
            theirs = other_version(lambda: Site.objects.update(portal_text="Text of site2"))
        self.head = Head(5, 3)
        self.done: list[str] = []
        header = replace(header_of(journal.read()), state=State.P_ACTIVE, own_term=5)
        patch.setattr(primary, "of_peer", lambda: Present(theirs, replace(header, head=self.head)))
        patch.setattr(primary, "send", lambda *_, **__: self.done.append("sent"))
        patch.setattr(role_changes, "request", lambda *_, **__: self.done.append("backup"))
        patch.setattr(tasks, "sync_now", lambda _: self.done.append("data-sync"))


def test_while_it_waits_each_object_has_to_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Waiting(monkeypatch)
    page = text(it.admin, f"{PAGE}differences/")
    [key] = keys_of(page)
    answer = it.admin.post(f"{PAGE}differences/", {"stamp": stamp_of(page)})
    assert b"1 of 1 are still open" in answer.content
    choice = {"stamp": stamp_of(page), f"pick:{key}": "mine"}
    assert b"Settle it so" in it.admin.post(f"{PAGE}differences/", choice).content
    assert it.done == []
    it.admin.post(f"{PAGE}differences/", {**choice, "confirmed": "1"})
    assert it.done == ["sent", "backup", "data-sync"]
    assert ConfigurationBackup.objects.get().reason == "role_change"
    [event] = StatusEvent.objects.filter(event="return.chosen")
    assert "operator chose Site configuration of" in event.sentence


def test_all_of_the_primary_sends_nothing_and_keeps_the_own_version(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Waiting(monkeypatch)
    page = text(it.admin, f"{PAGE}differences/")
    it.admin.post(f"{PAGE}differences/", {"stamp": stamp_of(page), "all": "theirs", "confirmed": "1"})
    assert it.done == ["backup", "data-sync"]
    assert ConfigurationBackup.objects.count() == 1


def test_a_choice_about_another_state_of_the_primary_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Waiting(monkeypatch)
    page = text(it.admin, f"{PAGE}differences/")
    it.head = Head(5, 4)
    answer = it.admin.post(f"{PAGE}differences/", {"stamp": stamp_of(page), "all": "mine", "confirmed": "1"})
    assert b"Look again" in answer.content
    assert it.done == []


def test_the_page_of_each_says_how_much_differs_and_where_to_choose() -> None:
    pair.paired(State.P_SUPERSEDED, State.P_ACTIVE)
    PeerView.objects.update(differences={"heads": "0.1 1.1", "objects": 3})
    admin = client()
    page = text(admin, PAGE)
    assert "differ in 3 objects" in page
    assert f"{PAGE}differences/" in page
    assert "3 objects of site1.example.com would be replaced" in text(admin, f"{PAGE}role-change/")


def test_the_primary_leads_to_the_page_of_the_one_that_waits() -> None:
    pair.paired(State.P_ACTIVE, State.P_SUPERSEDED, differing_objects=1)
    page = text(client(), PAGE)
    assert "waits: its settings differ in one object" in page
    assert "https://10.0.4.12:8443/login/management/failover/differences/" in page


def test_a_restore_that_would_delete_much_says_so_and_needs_leave_for_exactly_that() -> None:
    pair.paired()
    admin = client()
    made = backups.save(BackupReason.BY_HAND)
    for number in range(9):
        Account.objects.create(username=f"user{number}")
    path = f"{PAGE}backups/{made.pk}/"
    page = text(admin, path)
    choice = {"stamp": stamp_of(page), "all": "mine"}
    confirm = admin.post(path, choice).content.decode()
    assert "This deletes 9 of the 10 accounts of" in confirm
    assert "Restore now and delete these" in confirm
    [allow] = re.findall(r'name="allow" value="([0-9a-f]{64})"', confirm)

    for other in ("", "0" * 64):
        told = admin.post(path, {**choice, "confirmed": "1", "allow": other}, follow=True).content.decode()
        assert "Nothing was changed: this choice would delete 9 of the 10 accounts" in told
        assert Account.objects.count() == 10
    admin.post(path, {**choice, "confirmed": "1", "allow": allow})
    assert list(Account.objects.values_list("username", flat=True)) == ["operator"]


def test_what_the_brake_stopped_stands_on_the_page_with_one_button(monkeypatch: pytest.MonkeyPatch) -> None:
    pair.backup()
    brake.stop(BrakeSubject.SETTINGS, "ab" * 32, "all 9 accounts", ["anna", "bob"])
    asked: list[str] = []
    monkeypatch.setattr(tasks, "sync_now", asked.append)
    looker = client("switch_roles")
    page = text(looker, PAGE)
    assert "It would delete <strong>all 9 accounts</strong>" in page
    assert "<li>anna</li>" in page
    assert "Allow this deletion" not in page
    assert "differences" not in page
    assert looker.post(f"{PAGE}allow-deletion/", {"fingerprint": "ab" * 32}).status_code == 403

    with settings_open():
        Account.objects.update(is_superuser=True)
    admin = looker
    assert "Allow this deletion and pull" in text(admin, PAGE)
    told = admin.post(f"{PAGE}allow-deletion/", {"fingerprint": "cd" * 32}, follow=True).content.decode()
    assert "nothing was allowed" in told
    assert not asked
    told = admin.post(f"{PAGE}allow-deletion/", {"fingerprint": "ab" * 32}, follow=True).content.decode()
    assert "It may delete all 9 accounts" in told
    assert asked == ["operator"]
    assert "Allow this deletion" not in told
    assert StatusEvent.objects.filter(event="brake.allowed").exists()


def test_what_was_allowed_is_told_though_no_data_sync_could_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    pair.backup()
    brake.stop(BrakeSubject.SETTINGS, "ab" * 32, "all 9 accounts")

    def fails(_: str) -> None:
        raise SyncRefused("busy", "The broker does not answer.")

    monkeypatch.setattr(tasks, "sync_now", fails)
    admin = client("switch_roles")
    with settings_open():
        Account.objects.update(is_superuser=True)
    told = admin.post(f"{PAGE}allow-deletion/", {"fingerprint": "ab" * 32}, follow=True).content.decode()
    assert "Allowed: the next data-sync may delete all 9 accounts. None could be started now: The broker does" in told


def test_a_stopped_retention_leads_to_its_page() -> None:
    pair.paired()
    brake.stop(BrakeSubject.RETENTION, "ab" * 32, "all 30 recordings")
    page = text(client(), PAGE)
    assert "The retention waits for you" in page
    assert "/login/appliances/retentionsettings/" in page
    assert "Allow this deletion" not in page


def test_a_data_sync_that_would_overwrite_newer_settings_shows_what_it_would_destroy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Waiting(monkeypatch)
    admin = Client()
    admin.force_login(Account.objects.get(username="operator"))
    RoleJournal.objects.update(state=State.B_IDLE, head_term=7)
    StatusEvent.objects.all().delete()  # of when it was primary, which is long ago
    pair.sync_run(status=SyncStatus.REFUSED, code="source_older", message="Older.")
    page = text(admin, PAGE)
    assert "No data-sync: it would overwrite newer settings" in page
    later = StatusEvent.objects.create(event="role.1", sentence="Primary.", role=Role.PRIMARY, term=8, severity="info")
    assert "No data-sync: it would" not in text(admin, PAGE)
    later.delete()
    assert "See what it would destroy" in page
    page = text(admin, f"{PAGE}differences/")
    assert "A data-sync would overwrite what is marked of" in page
    assert "Text of site" in page
    assert "All at once" not in page  # nothing can be chosen
    pair.sync_run(status=SyncStatus.SUCCESS)
    SyncRun.objects.filter(code="source_older").delete()
    assert "No data-sync" not in text(admin, PAGE)
