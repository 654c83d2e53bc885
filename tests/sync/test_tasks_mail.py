"""Mails as Celery's tasks."""

from __future__ import annotations

import logging

import pytest
from django.utils import timezone

from appliances.choices import State
from appliances.models import EmailConfiguration
from sync import alerts, tasks
from sync.models import AlertEpisode, PeerView
from sync.peer import identity
from tests.appliances import smtp
from tests.sync.pairs import establish

pytestmark = pytest.mark.django_db


def configure(port: int) -> None:
    EmailConfiguration.objects.create(
        from_address="a@example.com", relay_host="127.0.0.1", relay_port=port, admin_contacts="b@example.com"
    )


def test_a_mail_that_the_server_puts_off_twice_arrives_at_the_third_try():
    with smtp.running(refuse=2) as (mailbox, port):
        configure(port)
        tasks.send_mail.apply(("event", "Subject", "text"))
    assert [mail["Subject"] for mail in mailbox.mails] == ["Subject"]


def test_a_mail_that_no_server_takes_is_given_up_in_the_end(caplog: pytest.LogCaptureFixture):
    with smtp.running(refuse=1000) as (mailbox, port), caplog.at_level(logging.WARNING, logger="sync.tasks"):
        configure(port)
        tasks.send_mail.apply(("event", "Subject", "text"))
    assert mailbox.mails == []
    assert [record.message for record in caplog.records if record.name == "sync.tasks"] == ["alert not mailed"]


def test_a_broker_that_is_gone_stops_nobody(settings, tmp_path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, logger="sync.tasks"):
        tasks.send_alerts([alerts.Mail("event", "Subject", "text")])
    assert [record.message for record in caplog.records if record.name == "sync.tasks"] == ["alert not queued"]


def see_build(build: str) -> None:
    status = {"host_name": "site2.example.com", "build": build, "schema": identity.schema_digest()}
    PeerView.objects.update_or_create(pk=1, defaults={"status": status})


def test_another_build_on_the_peer_is_mailed_once_and_so_is_its_end():
    establish(State.P_ACTIVE)
    see_build(identity.product_build())
    assert alerts.examine() == []
    see_build("2.0.0 (build-x)")
    [begun] = alerts.examine()
    assert "site2.example.com runs 2.0.0 (build-x)" in begun.text
    assert alerts.examine() == []
    see_build(identity.product_build())
    [ended] = alerts.examine()
    assert "All well again" in ended.subject
    assert alerts.examine() == []
    assert AlertEpisode.objects.count() == 1


def test_nothing_is_compared_without_a_relationship():
    see_build("2.0.0 (build-x)")
    assert alerts.examine() == []


def some_time_later() -> None:
    """The episodes are some seconds old."""
    ago = timezone.now() - 2 * alerts.QUEUE_TIME
    AlertEpisode.objects.update(opened_at=ago)
    AlertEpisode.objects.exclude(closed_at=None).update(closed_at=ago)


def test_mails_that_the_broker_did_not_take_are_queued_once_it_is_back(request: pytest.FixtureRequest):
    establish(State.P_ACTIVE)
    for build in ("2.0.0 (build-x)", identity.product_build()):
        see_build(build)
        tasks.send_alerts(alerts.examine())  # no broker
    assert alerts.examine() == []
    some_time_later()
    tasks.send_alerts(alerts.examine())
    assert [mail.is_end for mail in alerts.examine()] == [False, True]
    request.getfixturevalue("running_broker")
    begun, ended = alerts.examine()
    assert ("site2.example.com runs 2.0.0" in begun.text, "All well again" in ended.subject) == (True, True)
    tasks.send_alerts([begun, ended])
    assert alerts.examine() == []
