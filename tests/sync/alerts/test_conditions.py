"""Each condition: provoked it is mailed once, gone it is mailed once as over."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.utils import timezone

from appliances.choices import (
    BrakeSubject,
    FileProblem,
    FolderState,
    OperationKind,
    ProbeOutcome,
    RepairState,
    State,
    SyncStatus,
)
from appliances.models import BackupSettings, FailoverRelationship, IPConfig, SharedIP
from sync import health, history, journal
from sync.datasync import brake
from sync.health import Health
from sync.models import AlertMail, DamagedFile, PeerView, RoleJournal, StatusEvent
from sync.peer import identity
from tests.sync import pair
from tests.sync.alerts.world import World

pytestmark = pytest.mark.django_db
TEST_IP = "192.0.2.1"


def braked(subject: BrakeSubject) -> Callable[[], object]:
    return lambda: brake.stop(subject, "0" * 64, "all 9 accounts")


def released() -> None:
    brake.clear(*BrakeSubject)


@dataclass(frozen=True)
class Case:
    """`bad` and `good` put this appliance in and out of the condition; `seconds` is how long it must last."""

    code: str
    before: Callable[[], object]
    bad: Callable[[], object]
    good: Callable[[], object]
    subject: str
    seconds: float = 15


def view(**fields: object) -> Callable[[], object]:
    return lambda: PeerView.objects.update(**fields)


def wishes(**fields: object) -> Callable[[], object]:
    return lambda: BackupSettings.objects.update_or_create(pk=1, defaults=fields)


def said(**fields: object) -> Callable[[], object]:
    def change() -> None:
        row = PeerView.objects.get(pk=1)
        row.status = {**row.status, **fields}
        row.save()

    return change


def answers() -> None:
    now = timezone.now()
    PeerView.objects.update(
        outcome=ProbeOutcome.ANSWERED,
        answered_at=now,
        answered_boottime=journal.boottime(),
        consecutive_failures=0,
        detail="",
        test_rounds=[True] * 3,
    )


def silent() -> None:
    pair.silent()
    PeerView.objects.update(consecutive_failures=3, answered_boottime=journal.boottime() - 9)


def with_test_ip() -> None:
    pair.backup()
    wishes(connectivity_test_ips=TEST_IP)()
    answers()


def cut_off() -> None:
    silent()
    PeerView.objects.update(test_rounds=[False] * 3)


def primary() -> None:
    pair.paired(State.P_ACTIVE)
    pulled(0)()


def pulled(minutes: float) -> Callable[[], object]:
    return lambda: FailoverRelationship.objects.update(last_pulled_at=timezone.now() - dt.timedelta(minutes=minutes))


def both_primary() -> None:
    pair.paired(State.P_ACTIVE, State.P_ACTIVE)
    pulled(0)()


def in_state(state: State, seconds: float = 0) -> Callable[[], object]:
    return lambda: RoleJournal.objects.update(state=state, op_kind="", since_boottime=journal.boottime() - seconds)


def yielded() -> None:
    in_state(State.B_YIELDED, 61)()
    RoleJournal.objects.update(op_kind=OperationKind.YIELDED, op_term=4, op_number=1, op_new_term=5)


def took_over() -> None:
    in_state(State.P_ACTIVE)()
    history.record("role.20", "This appliance took over.")


def corruption() -> None:
    history.record("corruption", "1 rows of appliances.Recording had one id and different contents.")


def corruption_past() -> None:
    StatusEvent.objects.filter(event="corruption").update(at=timezone.now() - dt.timedelta(days=2))


def file_lost() -> None:
    DamagedFile.objects.create(blob_id="ab" * 32, name="a.txt", problem=FileProblem.CORRUPT, state=RepairState.LOST)


def file_mended() -> None:
    DamagedFile.objects.update(state=RepairState.REPAIRED, ended_at=timezone.now())


def failed_syncs() -> None:
    for _ in range(3):
        pair.sync_run(status=SyncStatus.FAILED, message="The disk of this appliance is full.")


def healthy(is_healthy: bool) -> Callable[[], object]:
    return lambda: health.write(Health(is_healthy, "" if is_healthy else "The database does not accept writes."))


def with_shared_ip() -> None:
    """This primary has a shared IP: it is ticked, listed, enabled and really on its interface."""
    primary()
    IPConfig.objects.create(address="127.0.0.1", prefix_length=8, interface="lo", enabled=True)
    SharedIP.objects.create(address="127.0.0.1")


def shared_ip(**fields: object) -> Callable[[], object]:
    return lambda: IPConfig.objects.update(**fields)


CASES = (
    Case(
        "shared_ip_off",
        with_shared_ip,
        shared_ip(enabled=False),
        shared_ip(enabled=True),
        "A shared IP is not enabled on the primary",
    ),
    Case(
        "shared_ip_off",
        with_shared_ip,
        shared_ip(interface="eth9"),
        shared_ip(interface="lo"),
        "A shared IP is not enabled on the primary",
    ),
    Case(
        "shared_ip_unlisted",
        with_shared_ip,
        lambda: IPConfig.objects.update(address="127.0.0.2"),
        lambda: IPConfig.objects.update(address="127.0.0.1"),
        "A shared IP is not among the addresses of site1.example.com: 127.0.0.1",
    ),
    Case("product_mismatch", primary, said(build="2.0.0 (b)"), said(build=identity.product_build()), "versions"),
    Case("cut_off", with_test_ip, cut_off, answers, "Neither the primary site2.example.com nor any test IP"),
    Case("no_test_ip", with_test_ip, view(test_rounds=[False] * 3), view(test_rounds=[True]), "test IP answers"),
    Case("primary_silent", pair.backup, silent, answers, "The primary site2.example.com does not answer"),
    Case(
        "backup_off",
        pair.backup,
        wishes(enable_backup_operations=False),
        wishes(enable_backup_operations=True),
        "Backup operations are disabled",
    ),
    Case("unwell", pair.backup, healthy(False), healthy(True), "This backup is malfunctioning", 25),
    Case("unwell", primary, healthy(False), healthy(True), "This primary is malfunctioning", 25),
    Case(
        "by_name",
        pair.backup,
        view(by_name={"name": "site2.example.com", "failures": 2, "problem": "The name leads to no address."}),
        view(by_name={"name": "site2.example.com", "failures": 0, "problem": ""}),
        "not reachable by its host name site2.example.com",
    ),
    Case("not_pulled", primary, pulled(61), pulled(1), "No backup has pulled data for 1 h 1 min"),
    Case(
        "conflict",
        both_primary,
        view(same_role_polls=2),
        said(header={"state": State.B_IDLE, "op": None}),
        "both appliances are primary",
    ),
    Case(
        "superseded",
        both_primary,
        in_state(State.P_SUPERSEDED),
        in_state(State.B_IDLE),
        "site1.example.com was superseded by site2.example.com",
    ),
    Case("not_serving", primary, in_state(State.P_UNCONFIRMED, 100), in_state(State.P_ACTIVE), "does not serve"),
    Case("grant_unanswered", pair.backup, yielded, in_state(State.B_IDLE), "has not taken the primary role"),
    Case("took_over", pair.backup, took_over, pulled(0), "became primary because"),
    Case("refused", pair.backup, view(outcome=ProbeOutcome.REFUSED, detail="Another key."), answers, "do not agree"),
    Case("refused", primary, view(outcome=ProbeOutcome.REFUSED, detail="Another key."), answers, "do not agree", 130),
    Case("backup_silent", primary, silent, answers, "The backup site2.example.com does not answer", 310),
    Case("peer_unwell", primary, said(healthy=False, health_message="Full."), said(healthy=True), "malfunction", 310),
    Case("corruption", pair.backup, corruption, corruption_past, "contradict"),
    Case("corruption", primary, corruption, corruption_past, "contradict"),
    Case(
        "folder",
        pair.backup,
        lambda: pair.folder(FolderState.FAILED, message="The disk of the folder is full on the backup."),
        lambda: pair.folder(FolderState.EQUAL),
        "A folder is not as on the primary",
    ),
    Case("lost_files", pair.backup, file_lost, file_mended, "damaged on both"),
    Case("lost_files", primary, file_lost, file_mended, "damaged on both"),
    Case("sync_failing", pair.backup, failed_syncs, lambda: pair.sync_run(status=SyncStatus.SUCCESS), "succeed"),
    Case("brake", pair.backup, braked(BrakeSubject.SETTINGS), released, "A data-sync waits for you"),
    Case("brake", primary, braked(BrakeSubject.RETENTION), released, "The retention waits for you"),
    Case("brake", primary, braked(BrakeSubject.RECORDS), released, "A data-sync waits for you"),
)


def kept_lines(case: Case, mail: AlertMail) -> None:
    """What every mail has: who, where, no holes, nothing that the templates left behind."""
    assert mail.subject.startswith("[site1.example.com] ")
    assert "https://site1.example.com:8443/login/management/failover/" in mail.text
    assert "Sent by the appliance site1.example.com of the site" in mail.text
    for left_over in ("{", "}", "None", "  ", " .", "..", "&", "is this old: no"):
        assert left_over not in mail.text, (left_over, mail.text)
    assert all(len(line) <= 100 for line in mail.text.splitlines())


@pytest.mark.parametrize("case", CASES, ids=[f"{case.code} {number}" for number, case in enumerate(CASES)])
def test_each_is_mailed_once_and_once_when_it_is_over(case: Case) -> None:
    world = World(is_healthy=case.code != "unwell")
    case.before()
    assert world.events(400) == [], "nothing is told of a good pair"
    case.bad()
    [begun] = world.wait(case.seconds)
    assert begun.event == f"{case.code}.begun"
    assert case.subject in begun.subject
    assert [word in begun.text for word in ("WHAT HAPPENED:", "SINCE:", "WHAT HAPPENS NEXT:", "WHAT TO DO:")] == [
        True
    ] * 4
    assert world.events(3600) == [], "once"
    world.restart()
    assert world.events(3600) == [], "once, also after a restart"
    case.good()
    [ended] = world.wait(15)
    assert ended.event == f"{case.code}.ended"
    assert ended.subject.startswith("[site1.example.com] All well again: ")
    assert world.events(3600) == []
    for mail in (begun, ended):
        kept_lines(case, mail)


@pytest.mark.parametrize("case", CASES, ids=[f"{case.code} {number}" for number, case in enumerate(CASES)])
def test_what_comes_and_goes_within_a_second_is_not_mailed(case: Case) -> None:
    if case.code in ("primary_silent", "took_over"):
        return  # three silent looks in a row have passed by then; a take-over is no passing thing
    world = World(is_healthy=case.code != "unwell")
    case.before()
    world.wait(20)
    for _ in range(6):
        case.bad()
        assert world.events(1) == []
        case.good()
        world.now += 1
        assert world.look() == []


def test_with_a_cut_line_only_that_is_told_and_not_the_silence_too() -> None:
    world = World()
    with_test_ip()
    PeerView.objects.update(test_rounds=[True, False])
    silent()
    PeerView.objects.update(test_rounds=[True, True, False])
    assert world.events(2) == []
    cut_off()
    assert world.events(5) == ["cut_off.begun"]
    PeerView.objects.update(test_rounds=[False, True, True])
    assert world.events(30) == [], "the line is back, and the primary has not been asked yet"
    PeerView.objects.update(test_rounds=[True, True, True])
    assert world.events(30) == ["primary_silent.begun"], "it takes the place of the other"
    answers()
    assert world.events(30) == ["primary_silent.ended"]


def test_a_role_change_ends_what_belongs_to_the_old_role() -> None:
    world = World()
    pair.backup()
    wishes(enable_backup_operations=False)()
    assert world.events() == ["backup_off.begun"]
    in_state(State.P_ACTIVE)()
    pulled(0)()
    [mail] = world.wait(15)
    assert mail.event == "backup_off.lapsed"
    assert mail.subject == "[site1.example.com] No longer applies: Backup operations are disabled"
    assert "site1.example.com is primary now" in mail.text


def test_what_flaps_is_told_three_times_and_then_only_when_it_stays_away() -> None:
    world = World()
    pair.backup()
    told = []
    for _ in range(10):
        wishes(enable_backup_operations=False)()
        told += world.events(20)
        wishes(enable_backup_operations=True)()
        told += world.events(20)
    assert told == ["backup_off.begun", "backup_off.ended"] * 2 + ["backup_off.begun"]
    assert world.events(601) == ["backup_off.ended"]


def test_nothing_is_told_during_a_planned_swap() -> None:
    pair.swapping()
    PeerView.objects.update(same_role_polls=5)
    health.write(Health(False, "Busy."))
    assert World(is_healthy=False).events(400) == []


def test_a_relationship_that_was_left_ends_its_episodes_without_a_word() -> None:
    world = World()
    pair.backup()
    wishes(enable_backup_operations=False)()
    world.wait(15)
    FailoverRelationship.objects.all().delete()
    assert world.events() == []
    primary()
    assert world.events() == []


def test_the_threshold_is_that_of_the_primary() -> None:
    world = World()
    primary()
    wishes(pull_alert_after=dt.timedelta(minutes=5))()
    pulled(4)()
    assert world.events() == []
    pulled(6)()
    [mail] = world.wait(15)
    assert "No backup has pulled data for 6 min" in mail.subject
    assert "You are told after 5 min" in " ".join(mail.text.split())


def test_who_has_the_shared_ip_is_told_where_that_keeps_a_primary_from_serving() -> None:
    world = World()
    primary()
    in_state(State.P_UNCONFIRMED, 100)()
    history.record("role.5", "The shared IP address is in use by 02:00:5e:00:53:07.")
    [mail] = world.wait(15)
    assert mail.event == "not_serving.begun"
    assert "The shared IP address is in use by 02:00:5e:00:53:07." in " ".join(mail.text.split())


def test_a_new_primary_does_not_complain_of_the_time_when_it_was_backup() -> None:
    world = World()
    primary()
    pulled(600)()
    event = history.record("role.14", "This appliance is primary.")
    type(event).objects.update(role="backup", at=timezone.now() - dt.timedelta(minutes=10))
    assert world.events() == []


@pytest.mark.parametrize(
    ("can_serve", "says"), [(True, "goes on serving: this is no reason to stop"), (False, "stops serving, so that")]
)
def test_a_primary_that_is_not_well_says_whether_it_stops_for_it(can_serve: bool, says: str) -> None:
    primary()
    health.write(Health(False, "It is not well.", can_serve=can_serve))
    [mail] = World(is_healthy=False).wait(25)
    text = " ".join(mail.text.split())
    assert says in text
    assert ("stops serving" in text) is not can_serve


@pytest.mark.parametrize(("after", "says"), [(None, "Even without"), (180.0, "must take itself for cut off")])
def test_a_primary_without_test_ips_says_that_it_stops_only_where_the_backup_may_take_over(
    after: float | None, says: str
) -> None:
    primary()
    wishes(connectivity_test_ips=TEST_IP)()
    said(takeover_after=after)()
    view(test_rounds=[False] * 3)()
    texts = [" ".join(mail.text.split()) for mail in World().wait(25) if mail.event == "no_test_ip.begun"]
    assert [says in text for text in texts] == [True]


def test_a_primary_that_cannot_serve_sends_nobody_to_the_network() -> None:
    primary()
    in_state(State.P_UNCONFIRMED, 100)()
    health.write(Health(False, "The web server of this appliance does not answer.", can_serve=False))
    texts = [" ".join(mail.text.split()) for mail in World(is_healthy=False).wait(15)]
    [text] = [text for text in texts if "has stopped serving clients" in text]
    assert "it is malfunctioning" in text
    assert "Check the network" not in text


NOT_WELL_WHEN_SUPERSEDED = ("not_pulled", "unwell", "not_serving", "shared_ip_off", "conflict", "took_over")


@pytest.mark.parametrize("code", NOT_WELL_WHEN_SUPERSEDED)
def test_who_is_superseded_does_not_say_that_all_is_well(code: str) -> None:
    case = next(case for case in reversed(CASES) if case.code == code)
    world = World(is_healthy=code != "unwell")
    case.before()
    case.bad()
    assert f"{code}.begun" in world.events(case.seconds)
    said(header={"state": State.P_ACTIVE, "op": None})()
    in_state(State.P_SUPERSEDED)()
    health.write(Health(False, "The peer has taken the primary role over; this appliance has stopped serving."))
    world.is_healthy = False
    told = [event for _ in range(12) for event in world.events(10)]
    assert told == ["superseded.begun"], "one mail tells it, and takes the place of the other"


@pytest.mark.parametrize("code", ["primary_silent", "cut_off"])
def test_an_answer_that_cannot_be_trusted_is_not_called_well(code: str) -> None:
    case = next(case for case in CASES if case.code == code)
    world = World()
    case.before()
    case.bad()
    assert world.events() == [f"{code}.begun"]
    view(outcome=ProbeOutcome.REFUSED, detail="Another key.", test_rounds=[True] * 3)()
    assert world.events(15) + world.events(60) == ["refused.begun"]


def test_that_no_backup_pulls_is_not_told_while_the_peer_waits_for_a_choice() -> None:
    world = World()
    primary()
    said(header={"state": State.P_SUPERSEDED, "op": None})()
    answers()
    pulled(600)()
    assert world.events(60) == []
    silent()
    assert "not_pulled.begun" in world.events(60), "it is gone: then this is news"


def test_a_peer_that_waits_as_superseded_is_neither_called_healthy_nor_a_conflict_resolved() -> None:
    world = World()
    both_primary()
    said(healthy=False, health_message="Full.")()
    view(same_role_polls=2)()
    assert sorted(world.events(310)) == ["conflict.begun", "peer_unwell.begun"]
    said(header={"state": State.P_SUPERSEDED, "op": None})()
    answers()
    assert world.events(60) == []
    said(header={"state": State.B_IDLE, "op": None}, healthy=True)()
    answers()
    assert sorted(world.events(60)) == ["conflict.ended", "peer_unwell.ended"]


def test_with_no_test_ip_left_nobody_says_that_one_answers() -> None:
    world = World()
    with_test_ip()
    view(test_rounds=[False] * 3)()
    assert world.events() == ["no_test_ip.begun"]
    wishes(connectivity_test_ips="")()
    [mail] = world.wait(15)
    assert mail.event == "no_test_ip.lapsed"
    assert "No network connectivity test IP is set" in " ".join(mail.text.split())


def test_a_take_over_of_last_week_lapses_and_its_subject_reads_well() -> None:
    world = World()
    primary()
    history.record("role.20", "This appliance took over.")
    assert "took_over.begun" in world.events()
    StatusEvent.objects.filter(event="role.20").update(at=timezone.now() - dt.timedelta(days=8))
    [mail] = world.wait(15)
    assert mail.event == "took_over.lapsed"
    assert mail.subject == "[site1.example.com] No longer applies: the take-over by site1.example.com"


def test_a_silent_backup_beside_a_backup_is_not_called_the_primary() -> None:
    world = World()
    pair.backup(header={"state": State.B_IDLE, "term": 4, "op": None})
    world.wait(20)
    silent()
    [begun] = world.wait(10)
    assert begun.subject == "[site1.example.com] No primary: site2.example.com does not answer, and was backup too"
    assert "nobody is known to serve clients" in " ".join(begun.text.split())
    assert "The primary" not in begun.text
    answers()
    [ended] = world.wait(15)
    assert "site2.example.com answers again. site1.example.com is still backup, and so is" in " ".join(
        ended.text.split()
    )
