"""An old primary with settings of its own comes back: two real appliances, the real wire, no workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sync.boxes import KEY, Box

SETTINGS = """
from django.contrib.auth.models import Group
from appliances import blobs
from appliances.models import Account, EmailConfiguration, FileStoreFile, Site
def account(name, **fields):
    row, _ = Account.objects.update_or_create(username=name, defaults={"password": "argon2$" + name, **fields})
    return row
def file(name, content):
    blob = blobs.store([content])
    FileStoreFile.objects.update_or_create(name=name, defaults={"blob_id": blob.blob_id, "size_bytes": len(content)})
"""
BEFORE = """
account("anna", email="anna@example.com").groups.add(Group.objects.create(name="Support"))
account("bert")
Site.objects.update(portal_text="Welcome.")
"""
PULL = """
from appliances.choices import SyncTrigger
from sync.datasync import pull
pull.pull_data(SyncTrigger.SYNC_NOW)
"""
ON_OLD = """
account("anna", email="anna@site1.example.com")
account("mia", display_name="Mia").groups.add(Group.objects.create(name="Night"))
Account.objects.filter(username="bert").delete()
Site.objects.update(portal_text="Welcome, from site1.")
row = EmailConfiguration.load(); row.password = "hunter2"; row.save()
file("price list.pdf", b"prices of site1")
"""
ON_NEW = """
account("anna", display_name="Anna at site2")
account("theo", email="theo@example.com")
account("mia2")
Site.objects.update(portal_text="Welcome, from site2.")
"""
PROMOTE = """
from sync import act
from sync.rules import events as e
assert not act.deliver(e.BecomePrimary(None)).is_refused
"""
LOOK = "from sync import role_changes; role_changes.look()\n"
WAIT = LOOK + "from sync.versions import waiting; waiting.count_if_due()\n"
STATE = "from sync import journal; result = journal.read().state.value"
NAMES = """
from sync.versions import choose, shown
it = choose.present()
result = {shown.name_of(d): [f.name for f in d.fields] for d in it.found}
"""
WENT = """
from sync.versions import choose, shown
it = choose.present()
found = shown.shown(it.found, it.apart_since)
result = {item.name: item.was_on_both for item in found if not item.is_on_both and item.was_on_both is not None}
"""
REJOIN = """
from sync.versions import choose, shown
it = choose.present()
wanted = %r
choose.rejoin(it, {d.key for d in it.found if shown.name_of(d) in wanted}, "admin")
"""
HOLDS = """
from appliances.models import *
from django.contrib.auth.models import Group
from sync.datasync import remembered
from sync.datasync.wrapping import for_snapshot
from appliances import blobs
result = {
    "digests": [table.digest for table in remembered.digests(for_snapshot(""))],
    "accounts": sorted(Account.objects.values_list("username", "email", "display_name")),
    "groups": {a.username: [g.name for g in a.groups.all()] for a in Account.objects.all()},
    "text": Site.load().portal_text,
    "password": EmailConfiguration.load().password,
    "files": [[f.name, b"".join(blobs.iterate(f.blob_id)).decode()] for f in FileStoreFile.objects.all()],
}
"""
BACKUPS = """
from sync.models import ConfigurationBackup
result = [[str(row.pk), row.reason] for row in ConfigurationBackup.objects.all()]
"""
RESTORE = """
from sync.models import ConfigurationBackup
from sync.versions import choose, shown
row = ConfigurationBackup.objects.get(pk=%r)
it = choose.of_backup(row)
result = choose.restore(it, {d.key for d in it.found if shown.name_of(d) in %r}, row, "admin")
"""
CHOSEN = ("Account mia", "Email configuration", "File price list.pdf")


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Box, Box]]:
    folder = tmp_path_factory.mktemp("return")
    old = Box(folder / "a", "127.0.0.31", name="site1.example.com")
    new = Box(folder / "b", "127.0.0.32", name="site2.example.com")
    try:
        for box in (old, new):
            box.set_key(KEY)
            box.start()
        yield old, new
    finally:
        old.close()
        new.close()


@pytest.fixture
def diverged(boxes: tuple[Box, Box]) -> Iterator[tuple[Box, Box]]:
    """site1 was primary and has settings that site2, primary now, lacks; and site2 has some of its own."""
    old, new = boxes
    for box in boxes:
        box.run(
            SETTINGS + "Site.load()\n"
            "for model in (Account, Group, FileStoreFile, EmailConfiguration): model.objects.all().delete()"
        )
        box.run(BACKUPS + "ConfigurationBackup.objects.all().delete()")
    assert "error" not in old.establish(new)
    old.run(SETTINGS + BEFORE)
    new.run(LOOK + PULL)
    old.run(SETTINGS + ON_OLD)
    new.run(PROMOTE)
    new.run(SETTINGS + ON_NEW)
    old.run(LOOK)
    assert old.run(STATE) == "p_superseded"
    yield old, new
    for box in boxes:
        box.leave()


def test_it_waits_and_both_know_how_much_differs(diverged: tuple[Box, Box]) -> None:
    old, new = diverged
    before = old.run(HOLDS)
    old.run(WAIT)
    assert old.run(NAMES) == {
        "Group Night": [],
        "Account anna": ["email", "display_name"],
        "Account bert": [],
        "Account mia": [],
        "Account mia2": [],
        "Account theo": [],
        "Site configuration": ["portal_text"],
        "Email configuration": ["sealed_password"],
        "File price list.pdf": [],
    }
    assert old.run(WENT) == {"bert": True, "mia": False, "mia2": False, "price list.pdf": False, "theo": False}
    new.run(LOOK)
    said = new.run("from sync.overview import now; result = [p.sentence for p in now().problems]")
    assert any("differ in 9 objects" in sentence for sentence in said)
    assert old.run(HOLDS) == before
    assert [reason for _, reason in old.run(BACKUPS)] == ["role_change"]


def test_what_is_chosen_of_each_is_on_both_in_the_end_and_the_rest_can_be_restored(diverged: tuple[Box, Box]) -> None:
    old, new = diverged
    old.run(WAIT)
    old.run(REJOIN % (CHOSEN,))
    assert old.run(STATE) == "b_idle"
    old.run(LOOK + PULL)
    held = new.run(HOLDS)
    assert old.run(HOLDS) == held
    assert held["accounts"] == [
        ["anna", "anna@example.com", "Anna at site2"],
        ["bert", "", ""],
        ["mia", "", "Mia"],
        ["mia2", "", ""],
        ["theo", "theo@example.com", ""],
    ]
    assert held["groups"]["mia"] == ["Night"]  # came along
    assert held["text"] == "Welcome, from site2."
    assert held["password"] == "hunter2"
    assert held["files"] == [["price list.pdf", "prices of site1"]]
    # The version that site1 had is kept there; one object of it is restored on the primary, through the wire.
    [version] = [key for key, reason in old.run(BACKUPS) if reason == "role_change"]
    old.run(RESTORE % (version, ["Site configuration"]))
    assert new.run(HOLDS)["text"] == "Welcome, from site1."
    # The version that site2 had before it took anything over is kept there.
    [first, *_] = [key for key, reason in reversed(new.run(BACKUPS)) if reason == "take_over"]
    new.run(RESTORE % (first, ["Email configuration", "Site configuration"]))
    assert new.run(HOLDS)["password"] == ""
    old.run(LOOK + PULL)
    assert old.run(HOLDS) == new.run(HOLDS)


def test_a_change_of_the_primary_in_between_is_not_overwritten(diverged: tuple[Box, Box]) -> None:
    old, new = diverged
    old.run("from sync.versions import choose\nchoose.seen = choose.present()")
    new.run(SETTINGS + "Site.objects.update(name='Another name')")
    answer = old.try_run((REJOIN % (CHOSEN,)).replace("choose.present()", "choose.seen"))
    assert answer["code"] == "changed_meanwhile", answer
    assert "nothing is lost" in answer["text"]
    assert old.run(STATE) == "p_superseded"
    assert new.run(HOLDS)["files"] == []


def test_pressing_again_after_an_interruption_is_safe(diverged: tuple[Box, Box]) -> None:
    old, new = diverged
    # The primary has taken everything over, and this appliance dies before it becomes backup.
    code = (REJOIN % (CHOSEN,)).replace("choose.rejoin(", "choose.role_changes.request = None\nchoose.rejoin(")
    answer = old.try_run("import sync.role_changes as r\nkept = r.request\n" + code)
    assert answer["error"] == "TypeError"
    old.run("import sync.role_changes as r, sync.role_changes.requests as q; r.request = q.request")
    assert new.run(HOLDS)["password"] == "hunter2"
    assert old.run(STATE) == "p_superseded"
    left = old.run(NAMES)
    assert "Account mia" not in left
    assert "Account anna" in left
    old.run(REJOIN % ((),))
    old.run(LOOK + PULL)
    assert old.run(HOLDS) == new.run(HOLDS)


def test_equal_settings_do_not_wait(diverged: tuple[Box, Box]) -> None:
    old, new = diverged
    same = SETTINGS + (
        "from sync import journal\n"
        "with journal.locked() as held, held.settings_open():\n"
        "    for model in (Account, Group, FileStoreFile): model.objects.all().delete()\n"
        '    Site.objects.update(portal_text="x")\n'
        '    row = EmailConfiguration.load(); row.password = ""; row.save()'
    )
    old.run(same)
    new.run(same)
    old.run(WAIT)
    assert old.run(STATE) == "b_idle"
