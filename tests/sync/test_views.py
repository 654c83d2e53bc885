"""The Failover and Security pages in every situation, for everybody."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from appliances import selectors
from appliances.choices import (
    BrakeSubject,
    EstablishStep,
    FolderState,
    ProbeOutcome,
    Role,
    State,
    SyncStage,
    SyncStatus,
)
from appliances.models import Account, BackupSettings, FailoverRelationship, IPConfig, SharedIP
from appliances.services import keys
from sync import journal
from sync.datasync import brake
from sync.errors import EstablishRefused
from sync.models import BrakeStop, PeerView, RoleChange, RoleJournal, SyncRun
from sync.rules.timing import Entered
from sync.views import steps
from tests.sync import pair

pytestmark = pytest.mark.django_db
PAGE = "/login/management/failover/"
KEY_PAGE = "/login/management/security/"
SITUATIONS = [
    "alone",
    "primary",
    "backup",
    "syncing",
    "shared IP",
    "silent primary",
    "silent backup",
    "silent superseded",
    "swap",
    "conflict",
    "unseen",
]


@pytest.fixture(autouse=True)
def quick_stretching(settings: Settings) -> None:
    settings.INTER_APPLIANCE_KEY_SCRYPT_N = 1024


def put(situation: str) -> None:
    """Bring this appliance into the situation of that name."""
    match situation:
        case "primary":
            pair.paired()
        case "backup":
            pair.backup()
        case "syncing":
            pair.backup()
            pair.sync_run()
        case "shared IP":
            pair.paired()
            SharedIP.objects.create(address="192.0.2.252")
            IPConfig.objects.create(address="192.0.2.252", prefix_length=24, interface="lo")
        case "silent primary":
            pair.paired()
            pair.silent()
        case "silent backup":
            pair.backup()
            pair.silent()
        case "silent superseded":
            pair.paired(State.P_SUPERSEDED, State.P_ACTIVE)
            pair.silent()
        case "swap":
            pair.swapping()
        case "conflict":
            pair.conflict()
        case "unseen":
            pair.paired()
            PeerView.objects.all().delete()


def client_of(account: Account | None = None) -> Client:
    client = Client(SERVER_NAME="site1.example.com")
    if account:
        client.force_login(account, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def admin() -> Client:
    return client_of(Account.objects.create_superuser("admin", password="x"))


@pytest.fixture
def reader() -> Client:
    return client_of(Account.objects.create_user("reader", password="x", is_staff=True))


@pytest.fixture
def operator() -> Client:
    account = Account.objects.create_user("operator", password="x", is_staff=True)
    account.user_permissions.add(Permission.objects.get(codename="switch_roles"))
    return client_of(account)


def text(response: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def assert_nothing_inline(response: Any) -> None:
    """No style or script that the policy would block; no address outside but the peer's."""
    html = response.content.decode()
    assert not re.search(r"<[^>]+\sstyle\s*=", html)
    assert not re.search(r"<[^>]+\son[a-z]+\s*=", html)
    assert "<style" not in html
    assert not re.search(r"<script(?![^>]*\ssrc=)", html)
    assert "javascript:" not in html
    assert all(
        url.startswith("https://10.0.4.12:8443/") for url in re.findall(r'(?:src|href|action)="(https?:[^"]*)', html)
    )
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("who", ["admin", "operator"])
def test_every_page_renders_in_every_situation(situation: str, who: str, request: pytest.FixtureRequest) -> None:
    client: Client = request.getfixturevalue(who)
    put(situation)
    for path in (PAGE, "/login/", KEY_PAGE, "/login/my-account/", "/login/nowhere/"):
        response = client.get(path)
        assert response.status_code == (404 if "nowhere" in path else 200), path
        assert_nothing_inline(response)
        assert "site1.example.com" in text(response)


def test_a_reader_is_disconnected_while_a_final_data_sync_runs(reader: Client) -> None:
    put("swap")
    response = reader.get(PAGE)
    assert response.status_code == 503
    assert_nothing_inline(response)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_confirmations_render_or_lead_back(situation: str, admin: Client) -> None:
    put(situation)
    for path in ("role-change/", "role-change/?want_final_sync=1", "role-change/?without_peer=1", "break/"):
        response = admin.get(PAGE + path)
        assert response.status_code in (200, 302), path
        if response.status_code == 200:
            assert_nothing_inline(response)
            assert "Nothing has happened yet" in text(response)


