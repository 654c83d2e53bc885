"""The outbox: what was written arrives, in its order, whatever the broker, the worker or the mail server does."""

from __future__ import annotations

import datetime as dt
import logging

import pytest
from django.utils import timezone
from pytest_django import Settings

from appliances.choices import EstablishStep, State
from appliances.models import BackupSettings, EmailConfiguration
from sync import alerts, tasks
from sync.errors import EstablishRefused
from sync.models import AlertEpisode, AlertMail
from tests.appliances import smtp
from tests.sync import pair
from tests.sync.alerts.world import World
from tests.sync.pairs import establish, settings_open

pytestmark = pytest.mark.django_db
DETAIL = "This appliance: 1.0.0 (build a). site2.example.com: 1.1.0 (build b)."


def configure(port: int) -> None:
    EmailConfiguration.objects.create(
        from_address="a@example.com", relay_host="127.0.0.1", relay_port=port, admin_contacts="b@example.com"
    )


def write(*subjects: str) -> None:
    episode = AlertEpisode.objects.create(code="product_mismatch")
    for subject in subjects:
        AlertMail.objects.create(episode=episode, event="e", subject=subject, text="t\n", next_try_at=timezone.now())


def hours_later() -> None:
    """Everything that waits was put off until a moment ago."""
    AlertMail.objects.exclude(next_try_at=None).update(next_try_at=timezone.now())


def refused(detail: str = DETAIL) -> None:
    alerts.establish_refused(EstablishRefused(EstablishStep.VERSION, detail))


def test_a_relationship_refused_for_its_version_is_mailed_once_and_other_refusals_are_not() -> None:
    alerts.establish_refused(EstablishRefused(EstablishStep.KEY, "Another key."))
    assert not AlertMail.objects.exists()
    refused()
    refused()
    [mail] = AlertMail.objects.all()
    assert mail.subject == "[site1.example.com] The product versions of the two appliances differ"
    assert DETAIL in " ".join(mail.text.split())
    World().wait(60)
    assert AlertMail.objects.count() == 1


def test_what_a_peer_says_of_itself_is_written_as_it_is() -> None:
    refused("1.0 <b>&amp;</b> 'x'")
    assert "1.0 <b>&amp;</b> 'x'" in " ".join(AlertMail.objects.get().text.split())


def test_mails_arrive_in_their_order_and_once() -> None:
    with smtp.running() as (mailbox, port):
        configure(port)
        write("first", "second", "third")
        tasks.send_mail.apply()
        tasks.send_mail.apply()
        assert [mail["Subject"] for mail in mailbox.mails] == ["first", "second", "third"]
    assert not alerts.is_mail_due()


def test_a_mail_server_that_is_away_is_tried_again_later_and_the_order_is_kept() -> None:
    with smtp.running(refuse=2) as (mailbox, port):
        configure(port)
        write("begun")
        tasks.send_mail.apply()
        assert not alerts.is_mail_due(), "it waits"
        write_ended = AlertMail.objects.get()
        AlertMail.objects.create(
            episode=write_ended.episode, event="e", subject="over", text="t\n", next_try_at=timezone.now()
        )
        tasks.send_mail.apply()
        assert mailbox.mails == []
        hours_later()
        tasks.send_mail.apply()
        assert [mail["Subject"] for mail in mailbox.mails] == ["begun", "over"]
    first, second = AlertMail.objects.all()
    assert (first.attempts, second.attempts) == (2, 0)
    assert first.sent_at is not None
    assert second.sent_at is not None


def test_a_mail_server_that_is_down_keeps_the_mails_waiting(settings: Settings) -> None:
    settings.ALLOW_LOOPBACK_TARGETS = True
    with smtp.running() as (_, port):
        configure(port)
    write("a", "b")
    for attempt in (1, 2, 3):
        hours_later()
        tasks.send_mail.apply()
        first, second = AlertMail.objects.all()
        assert (first.attempts, first.sent_at, second.attempts) == (attempt, None, 0)
        assert first.next_try_at is not None
        assert first.next_try_at > timezone.now() + dt.timedelta(seconds=50)


def test_a_mail_that_no_server_takes_for_two_days_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    with smtp.running(refuse=1000) as (mailbox, port), caplog.at_level(logging.WARNING, logger="sync.alerts.outbox"):
        configure(port)
        write("old", "new")
        AlertMail.objects.filter(subject="old").update(created_at=timezone.now() - dt.timedelta(days=2, minutes=1))
        tasks.send_mail.apply()
        assert mailbox.mails == []
    assert [record.message for record in caplog.records] == ["alert not mailed"]
    assert list(AlertMail.objects.filter(next_try_at=None).values_list("subject", flat=True)) == ["old"]


def test_without_configuration_an_alert_is_logged_and_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    write("a", "b")
    with caplog.at_level(logging.WARNING, logger="sync.alerts.outbox"):
        alerts.flush()
    assert [record.message for record in caplog.records] == ["alert not mailed"] * 2
    assert not alerts.is_mail_due()


def test_what_began_without_configuration_is_told_once_there_is_one_and_not_ended_before() -> None:
    world = World()
    pair.backup()
    BackupSettings.objects.update_or_create(pk=1, defaults={"enable_backup_operations": False})
    assert world.events() == ["backup_off.begun"]
    alerts.flush()
    BackupSettings.objects.update(enable_backup_operations=True)
    assert world.events(60) == [], "nobody knows of it: nobody is told that it is over"
    BackupSettings.objects.update(enable_backup_operations=False)
    assert world.events() == ["backup_off.begun"]
    alerts.flush()
    with smtp.running() as (mailbox, port):
        with settings_open():
            configure(port)
        assert world.events(60) == ["backup_off.begun"]
        assert world.events(60) == [], "once"
        alerts.flush()
        assert len(mailbox.mails) == 1
    BackupSettings.objects.update(enable_backup_operations=True)
    assert world.events(60) == ["backup_off.ended"]


def test_a_broker_that_is_gone_stops_nobody_and_loses_nothing(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    write("a")
    with caplog.at_level(logging.WARNING, logger="sync.tasks"):
        tasks.send_alerts()
    assert [record.message for record in caplog.records if record.name == "sync.tasks"] == ["task not queued"]
    assert alerts.is_mail_due()
    request.getfixturevalue("running_broker")
    tasks.send_alerts()


def test_nothing_is_looked_at_without_a_relationship() -> None:
    assert World().events(400) == []
    establish(State.P_ACTIVE)
    assert World().events(1) == []
