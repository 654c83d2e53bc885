"""One verdict on the pair: the page and `failover_status` never disagree."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone

from appliances.choices import FileProblem, FolderState, ProbeOutcome, RepairState, State, SyncStatus
from appliances.models import Account, BackupSettings, FailoverRelationship, SharedIP
from sync import health, overview, situation
from sync.health import Health
from sync.models import DamagedFile, PeerView, RoleJournal, SyncRun
from sync.troubles import Trouble
from tests.sync import pair
from tests.sync.management.test_commands import call

pytestmark = pytest.mark.django_db


def late() -> None:
    pair.paired(last_sync_at=(timezone.now() - dt.timedelta(hours=2)).timestamp())


def conflict_seen_once() -> None:
    pair.conflict()
    PeerView.objects.update(same_role_polls=1)


def refused() -> None:
    pair.paired()
    PeerView.objects.update(outcome=ProbeOutcome.REFUSED, detail="The keys differ.")


def silent() -> None:
    pair.paired()
    pair.silent()


def silent_for_eleven_seconds() -> None:
    pair.paired()
    PeerView.objects.update(answered_at=timezone.now() - dt.timedelta(seconds=11))


def superseded() -> None:
    pair.paired()
    RoleJournal.objects.update(state=State.P_SUPERSEDED)


def unwell() -> None:
    pair.paired()
    health.write(Health(False, "The disk is nearly full."))


def backup_off() -> None:
    pair.backup()
    BackupSettings.objects.update_or_create(pk=1, defaults={"enable_backup_operations": False})


def failed_on_the_backup() -> None:
    pair.backup()
    pair.sync_run(status=SyncStatus.FAILED, message="The disk is full.")


def without_its_shared_ip() -> None:
    pair.paired()
    SharedIP.objects.create(address="192.0.2.252")


def with_a_folder_that_waits() -> None:
    pair.backup()
    pair.folder(FolderState.HELD, message="25 deletions wait until somebody agrees to them.")


def lost_files() -> None:
    pair.paired()
    DamagedFile.objects.create(blob_id="ab" * 32, name="a.txt", problem=FileProblem.CORRUPT, state=RepairState.LOST)


TROUBLES: dict[Trouble, Callable[[], None]] = {
    Trouble.CONFLICT: pair.conflict,
    Trouble.SUPERSEDED: superseded,
    Trouble.PEER_SUPERSEDED: lambda: pair.paired(peer_state=State.P_SUPERSEDED),
    Trouble.REFUSED: refused,
    Trouble.SILENT: silent,
    Trouble.LEFT: lambda: pair.paired(peer_state=State.NONE),
    Trouble.SHARED_IP: without_its_shared_ip,
    Trouble.NEVER_SYNCED: lambda: pair.paired(last_sync_at=None),
    Trouble.BACKUP_OFF: backup_off,
    Trouble.NOT_SYNCED: failed_on_the_backup,
    Trouble.LATE: late,
    Trouble.FOLDER: with_a_folder_that_waits,
    Trouble.LOST_FILES: lost_files,
    Trouble.PEER_UNWELL: lambda: pair.paired(healthy=False, health_message="The disk is nearly full."),
    Trouble.MISMATCH: lambda: pair.paired(build="2.0.0 (build-x)"),
    Trouble.UNWELL: unwell,
}
SITUATIONS: dict[str, Callable[[], None]] = {
    **{str(kind): put for kind, put in TROUBLES.items()},
    "well on the primary": pair.paired,
    "well on the backup": pair.backup,
    "the primary's backup failed": lambda: pair.paired(last_sync_status="failed"),
    "backup operations are off on the peer": lambda: pair.paired(backup_operations=False),
    "silent for eleven seconds": silent_for_eleven_seconds,
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_page_says_safe_exactly_where_the_command_ends_with_0(name: str, client: Client) -> None:
    anna = Account.objects.create_superuser("anna", password="x")
    SITUATIONS[name]()
    it = situation.read()
    assert it is not None
    assert (it.headline.tone == "good") == (call("failover_status")[0] == 0) == (not it.problems)
    client.force_login(anna)
    page = client.get("/login/management/failover/").content.decode()
    assert ("Safe: " in page) == (not it.problems)


@pytest.mark.parametrize("kind", Trouble)
def test_each_kind_of_problem_has_words_for_both(kind: Trouble) -> None:
    TROUBLES[kind]()
    it = situation.read()
    assert it is not None
    assert [problem.kind for problem in it.problems] == [kind]
    assert it.headline.tone in ("bad", "warn")
    assert call("failover_status")[0] == 1


def test_nothing_but_a_swap_is_busy_without_a_problem() -> None:
    pair.swapping()
    it = situation.read()
    assert it is not None
    assert (it.headline.tone, it.problems) == ("busy", ())


def test_an_equal_role_seen_once_is_neither_safe_nor_a_problem() -> None:
    conflict_seen_once()
    it = situation.read()
    assert it is not None
    assert (it.headline.tone, it.problems) == ("busy", ())


def test_a_data_sync_of_an_earlier_relationship_makes_nobody_safe() -> None:
    pair.backup()
    FailoverRelationship.objects.update(established_at=timezone.now())
    SyncRun.objects.update(started_at=timezone.now() - dt.timedelta(minutes=5))
    it = situation.read()
    assert it is not None
    assert (it.lag, it.headline.title) == (None, "Not safe yet: never synchronised")


def test_both_appliances_tell_the_same_age_after_a_swap() -> None:
    """The new primary pulled when it was backup; the new backup knows it from its peer."""
    at = timezone.now() - dt.timedelta(minutes=4)
    pair.paired(State.P_ACTIVE, State.B_IDLE, last_sync_at=None, last_sync_status="")
    pair.sync_run(status=SyncStatus.SUCCESS, reflects_at=at)
    assert overview.now().last_sync == overview.LastSync(at, "success")
    PeerView.objects.update(status={"last_sync_at": at.timestamp(), "last_sync_status": "success"})
    SyncRun.objects.all().delete()
    RoleJournal.objects.update(state=State.B_IDLE)
    assert overview.now().last_sync == overview.LastSync(at, "success")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("The disk is nearly full: 1 GB.", "site2.example.com reports a problem: The disk is nearly full: 1 GB."),
        (
            "The web server of this appliance does not answer.",
            "site2.example.com reports a problem: The web server of site2.example.com does not answer.",
        ),
        (
            "This appliance is cut off: the peer does not answer.",
            "site2.example.com reports a problem: site2.example.com is cut off: site1.example.com does not answer.",
        ),
    ],
)
def test_what_the_peer_says_of_itself_is_not_taken_for_this_appliance(said: str, told: str) -> None:
    pair.paired(healthy=False, health_message=said)
    assert [problem.sentence for problem in overview.now().problems] == [told]


def test_a_superseded_peer_is_told_once() -> None:
    pair.paired(peer_state=State.P_SUPERSEDED, healthy=False, health_message="The peer has taken the role over.")
    assert [problem.kind for problem in overview.now().problems] == [Trouble.PEER_SUPERSEDED]