def test_the_frame_says_which_box_and_which_role(admin: Client) -> None:
    pair.backup()
    html = admin.get(PAGE).content.decode()
    assert '<html lang="en" data-role="backup">' in html
    assert "Failover · site1.example.com (Backup)</title>" in html
    assert "favicon-backup" in html
    assert 'href="https://10.0.4.12:8443/login/management/failover/"' in html


def test_tabs_that_make_no_sense_on_a_backup_disappear(admin: Client) -> None:
    pair.paired()
    assert "Users &amp; Security" in admin.get("/login/").content.decode()
    selectors.relationship().delete()  # type: ignore[union-attr]
    RoleJournal.objects.update(state=State.B_IDLE)
    html = admin.get("/login/").content.decode()
    assert "Users &amp; Security" not in html
    assert "Management" in html


def test_everything_that_is_shown_is_escaped(admin: Client) -> None:
    pair.paired(host_name="<b>peer</b>")
    html = admin.get(PAGE).content.decode()
    assert "<b>peer</b>" not in html
    assert "&lt;admin&gt;" in html


# --- The live parts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("situation", [s for s in SITUATIONS if s != "alone"])
def test_the_poll_answers_in_every_situation(situation: str, admin: Client) -> None:
    put(situation)
    response = admin.get(PAGE + "live/?shape=other&event=0")
    assert response.status_code == 200
    assert_nothing_inline(response)
    assert 'id="live"' in response.content.decode()


@pytest.mark.parametrize(
    "query", ["", "?event=x", "?event=-1", "?event=" + "9" * 400, "?shape=%00&event=²", "?event=1&event=2"]
)
def test_the_poll_takes_any_query(query: str, admin: Client) -> None:
    pair.paired()
    assert admin.get(PAGE + "live/" + query).status_code == 200


def test_controls_come_only_when_the_situation_took_another_shape(admin: Client) -> None:
    pair.paired()
    shape = re.search(r"shape=([^&]+)&", admin.get(PAGE).content.decode())
    assert shape
    same = admin.get(f"{PAGE}live/?shape={shape[1]}&event=999999").content.decode()
    assert 'id="controls"' not in same
    assert 'id="sync-live"' in same
    pair.silent()
    other = admin.get(f"{PAGE}live/?shape={shape[1]}&event=999999").content.decode()
    assert 'id="controls"' in other
    assert 'id="identity"' in other
    assert "Break Failover Relationships…" in other


def test_new_events_come_with_the_poll(admin: Client) -> None:
    pair.paired()
    assert "The relationship was established." in admin.get(PAGE + "live/?event=0").content.decode()
    assert "The relationship was established." not in admin.get(PAGE + "live/?event=999999").content.decode()


def test_the_poll_answers_when_the_session_has_ended() -> None:
    pair.paired()
    response = client_of().get(PAGE + "live/?shape=x")
    assert response.status_code == 200
    assert "/login/login/?next=/login/management/failover/" in response.content.decode()
    assert "hx-trigger" not in response.content.decode()
    assert "site2" not in response.content.decode()


def test_the_page_reloads_itself_when_the_relationship_comes_or_goes(admin: Client) -> None:
    assert admin.get(PAGE + "live/?shape=none").headers.get("HX-Refresh") is None
    assert admin.get(PAGE + "live/?shape=x").headers["HX-Refresh"] == "true"
    pair.paired()
    assert admin.get(PAGE + "live/?shape=none").headers["HX-Refresh"] == "true"


def test_progress_of_a_data_sync_has_bytes_objects_rate_and_time_left(admin: Client) -> None:
    put("syncing")
    shown = text(admin.get(PAGE))
    for part in ("14.2 MB of 38.5 MB", "12 of 41 files", "2310 of 2310 rows", "MB/s", "left"):
        assert part in shown


def test_progress_at_the_very_start_and_beyond_the_end_renders(admin: Client) -> None:
    pair.backup()
    run = pair.sync_run(stage=SyncStage.MANIFEST, bytes_total=0, bytes_done=0, rows_total=0, rows_done=0)
    assert admin.get(PAGE).status_code == 200
    run.bytes_total, run.bytes_done = 10, 20
    run.save()
    assert admin.get(PAGE).status_code == 200


# --- Establish --------------------------------------------------------------------------------------------------------

