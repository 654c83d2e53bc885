"""Demo content: the same at every run, once, and of real formats."""

from __future__ import annotations

import datetime as dt
import io
import time
import wave
import zipfile

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Model

from appliances import blobs, durable
from appliances.choices import State
from appliances.models import Account, EmailConfiguration, FileStoreFile, Recording, SessionEvent, Site, SupportSession
from sync.models import RoleJournal

UNTIL = "2026-03-01"


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("demo_content", *arguments, stdout=out)
    return out.getvalue()


def everything() -> dict[str, list[dict[str, object]]]:
    models: tuple[type[Model], ...] = (Account, Group, Site, FileStoreFile, SupportSession, SessionEvent, Recording)
    return {model.__name__: list(model._default_manager.order_by("pk").values()) for model in models}


@pytest.mark.django_db
def test_the_content_is_that_of_a_real_support_site():
    began = time.monotonic()
    run("--until", UNTIL)
    assert time.monotonic() - began < 10
    assert Account.objects.count() == 40
    assert Group.objects.count() == 5
    assert FileStoreFile.objects.count() == 30
    assert SupportSession.objects.count() == 150
    assert Recording.objects.count() == 25
    assert SessionEvent.objects.count() > 1500
    total = sum(row.size_bytes for row in Recording.objects.all())
    assert 20e6 < total < 90e6
    newest = SupportSession.objects.latest("ended_at").ended_at
    assert newest is not None
    assert newest < dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


@pytest.mark.django_db(transaction=True)
def test_bytes_are_made_durable_before_the_database_is_locked_for_everybody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a busy disk that takes most of a minute, in which the appliance could do nothing that it must write down."""
    locked = list[bool]()
    sync = durable.sync_descriptor

    def watched(descriptor: int) -> None:
        locked.append(connection.in_atomic_block)
        sync(descriptor)

    monkeypatch.setattr(durable, "sync_descriptor", watched)
    run("--until", UNTIL)
    assert set(locked) == {False}
    numbers = dict(Account.objects.values_list("display_name", "pk"))
    assert all(session.account_id_value == numbers[session.account_name] for session in SupportSession.objects.all())


@pytest.mark.django_db
def test_every_file_and_recording_is_in_the_store_as_its_row_says():
    run("--until", UNTIL)
    rows: list[FileStoreFile | Recording] = [*FileStoreFile.objects.all(), *Recording.objects.all()]
    for row in rows:
        assert blobs.verify(row.blob_id) == row.size_bytes


@pytest.mark.django_db
def test_recordings_are_playable_and_archives_open():
    run("--until", UNTIL)
    recording = Recording.objects.all()[0]
    assert recording.duration is not None
    with blobs.open_blob(recording.blob_id) as file, wave.open(file) as sound:
        assert sound.getnframes() / sound.getframerate() == recording.duration.total_seconds()
    archive = FileStoreFile.objects.get(name="Scanner driver 2.9.zip")
    with blobs.open_blob(archive.blob_id) as file:
        assert zipfile.ZipFile(file).testzip() is None


@pytest.mark.django_db
def test_two_runs_make_the_same_content():
    run("--until", UNTIL)
    first = everything()
    first_accounts = [{**row, "id": None} for row in first["Account"]]
    sessions = [{**row, "account_id_value": None} for row in first["SupportSession"]]
    for model in (Recording, SessionEvent, SupportSession, FileStoreFile, Site, Group, Account):
        model.objects.all().delete()
    run("--until", UNTIL)
    again = everything()
    assert [{**row, "id": None} for row in again["Account"]] == first_accounts
    assert [{**row, "account_id_value": None} for row in again["SupportSession"]] == sessions
    for name in ("FileStoreFile", "SessionEvent", "Recording"):
        assert again[name] == first[name]


@pytest.mark.django_db
def test_a_second_run_changes_nothing_and_says_so():
    run("--until", UNTIL)
    before = everything()
    assert "nothing was changed" in run("--until", UNTIL)
    assert "nothing was changed" in run()
    with pytest.raises(CommandError, match="nothing was changed"):
        run("--until", "2026-02-01")
    with pytest.raises(CommandError, match="nothing was changed"):
        run("--until", UNTIL, "--scale", "2")
    assert everything() == before


@pytest.mark.django_db
def test_scale_multiplies_sessions_recordings_and_files_but_not_accounts():
    run("--until", UNTIL, "--scale", "2")
    assert SupportSession.objects.count() == 300
    assert Recording.objects.count() == 50
    assert FileStoreFile.objects.count() == 60
    assert Account.objects.count() == 40


@pytest.mark.django_db
def test_no_demo_account_can_log_in_and_no_address_is_of_a_real_domain():
    run("--until", UNTIL)
    assert not any(account.has_usable_password() for account in Account.objects.all())
    assert all(account.email.endswith("@example.com") for account in Account.objects.all())
    assert EmailConfiguration.load().relay_host.endswith(".example")


@pytest.mark.django_db
def test_groups_have_permissions_that_exist():
    run("--until", UNTIL)
    from appliances.demo import words

    for name, codenames in words.GROUPS.items():
        held = Group.objects.get(name=name).permissions.values_list("codename", flat=True)
        assert set(held) == set(codenames)


@pytest.mark.django_db
def test_what_the_administrator_has_set_stays():
    Site.objects.create(host_name="help.example.org", name="Ours", portal_text="Our own words")
    run("--until", UNTIL)
    assert Site.load().name == "Ours"


@pytest.mark.django_db
def test_a_file_of_the_same_name_stops_it_with_nothing_added():
    FileStoreFile.objects.create(name="Company logo.png", blob_id="0" * 64, size_bytes=1)
    with pytest.raises(CommandError, match="same name"):
        run("--until", UNTIL)
    assert Account.objects.count() == 0
    assert SupportSession.objects.count() == 0


@pytest.mark.django_db
def test_a_backup_is_not_filled():
    RoleJournal.objects.create(state=State.B_IDLE)
    with pytest.raises(CommandError, match="backup"):
        run("--until", UNTIL)
    assert Account.objects.count() == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    "arguments", [("--scale", "0"), ("--scale", "-1"), ("--scale", "x"), ("--until", "yesterday"), ("--scale", "1001")]
)
def test_bad_arguments_are_refused(arguments: tuple[str, str]):
    with pytest.raises(CommandError):
        run(*arguments)
