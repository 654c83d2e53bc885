"""The headline: am I safe, who is primary, what would be lost now."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from appliances.choices import ChangeKind, ChangeStatus, ProbeOutcome, Role, State, SyncStatus
from appliances.models import BackupSettings, FailoverRelationship
from sync import overview, situation
from sync.models import PeerView, RoleChange, SyncRun
from tests.sync import pair

pytestmark = pytest.mark.django_db


def headline() -> situation.Headline:
    it = situation.read()
    assert it is not None
    return it.headline


def test_without_a_relationship_there_is_no_situation() -> None:
    assert situation.read() is None


def test_a_fresh_backup_is_safe_and_the_loss_is_the_age_of_its_copy() -> None:
    pair.paired()
    assert headline().tone == "good"
    assert "site1.example.com serves" in headline().title
    assert "in the last 4 min" in headline().detail


def test_a_pair_that_never_synchronised_is_not_safe() -> None:
    pair.paired(last_sync_at=None)
    assert (headline().tone, "everything" in headline().detail) == ("warn", True)


def test_a_silent_peer_is_loud_on_both_sides() -> None:
    pair.paired()
    pair.silent()
    assert (headline().tone, headline().title) == ("bad", "No backup: site2.example.com does not answer")
    assert "What changed in the last 4 min is on this appliance alone." in headline().detail


def test_after_a_take_over_what_the_old_primary_took_in_last_is_not_said_to_be_here() -> None:
    pair.paired(peer_state=State.P_ACTIVE)
    pair.silent()
    assert headline().title == "No backup: site2.example.com does not answer"
    assert "alone" not in headline().detail
    assert (
        "What site2.example.com took in after the last data-sync, 4 min ago, is not here until it is back."
        in headline().detail
    )


def test_a_backup_beside_a_silent_backup_says_that_nobody_is_known_to_serve() -> None:
    pair.backup(header={"state": State.B_IDLE, "term": 4, "op": None})
    pair.silent()
    assert headline().title == "No primary: site2.example.com does not answer"
    assert "it was backup too" in headline().detail
    assert "lose" not in headline().detail
    known = overview.now()
    assert next(problem.sentence for problem in known.problems) == (
        "No appliance is known to serve: this one is backup, and site2.example.com, which does not answer, "
        "was backup too."
    )


def test_the_latest_answer_being_old_counts_as_silence() -> None:
    pair.paired()
    PeerView.objects.update(answered_at=timezone.now() - overview.SILENT_AFTER - dt.timedelta(seconds=1))
    assert "does not answer" in headline().title


def test_the_same_role_on_both_is_a_conflict_once_it_was_seen_twice() -> None:
    pair.conflict()
    assert headline().title == "Conflict: both appliances are Primary"
    PeerView.objects.update(same_role_polls=1)
    assert headline().title == "The roles are being settled"


def test_both_backup_during_a_swap_is_not_a_conflict() -> None:
    pair.swapping()
    said = PeerView.load().status
    said["header"]["state"] = State.P_ACTIVE
    PeerView.objects.update(status=said)
    assert headline().tone == "busy"


def test_a_copy_older_than_two_intervals_is_behind() -> None:
    pair.paired(last_sync_at=(timezone.now() - dt.timedelta(hours=2)).timestamp())
    assert headline().title == "The backup is behind"


def test_backup_operations_that_are_off_are_said() -> None:
    pair.backup()
    BackupSettings.objects.update_or_create(pk=1, defaults={"enable_backup_operations": False})
    assert headline().title == "Backup operations are off"


def test_a_failed_data_sync_is_said_with_its_reason() -> None:
    pair.backup()
    pair.sync_run(status=SyncStatus.FAILED, message="The disk is full.")
    assert "The disk is full." in headline().detail


def test_a_backup_says_whether_it_takes_over_from_a_silent_primary() -> None:
    pair.backup()
    pair.silent()
    assert "Nobody takes over by itself: if site2.example.com is down, press Become Primary." in headline().detail
    BackupSettings.objects.update_or_create(defaults={"enable_automatic_failover": True})
    PeerView.objects.update(decision={"verdict": "count_down", "reason": "It is silent.", "seconds_left": 45.2})
    assert "It takes over by itself in 45 s." in headline().detail
    PeerView.objects.update(decision={"verdict": "hold", "reason": "No test IP answers.", "seconds_left": None})
    assert "It does not take over by itself now: No test IP answers." in headline().detail


def test_a_peer_that_refuses_is_bad_but_not_silent() -> None:
    pair.paired()
    PeerView.objects.update(outcome=ProbeOutcome.REFUSED, detail="The keys differ.")
    assert "do not agree" in headline().title


@pytest.mark.parametrize(
    "said", [{}, {"header": 3}, {"header": {"state": "?"}}, {"last_sync_at": "x"}, {"product": None}]
)
def test_nonsense_from_the_peer_is_shown_as_unknown(said: dict[str, object]) -> None:
    pair.paired()
    PeerView.objects.update(status=said)
    it = situation.read()
    assert it is not None
    assert it.headline.title
    assert it.peer.role == "none"


def test_the_first_data_sync_running_is_busy() -> None:
    pair.backup(last_sync_at=None)
    SyncRun.objects.all().delete()
    pair.sync_run()
    assert headline().title == "The first data-sync is running"


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (dt.timedelta(seconds=8.9), "8 s"),
        (dt.timedelta(minutes=1, seconds=54), "1 min 54 s"),
        (dt.timedelta(minutes=3), "3 min"),
        (dt.timedelta(minutes=23, seconds=5), "23 min"),
        (dt.timedelta(hours=2, minutes=5), "2 h 5 min"),
        (dt.timedelta(days=4), "4 days"),
        (dt.timedelta(seconds=-5), "0 s"),
    ],
)
def test_durations_read_as_people_say_them(span: dt.timedelta, text: str) -> None:
    assert overview.ago(span) == text


def test_a_superseded_primary_keeps_saying_that_it_does_not_serve_and_what_to_do() -> None:
    pair.paired(State.P_SUPERSEDED, State.P_ACTIVE)
    PeerView.objects.update(same_role_polls=9)
    it = situation.read()
    assert it is not None
    assert (it.headline.tone, it.headline.title) == ("bad", "site1.example.com has been superseded")
    assert "does not serve: site2.example.com is primary. Press Become Backup here" in it.headline.detail
    assert (it.this.chip, it.this.chip_role) == ("Superseded", "none")
    assert it.primary == it.peer
    assert not it.is_conflict


def test_the_one_that_serves_after_a_take_over_says_that_the_other_no_longer_does() -> None:
    pair.paired(State.P_ACTIVE, State.P_SUPERSEDED)
    PeerView.objects.update(same_role_polls=9)
    it = situation.read()
    assert it is not None
    assert it.headline.title == "site1.example.com serves; site2.example.com no longer does"
    assert it.peer.chip == "Superseded"
    assert it.primary == it.this
    assert not it.is_conflict


def test_a_relationship_that_has_just_begun_is_no_alarm_until_the_first_answer_is_due() -> None:
    pair.paired()
    PeerView.objects.all().delete()
    FailoverRelationship.objects.update(established_at=timezone.now())
    it = situation.read()
    assert it is not None
    assert (it.headline.tone, it.peer.chip) == ("busy", "Not asked yet")
    assert "is asked within seconds" in it.headline.detail
    FailoverRelationship.objects.update(established_at=timezone.now() - dt.timedelta(seconds=11))
    assert (headline().tone, "does not answer" in headline().title) == ("bad", True)


def test_a_refusal_for_the_key_says_where_to_go() -> None:
    pair.paired()
    PeerView.objects.update(outcome=ProbeOutcome.REFUSED, code="key_differs", detail="The keys differ.")
    assert "Compare the key under Management > Security on both." in headline().detail


@pytest.mark.parametrize(("target", "is_shown"), [(Role.PRIMARY, True), (Role.BACKUP, False)])
def test_a_role_change_is_shown_only_while_its_role_is_still_held(target: Role, is_shown: bool) -> None:
    pair.paired()
    RoleChange.objects.create(
        kind=ChangeKind.STEP_DOWN, target_role=target, status=ChangeStatus.COMPLETED, finished_at=timezone.now()
    )
    it = situation.read()
    assert it is not None
    assert (it.recent_change is not None) == is_shown


def test_after_a_forced_take_over_the_loss_is_counted_from_the_copy_that_this_appliance_pulled() -> None:
    pair.paired(last_sync_at=(timezone.now() - dt.timedelta(minutes=3)).timestamp())
    pair.sync_run(status=SyncStatus.SUCCESS, reflects_at=timezone.now() - dt.timedelta(seconds=6))
    pair.silent()
    assert "in the last 6 s" in headline().detail or "in the last 7 s" in headline().detail