ENTERED = {"peer_host": "127.0.0.1", "peer_port": "1", "reverse_host": "192.0.2.1", "reverse_port": "443"}


def test_a_refused_establishment_names_the_step_and_keeps_what_was_entered(admin: Client, settings: Settings) -> None:
    keys.set_inter_appliance_key(keys.generate_inter_appliance_key())
    settings.ALLOW_LOOPBACK_TARGETS = True
    response = admin.post(PAGE + "establish/", ENTERED)
    assert response.status_code == 200
    assert "The relationship was not established" in text(response)
    assert 'value="127.0.0.1"' in response.content.decode()
    assert selectors.relationship() is None
    assert_nothing_inline(response)


def test_the_steps_before_the_failed_one_are_ticked() -> None:
    marks = [step.mark for step in steps.of_establish(EstablishRefused(EstablishStep.KEY, "x"))]
    assert marks == ["done", "done", "done", "done", "failed", "todo", "todo", "todo", "todo"]


def test_errors_of_the_form_stand_beside_the_field(admin: Client) -> None:
    response = admin.post(PAGE + "establish/", {**ENTERED, "peer_host": "support.example.com", "peer_port": "99999"})
    assert "shared host name of the site" in text(response)
    assert 'aria-invalid="true"' in response.content.decode()


def test_a_pair_that_stands_is_not_established_again(admin: Client) -> None:
    pair.paired()
    assert admin.post(PAGE + "establish/", ENTERED).status_code == 302


# --- Role change ------------------------------------------------------------------------------------------------------


def test_becoming_primary_without_the_peer_needs_the_loss_accepted(admin: Client) -> None:
    put("silent backup")
    response = admin.post(PAGE + "role-change/", {"target": "primary"})
    assert response.status_code == 200
    assert "I accept the loss. The last good data-sync is 4 min old" in text(response)
    assert "not here until site2.example.com is back" in text(response), "it waits for a choice, nothing is overwritten"
    assert "will be lost" not in text(response)
    assert "Make site1.example.com the primary" in text(response)
    assert not RoleChange.objects.exists()


def test_a_peer_that_turned_silent_since_the_page_was_made_is_not_left_out_unasked(
    admin: Client, settings: Settings
) -> None:
    settings.ALLOW_LOOPBACK_TARGETS = True
    pair.backup()
    keys.set_inter_appliance_key(keys.generate_inter_appliance_key())
    FailoverRelationship.objects.update(peer_host="127.0.0.1", peer_port=9)
    response = admin.post(PAGE + "role-change/", {"target": "primary"}, follow=True)
    assert "The peer cannot be contacted. Nothing was changed." in text(response)
    assert journal.read().state == State.B_IDLE


def test_a_confirmation_for_a_role_that_is_held_already_changes_nothing(admin: Client) -> None:
    pair.paired()
    response = admin.post(PAGE + "role-change/", {"target": "primary"}, follow=True)
    assert "The roles have changed meanwhile" in text(response)
    assert not RoleChange.objects.exists()


def test_an_unreachable_peer_without_the_box_offers_no_button(admin: Client) -> None:
    put("silent primary")
    assert "Make site1.example.com the backup" not in text(admin.get(PAGE + "role-change/"))
    assert "Make site1.example.com the backup" in text(admin.get(PAGE + "role-change/?without_peer=1"))


def test_a_refused_role_change_shows_the_reason(admin: Client) -> None:
    put("silent primary")
    response = admin.post(PAGE + "role-change/", {"target": "backup"}, follow=True)
    assert 'class="notice bad"' in response.content.decode()
    assert not RoleChange.objects.filter(status="running").exists()


def test_cancel_without_a_role_change_says_so(admin: Client) -> None:
    pair.paired()
    assert "No role change is in progress" in text(admin.post(PAGE + "role-change/cancel/", follow=True))


def test_a_running_change_ticks_its_steps(admin: Client) -> None:
    put("swap")
    html = admin.get(PAGE).content.decode()
    assert html.count('<li class="done">') == 3
    assert html.count('<li class="now" aria-current="step">') == 1
    assert "Cancel the role change" in html
    assert "Become Backup…" not in html


def test_during_a_role_change_other_writes_are_refused(admin: Client) -> None:
    put("swap")
    assert admin.post(PAGE + "backup-settings/", {"every": "3", "unit": "hours"}).status_code == 409


