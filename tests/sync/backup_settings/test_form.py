"""The form of Backup Settings: every limit has a sentence beside its field, and the times are checked together."""

from __future__ import annotations

import datetime as dt

import pytest

from appliances.models import BackupSettings
from sync.backup_settings import BackupSettingsForm

pytestmark = pytest.mark.django_db


def test_the_interval_is_a_number_and_a_unit() -> None:
    values = {"every": "2", "unit": "hours", "timeout_seconds": "60"}
    form = BackupSettingsForm(values, instance=BackupSettings.load())
    assert form.is_valid()
    saved = form.save()
    assert (saved.data_sync_interval, saved.enable_backup_operations) == (dt.timedelta(hours=2), False)


@pytest.mark.parametrize(("every", "unit"), [("0", "minutes"), ("8", "days"), ("x", "hours"), ("5", "years"), ("", "")])
def test_intervals_that_are_refused(every: str, unit: str) -> None:
    assert not BackupSettingsForm({"every": every, "unit": unit}, instance=BackupSettings.load()).is_valid()


def arming(**fields: str) -> BackupSettingsForm:
    values = {"every": "15", "unit": "minutes", "enable_automatic_failover": "on", "timeout_seconds": "60", **fields}
    return BackupSettingsForm(values, instance=BackupSettings.load())


def test_automatic_failover_is_armed_with_a_test_ip_or_with_the_risk_accepted() -> None:
    bare = arming()
    assert "its own cut line" in bare.errors["connectivity_test_ips"][0]
    assert arming(accept_no_test_ips="on").is_valid()
    watched = arming(connectivity_test_ips="192.0.2.1, 2001:db8::1  192.0.2.1")
    assert watched.is_valid(), watched.errors
    saved = watched.save()
    assert saved.test_ips == ["192.0.2.1", "2001:db8::1"]
    assert saved.primary_timeout.total_seconds() == 60


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("gateway", "not an IP address"),
        ("127.0.0.1", "loopback"),
        ("169.254.1.1", "link-local"),
        ("0.0.0.0", "one machine"),
    ],
)
def test_a_test_ip_that_tells_nothing_is_refused(typed: str, reason: str) -> None:
    assert reason in arming(connectivity_test_ips=typed).errors["connectivity_test_ips"][0]


@pytest.mark.parametrize("seconds", ["", "9", "86401", "-1", "ten", "1e400"])
def test_a_timeout_out_of_bounds_is_refused(seconds: str) -> None:
    assert "from 10 to 86400" in arming(timeout_seconds=seconds, accept_no_test_ips="on").errors["timeout_seconds"][0]


def test_an_empty_interval_says_what_to_enter() -> None:
    assert "from 1 minute to 7 days" in arming(every="").errors["every"][0]


def test_what_a_browser_takes_for_no_number_is_sent_and_marked_not_sent_as_empty() -> None:
    """A field of type=number sends nothing for "1e400", and so passes for one that was left empty."""
    form = arming(isolation_time="1e400")
    assert "number of seconds" in form.errors["isolation_time"][0]
    assert 'type="number"' not in str(form)


def test_the_drawing_knows_which_times_it_does_not_follow() -> None:
    form = arming(timeout_seconds="soon", address_lifetime="2", accept_no_test_ips="on")
    form.is_valid()
    assert form.unusable_times == ["Primary Site Instance Timeout", "Address Lifetime"]
    apart = arming(isolation_time="50", accept_no_test_ips="on")
    assert not apart.is_valid()
    assert not apart.unusable_times, "it is drawn, and the drawing shows what is wrong"


@pytest.mark.parametrize(
    ("limit", "unit", "rate", "text"),
    [
        ("100", "Mbit/s", 12_500_000, "100 Mbit/s"),
        ("2.5", "MB/s", 2_500_000, "2.5 MB/s"),
        ("640", "kB/s", 640_000, "640 kB/s"),
        ("", "MB/s", 0, ""),
        ("0", "", 0, ""),
    ],
)
def test_a_bandwidth_limit_is_kept_as_it_was_entered(limit: str, unit: str, rate: int, text: str) -> None:
    form = arming(accept_no_test_ips="on", bandwidth_limit=limit, bandwidth_unit=unit)
    assert form.is_valid(), form.errors
    form.save()
    saved = BackupSettings.load()
    assert (saved.bandwidth_bytes, saved.bandwidth_text) == (rate, text)
    assert str(BackupSettingsForm(instance=saved)["bandwidth_limit"].value() or "0") == (limit or "0")


@pytest.mark.parametrize(
    ("limit", "unit", "reason"),
    [
        ("9", "kB/s", "at least 10 kB/s"),
        ("0.001", "Mbit/s", "at least 10 kB/s"),
        ("99999", "MB/s", "No line is as fast"),
        ("-1", "MB/s", "number such as 2.5"),
        ("fast", "MB/s", "number such as 2.5"),
        ("1e99", "MB/s", "number such as 2.5"),
    ],
)
def test_bandwidth_limits_that_are_refused_with_a_reason(limit: str, unit: str, reason: str) -> None:
    form = arming(accept_no_test_ips="on", bandwidth_limit=limit, bandwidth_unit=unit)
    assert reason in form.errors["bandwidth_limit"][0]


def test_times_may_be_entered_where_they_go_together_and_are_derived_again_when_emptied() -> None:
    form = arming(accept_no_test_ips="on", isolation_time="20", address_lifetime="15", probe_interval="2.5")
    assert form.is_valid(), form.errors
    saved = form.save()
    assert (saved.isolation_time, saved.address_lifetime, saved.probe_interval) == (20.0, 15, 2.5)
    assert arming(accept_no_test_ips="on").save().isolation_time is None


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("isolation_time", "50", "10.5 s more than the timeout of 60 s"),
        ("isolation_time", "5", "Enter at least 9.2 s"),
        ("address_lifetime", "50", "isolation timer of 1.5 s is 7.7 s too short"),
        ("address_lifetime", "2", "at least 3"),
        ("probe_interval", "5", "1 to 3 seconds"),
        ("isolation_time", "nan", "number of seconds"),
        ("isolation_time", "inf", "number of seconds"),
    ],
)
def test_times_that_do_not_go_together_are_refused_beside_the_field(field: str, value: str, reason: str) -> None:
    assert reason in arming(accept_no_test_ips="on", **{field: value}).errors[field][0]


@pytest.mark.django_db
@pytest.mark.parametrize(("typed", "minutes"), [("", None), ("5", 5), ("43200", 43200)])
def test_the_alert_of_the_primary_has_a_time_of_its_own_or_none(typed: str, minutes: int | None) -> None:
    form = BackupSettingsForm(
        {"every": "15", "unit": "minutes", "timeout_seconds": "60", "pull_alert_minutes": typed},
        instance=BackupSettings.load(),
    )
    assert form.is_valid(), form.errors
    kept = form.save().pull_alert_after
    assert kept == (None if minutes is None else dt.timedelta(minutes=minutes))
    assert BackupSettingsForm(instance=BackupSettings.load())["pull_alert_minutes"].value() == minutes


@pytest.mark.django_db
@pytest.mark.parametrize("typed", ["0", "43201", "soon", "1.5"])
def test_an_alert_time_out_of_bounds_is_refused(typed: str) -> None:
    assert "30 days" in arming(pull_alert_minutes=typed).errors["pull_alert_minutes"][0]
