"""No setting is changed on an appliance that lost its role between asking and writing: the database asks again."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import IntegrityError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client
from pytest_django import Settings

from appliances import selectors, settings_lock
from appliances.choices import State
from appliances.models import Account, ApiConfiguration, EmailConfiguration, FileStoreFile, Site
from sync import gate, journal
from sync.models import RoleJournal
from tests.sync.datasync import world
from tests.sync.pairs import establish

Pair = tuple[BaseDatabaseWrapper, BaseDatabaseWrapper]
WRITE = "INSERT INTO auth_group (name) VALUES ('late')"
YIELD = "UPDATE sync_rolejournal SET state = 'b_yielded' WHERE id = 1"
STATE = "SELECT state, head_seq FROM sync_rolejournal WHERE id = 1"
LOCK = "SELECT state, head_seq FROM sync_rolejournal WHERE id = 1 FOR UPDATE"
PASSWORDS = {"password1": "a long enough password", "password2": "a long enough password"}
REFUSING = [state for state in State if state not in (State.NONE, State.P_ACTIVE)]


@pytest.fixture
def two(transactional_db: None, tmp_path: Path) -> Iterator[Pair]:
    """Two connections to the database of a primary: on SQLite to a copy of it in a file, as two processes have it."""
    world.set_state({"state": "p_active", "own_term": 0, "initialised": True})
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        name = str(tmp_path / "database.sqlite3")
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [name])
    made = []
    for _ in range(2):
        one: Any = connections.create_connection("default")
        one.settings_dict = {**one.settings_dict, "NAME": name}
        one.inc_thread_sharing()
        made.append(one)
    yield made[0], made[1]
    for one in made:
        one.close()


def run(database: BaseDatabaseWrapper, sql: str) -> list[Any]:
    with database.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


class Meanwhile(threading.Thread):
    """A statement on another connection, which may have to wait; `error` is what came of it."""

    def __init__(self, database: BaseDatabaseWrapper, sql: str) -> None:
        super().__init__()
        self.database, self.sql = database, sql
        self.error: Exception | None = None
        self.begins = threading.Event()
        self.start()
        self.begins.wait(10)

    def run(self) -> None:
        self.begins.set()
        try:
            run(self.database, self.sql)
        except Exception as error:
            self.error = error


class Transaction:
    """A transaction on a connection that is not the default one."""

    def __init__(self, database: BaseDatabaseWrapper) -> None:
        self.database = database

    def __enter__(self) -> None:
        self.database.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)

    def __exit__(self, *_: object) -> None:
        self.database.commit()
        self.database.set_autocommit(True)


def test_a_change_that_waits_for_the_yield_is_refused(two: Pair) -> None:
    one, other = two
    with Transaction(one):
        run(one, YIELD)
        late = Meanwhile(other, WRITE)
    late.join(30)
    assert late.error is not None
    assert settings_lock.is_refused(late.error)
    assert run(one, "SELECT count(*) FROM auth_group") == [(0,)]


def test_a_yield_waits_for_a_change_that_came_first(two: Pair) -> None:
    one, other = two
    with Transaction(one):
        run(one, WRITE)
        yields = Meanwhile(other, YIELD)
    yields.join(30)
    assert yields.error is None
    assert run(one, STATE) == [("b_yielded", 1)]
    assert run(one, "SELECT name FROM auth_group") == [("late",)]


@pytest.mark.django_db
@pytest.mark.parametrize("state", REFUSING)
def test_every_way_of_writing_is_refused_where_settings_may_not_be_changed(state: State) -> None:
    account, group = Account.objects.create_user("anna"), Group.objects.create(name="staff")
    Site.load()
    world.set_state({"state": state})
    for way in (
        lambda: account.groups.add(group),
        lambda: Account.objects.update(email="a@example.com"),
        lambda: Account.objects.all().delete(),
        lambda: Site.objects.update(name="Other"),
        lambda: FileStoreFile.objects.bulk_create([FileStoreFile(name="n", blob_id="0" * 64, size_bytes=1)]),
        lambda: FileStoreFile.objects.bulk_create(
            [FileStoreFile(name="n", blob_id="0" * 64, size_bytes=1)], ignore_conflicts=True
        ),
    ):
        with pytest.raises(IntegrityError) as refused, transaction.atomic():
            way()
        assert settings_lock.is_refused(refused.value)
    assert not FileStoreFile.objects.exists()
    assert not account.groups.exists()
    account.save(update_fields=["last_login"])  # stays on each appliance


@pytest.mark.django_db
def test_a_data_sync_may_write_within_its_transaction_and_nobody_after_it() -> None:
    RoleJournal.load()
    world.set_state({"state": "b_idle"})
    with journal.locked() as held, held.settings_open():
        Group.objects.create(name="staff")
    with pytest.raises(IntegrityError), transaction.atomic():
        Group.objects.create(name="late")
    assert not RoleJournal.load().settings_open


@pytest.mark.django_db
def test_what_no_data_sync_has_brought_yet_is_shown_as_it_would_be_made(settings: Settings) -> None:
    settings.PUBLIC_HOST_NAME = "help.example.com"
    world.set_state({"state": "b_idle"})
    assert selectors.site().host_name == "help.example.com"
    assert EmailConfiguration.load().relay_port == 25
    assert not Site.objects.exists()


@pytest.mark.django_db
def test_a_backup_lets_in_whose_password_has_a_hash_of_an_older_kind(settings: Settings) -> None:
    [older] = settings.PASSWORD_HASHERS
    account = Account.objects.create_user("anna", password="right")
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher", older]
    world.set_state({"state": "b_idle"})
    assert account.check_password("right")
    assert not account.check_password("wrong")
    account.refresh_from_db()
    assert account.password.startswith("md5$")
    world.set_state({"state": "p_active"})
    assert account.check_password("right")
    account.refresh_from_db()
    assert account.password.startswith("scrypt$")
    assert account.check_password("right")


# --- pages --------------------------------------------------------------------------------------------------------


@pytest.fixture
def admin(db: None) -> Client:
    """A browser in which an administrator of a primary is logged in."""
    establish(State.P_ACTIVE)
    ApiConfiguration.load()
    client = Client()
    account = Account.objects.create_superuser("root", password="a long enough password")
    client.force_login(account, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def loses_its_role(monkeypatch: pytest.MonkeyPatch) -> None:
    """The role is lost after a request has passed the gate: the request goes on with the answer that it got."""
    real = gate.read
    answers = [real]

    def read() -> Any:
        found = real()
        if answers:
            answers.clear()
            RoleJournal.objects.update(state=State.B_IDLE)
        return found

    monkeypatch.setattr("appliances.gate.read", read)


@pytest.mark.usefixtures("loses_its_role")
@pytest.mark.parametrize(
    ("page", "fields"),
    [
        ("/login/appliances/apiconfiguration/1/change/", {"enable_xml_api": "on"}),
        ("/login/auth/group/add/", {"name": "late"}),
        ("/login/appliances/account/add/", {"username": "late", "usable_password": "true", **PASSWORDS}),
    ],
)
def test_whoever_saves_a_moment_too_late_reads_why_and_where(admin: Client, page: str, fields: dict[str, str]) -> None:
    answer = admin.post(page, fields)
    assert answer.status_code == 409
    text = answer.content.decode()
    assert "The role of this appliance changed while this was being saved." in text
    assert "This appliance is the backup. Nothing was changed." in text
    assert "https://127.0.0.1/login/" in text
    assert not Account.objects.filter(username="late").exists()
    assert not Group.objects.exists()


@pytest.mark.django_db
def test_a_backup_shows_the_forms_of_what_is_not_there_yet(admin: Client) -> None:
    world.set_state({"state": "b_idle"})
    answer = admin.get("/login/appliances/emailconfiguration/1/change/")
    assert answer.status_code == 200
    assert not EmailConfiguration.objects.exists()


@pytest.mark.django_db
def test_a_command_of_django_is_refused_too() -> None:
    RoleJournal.load()
    world.set_state({"state": "b_idle"})
    with pytest.raises(IntegrityError, match="Settings are changed on the primary only"):
        call_command("createsuperuser", username="root", email="", interactive=False, stdout=io.StringIO())