def test_sync_now_that_cannot_reach_the_peer_says_why(admin: Client) -> None:
    put("silent primary")
    response = admin.post(PAGE + "sync-now/", follow=True)
    assert 'class="notice bad"' in response.content.decode()


# --- Backup settings --------------------------------------------------------------------------------------------------


def test_backup_settings_are_saved_on_a_backup_too(admin: Client) -> None:
    pair.backup()
    response = admin.post(
        PAGE + "backup-settings/",
        {"every": "3", "unit": "hours", "timeout_seconds": "60", "enable_backup_operations": "on"},
    )
    assert response.status_code == 302
    assert BackupSettings.load().data_sync_interval.total_seconds() == 3 * 3600


def test_wrong_backup_settings_come_back_with_the_reason(admin: Client) -> None:
    pair.paired()
    response = admin.post(PAGE + "backup-settings/", {"every": "70", "unit": "days"})
    assert "from 1 minute to 7 days" in text(response)
    assert '<details class="card" id="backup-settings" open>' in response.content.decode()


def test_what_is_typed_is_drawn_and_checked_before_it_is_saved(admin: Client) -> None:
    pair.backup()
    typed = {"every": "2", "unit": "days", "timeout_seconds": "60", "isolation_time": "50", "probe_interval": "x"}
    response = admin.get(PAGE + "backup-settings/check/", {**typed, "probe_interval": ""})
    assert_nothing_inline(response)
    assert "10.5 s more than the timeout of 60 s" in text(response)
    assert 'role="img"' in response.content.decode()
    assert "2 days" in text(response)
    shown = text(admin.get(PAGE + "backup-settings/check/", typed))
    assert "entered for Probe Interval cannot be used. The drawing shows the saved time there." in shown
    shown = text(admin.get(PAGE + "backup-settings/check/", {"every": "2", "unit": "days", "timeout_seconds": "10"}))
    assert "at the same moment at which the backup may begin: safe, with no reserve" in shown
    assert BackupSettings.load().primary_timeout.total_seconds() == 180


def test_the_page_says_which_times_hold_now(admin: Client) -> None:
    pair.paired()
    assert "does not take over by itself" in text(admin.get(PAGE))
    status = pair.full_status(State.B_IDLE, takeover_after=60.0, takeover_times=Entered(isolation=20.0))
    PeerView.objects.update(status=status)
    assert "cut off from everything, it stops within 40.5 s" in text(admin.get(PAGE))


def test_a_backup_says_whether_the_primary_keeps_to_its_times(admin: Client) -> None:
    pair.backup()
    BackupSettings.objects.update_or_create(defaults={"enable_automatic_failover": True, "isolation_time": 20.0})
    PeerView.objects.update(status=pair.full_status(State.P_ACTIVE, acknowledged_timeout=600.0))
    assert "has not acknowledged the saved times yet" in text(admin.get(PAGE))
    PeerView.objects.update(status=pair.full_status(State.P_ACTIVE, acknowledged_timeout=180.0))
    assert "has acknowledged the saved times" in text(admin.get(PAGE))


def test_the_recommended_settings_mark_what_differs_with_the_reason(admin: Client) -> None:
    pair.paired()
    shown = text(admin.get(PAGE))
    assert "is the normal primary" in shown
    assert shown.count("differs") == 1  # backup operations, which are on
    BackupSettings.objects.update(enable_backup_operations=False)
    assert "differs" not in text(admin.get(PAGE))
    BackupSettings.objects.update(enable_automatic_failover=True)
    assert "differs" in text(admin.get(PAGE))


def test_a_normal_backup_is_told_of_rare_data_syncs_and_of_slow_ones(admin: Client) -> None:
    pair.backup()
    FailoverRelationship.objects.update(is_founding_primary=False)
    assert "differs" not in text(admin.get(PAGE))
    BackupSettings.objects.update(data_sync_interval=dt.timedelta(days=2))
    assert text(admin.get(PAGE)).count("differs") == 1
    BackupSettings.objects.update(data_sync_interval=dt.timedelta(minutes=1))
    now = timezone.now()
    SyncRun.objects.update(started_at=now - dt.timedelta(minutes=7), finished_at=now)
    assert "The last data-sync took 7 min, longer than the interval" in text(admin.get(PAGE))


def test_test_ips_are_graded_with_how_and_when_they_answered_on_either_role(admin: Client) -> None:
    pair.paired(test_ips=["10.0.4.9"])
    BackupSettings.objects.update_or_create(defaults={"connectivity_test_ips": "10.0.4.1 10.0.0.53 10.0.0.54"})
    now = timezone.now().timestamp()
    PeerView.objects.update(
        tests={
            "addresses": {
                "10.0.4.1": {"at": now - 5, "how": "ICMP"},
                "10.0.0.53": {"at": now - 180, "how": ""},
                "10.0.4.9": {"at": now - 3, "how": "TCP 443 (refused)"},
            }
        }
    )
    for shown in (text(admin.get(PAGE)), text(admin.get(PAGE + "live/"))):
        assert re.search(r"10\.0\.4\.1 answers · ICMP \d s ago", shown)
        assert re.search(r"10\.0\.0\.53 no answer last answer 3 min (\d s )?ago", shown)
        assert "10.0.0.54 not asked yet" in shown
        assert re.search(r"10\.0\.4\.9 of site2.example.com answers · TCP 443 \(refused\) \d s ago", shown)


def guarded(**changes: bool) -> None:
    """A backup whose guard has judged; the clauses named do not hold."""
    pair.backup()
    BackupSettings.objects.update_or_create(defaults={"enable_automatic_failover": True})
    clauses = [
        {"name": name, "holds": not changes.get(name), "value": "no" if changes.get(name) else "yes", "sentence": ""}
        for name in ("automatic failover", "silence", "test IPs")
    ]
    decision = {"verdict": "hold", "reason": "No test IP answers.", "seconds_left": None, "clauses": clauses}
    PeerView.objects.update(decision=decision)


def test_the_guard_says_whether_it_is_armed_and_every_condition(admin: Client) -> None:
    guarded(silence=True)
    shown = text(admin.get(PAGE))
    assert "Automatic failover armed" in shown
    assert "takes over when site2.example.com has been silent for 3 min" in shown
    assert "Not yet: silence no" in shown
    assert "2 of 3 conditions hold" in shown


def test_the_guard_says_what_speaks_against_a_take_over(admin: Client) -> None:
    guarded(**{"silence": True, "test IPs": True})
    shown = text(admin.get(PAGE))
    assert "would not take over No test IP answers." in shown
    assert "Does not hold: test IPs no" in shown


def test_the_guard_counts_down(admin: Client) -> None:
    guarded(silence=True)
    decision = {**PeerView.load().decision, "verdict": "count_down", "seconds_left": 45.2}
    PeerView.objects.update(decision=decision)
    response = admin.get(PAGE + "live/")
    assert "takes over in 45 s" in text(response)
    assert 'max="180" value="135"' in response.content.decode()


def test_a_guard_that_is_off_only_watches(admin: Client) -> None:
    guarded(**{"automatic failover": True, "silence": True})
    BackupSettings.objects.update(enable_automatic_failover=False)
    shown = text(admin.get(PAGE))
    assert "Automatic failover off Nobody takes over by itself. The guard only watches" in shown
    assert "Not yet: automatic failover no" in shown, "it is off, which is no fault"


def test_a_running_data_sync_says_to_what_it_is_limited(admin: Client) -> None:
    pair.backup()
    pair.sync_run()
    assert "limited to" not in text(admin.get(PAGE))
    BackupSettings.objects.update_or_create(defaults={"bandwidth_limit": 20, "bandwidth_unit": "Mbit/s"})
    assert "limited to 20 Mbit/s" in text(admin.get(PAGE))


# --- Who may ----------------------------------------------------------------------------------------------------------

WRITES = ["establish/", "sync-now/", "role-change/", "role-change/cancel/", "break/", "backup-settings/"]


@pytest.mark.parametrize("path", WRITES)
def test_a_reader_may_not_write(path: str, reader: Client) -> None:
    pair.paired()
    assert reader.post(PAGE + path).status_code == 403


@pytest.mark.parametrize("path", ["", *WRITES])
def test_nobody_gets_anything_without_a_log_in(path: str) -> None:
    pair.paired()
    response = client_of().get(PAGE + path)
    assert response.status_code == 302
    assert response.headers["Location"].startswith("/login/login/?next=")


@pytest.mark.parametrize("path", ["establish/", "sync-now/", "role-change/cancel/", "backup-settings/"])
def test_what_writes_is_not_done_by_get(path: str, admin: Client) -> None:
    pair.paired()
    assert admin.get(PAGE + path).status_code == 405


def test_an_operator_may_switch_roles_but_not_break_the_pair(operator: Client) -> None:
    pair.paired()
    shown = text(operator.get(PAGE))
    assert "Become Backup…" in shown
    assert "Break Failover Relationships…" not in shown
    assert operator.get(PAGE + "break/").status_code == 403
    assert operator.get(PAGE + "role-change/").status_code == 200


def test_a_reader_sees_the_state_but_no_buttons(reader: Client) -> None:
    pair.paired()
    html = reader.get(PAGE).content.decode()
    assert "Safe: site1.example.com serves" in html
    assert "Sync Now" not in html
    assert "Become Backup…" not in html


# --- The key ----------------------------------------------------------------------------------------------------------


def test_a_generated_key_is_shown_once_and_never_again(admin: Client) -> None:
    response = admin.post(KEY_PAGE, {"action": "generate"})
    shown = re.search(r'id="made-key">([A-Z2-7-]+)<', response.content.decode())
    assert shown
    assert len(shown[1].replace("-", "")) == 52
    assert "no-store" in response.headers["Cache-Control"]
    assert shown[1] not in admin.get(KEY_PAGE).content.decode()
    held = selectors.inter_appliance_key()
    assert held is not None
    assert held.key_id in admin.get(KEY_PAGE).content.decode()
    assert_nothing_inline(response)


def test_the_same_key_entered_has_the_same_fingerprint(admin: Client) -> None:
    made = keys.generate_inter_appliance_key()
    keys.set_inter_appliance_key(made)
    before = selectors.inter_appliance_key()
    response = admin.post(KEY_PAGE, {"action": "type", "typed": made.lower().replace("-", " ")}, follow=True)
    assert "The inter-appliance key is set" in text(response)
    after = selectors.inter_appliance_key()
    assert before is not None
    assert after is not None
    assert before.key_id == after.key_id


@pytest.mark.parametrize("typed", ["", "short", "x" * 501, "aaaaaaaaaaaaaaaaaaaaaaaaaa"])
def test_a_weak_key_is_refused_beside_the_field_and_not_repeated(typed: str, admin: Client) -> None:
    response = admin.post(KEY_PAGE, {"action": "type", "typed": typed})
    assert response.status_code == 200
    assert 'class="error"' in response.content.decode()
    assert selectors.inter_appliance_key() is None
    assert not typed or f'value="{typed}"' not in response.content.decode()


def test_a_reader_sees_the_fingerprint_but_may_not_set_a_key(reader: Client) -> None:
    assert reader.get(KEY_PAGE).status_code == 200
    assert reader.post(KEY_PAGE, {"action": "generate"}).status_code == 403


def test_whether_the_peer_holds_the_same_key_is_said(admin: Client) -> None:
    keys.set_inter_appliance_key(keys.generate_inter_appliance_key())
    pair.paired()
    assert "Peer's key: same" in text(admin.get(KEY_PAGE)).replace("&#x27;", "'")
    pair.silent()
    assert "Peer's key: unknown" in text(admin.get(KEY_PAGE)).replace("&#x27;", "'")


def test_a_data_sync_that_ended_badly_stands_in_the_list(admin: Client) -> None:
    pair.backup()
    pair.sync_run(status=SyncStatus.FAILED, message="The peer did not answer in time.")
    assert "The peer did not answer in time." in text(admin.get(PAGE))


def test_a_peer_that_refused_for_another_reason_says_nothing_of_the_key(admin: Client) -> None:
    keys.set_inter_appliance_key(keys.generate_inter_appliance_key())
    pair.paired()
    refused = {"outcome": ProbeOutcome.REFUSED, "detail": "The keyboard has no key."}
    PeerView.objects.update(**refused, code="clock")
    assert "Peer's key: unknown" in text(admin.get(KEY_PAGE)).replace("&#x27;", "'")
    PeerView.objects.update(**refused, code="key_differs")
    assert "Peer's key: differs" in text(admin.get(KEY_PAGE)).replace("&#x27;", "'")


def test_the_pages_of_a_superseded_primary_do_not_call_it_primary_in_green(admin: Client) -> None:
    pair.paired(State.P_SUPERSEDED, State.P_ACTIVE)
    html = admin.get(PAGE).content.decode()
    assert '<div class="identity" id="identity" data-role="none"' in html
    assert "Superseded" in html
    assert "is primary and serves." in html
    assert "Then no appliance serves" not in html
    preview = text(admin.get(PAGE + "role-change/?target=backup"))
    assert "takes over the settings of site2.example.com, which serves meanwhile" in preview


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?want_final_sync=1", "The swap is given up at its data-sync unless that is mended first"),
        ("", "What only the old primary has stays there after the swap"),
    ],
)
def test_the_confirmation_of_a_swap_names_folders_that_are_not_copied(admin: Client, query: str, said: str) -> None:
    pair.backup()
    assert "could not copy every folder" not in text(admin.get(f"{PAGE}role-change/{query}"))
    pair.folder(FolderState.FAILED, message="The disk of the folder is full.")
    shown = text(admin.get(f"{PAGE}role-change/{query}"))
    assert "Folder “web”: The disk of the folder is full." in shown
    assert said in shown


def test_a_peer_that_refuses_is_not_said_to_be_silent(admin: Client) -> None:
    pair.paired()
    PeerView.objects.update(outcome=ProbeOutcome.REFUSED, detail="The keys differ.")
    html = admin.get(PAGE).content.decode()
    assert "does not agree" in html
    assert "does not answer</span>" not in html


def test_a_conflict_offers_fix_this_error_to_those_who_may_switch_roles(admin: Client) -> None:
    pair.conflict()
    page = admin.get(PAGE).content.decode()
    assert "Fix This Error" in page
    assert f"{PAGE}fix/" in page


def test_fix_this_error_says_why_not_when_the_peer_cannot_be_asked(admin: Client) -> None:
    pair.conflict()
    pair.silent()
    for response in (admin.get(PAGE + "fix/", follow=True), admin.post(PAGE + "fix/", follow=True)):
        assert "The peer cannot be asked" in response.content.decode()


def test_an_allowed_deletion_is_shown_and_can_be_taken_back(admin: Client, reader: Client) -> None:
    put("backup")
    brake.stop(BrakeSubject.SETTINGS, "ab" * 32, "7 of the 8 accounts", ["anna"])
    brake.allow("ab" * 32, "bert")
    shown = admin.get(PAGE)
    assert "bert allowed it to delete 7 of the 8 accounts on" in text(shown)
    assert "anna" in text(shown)
    assert_nothing_inline(shown)
    assert "forbid-deletion" not in reader.get(PAGE).content.decode()
    assert reader.post(PAGE + "forbid-deletion/", {"fingerprint": "ab" * 32}).status_code in (302, 403)
    assert not BrakeStop.waiting(Role.BACKUP)
    answer = admin.post(PAGE + "forbid-deletion/", {"fingerprint": "ab" * 32}, follow=True)
    assert "Taken back: 7 of the 8 accounts" in text(answer)
    assert "waits for you: it would delete much" in text(answer)
    answer = admin.post(PAGE + "forbid-deletion/", {"fingerprint": "ab" * 32}, follow=True)
    assert "was done, or taken back" in text(answer)
    brake.allow("ab" * 32, "bert")
    SyncRun.objects.create(trigger="sync_now")
    answer = admin.post(PAGE + "forbid-deletion/", {"fingerprint": "ab" * 32}, follow=True)
    assert "The data-sync that is running may still delete them" in text(answer)


def test_serve_again_is_offered_to_a_superseded_primary_without_its_peer_alone(
    admin: Client, settings: Settings
) -> None:
    settings.ALLOW_LOOPBACK_TARGETS = True
    keys.set_inter_appliance_key(keys.generate_inter_appliance_key())
    put("silent superseded")
    assert f"{PAGE}serve-again/" in admin.get(PAGE).content.decode()
    asked = admin.get(PAGE + "serve-again/")
    assert "I accept the loss." in text(asked)
    assert_nothing_inline(asked)
    admin.post(PAGE + "serve-again/")
    assert journal.read().state == State.P_SUPERSEDED, "not without the box"
    FailoverRelationship.objects.update(peer_host="127.0.0.1", peer_port=9)
    admin.post(PAGE + "serve-again/", {"accept_loss": "1"})
    assert journal.read().state == State.P_ACTIVE
    for _ in range(2):
        answer = admin.get(PAGE + "serve-again/", follow=True)
    assert "There is no need" in text(answer)
    assert f"{PAGE}serve-again/" not in admin.get(PAGE).content.decode()
