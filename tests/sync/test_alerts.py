"""The mails to the administrators and their episodes."""

from __future__ import annotations

import logging

import pytest

from appliances import mail
from appliances.choices import EstablishStep
from appliances.models import EmailConfiguration
from sync import alerts
from sync.errors import EstablishRefused
from sync.models import AlertEpisode
from tests.appliances import smtp

pytestmark = pytest.mark.django_db

DETAIL = "This appliance: 1.0.0 (build a). site2.example.com: 1.1.0 (build b)."


def test_a_product_mismatch_is_mailed_once_while_it_lasts():
    first = alerts.begin(alerts.PRODUCT_MISMATCH, DETAIL)
    assert first is not None
    assert first.subject == "[site1.example.com] The product versions of the two appliances differ"
    assert DETAIL in first.text
    assert alerts.begin(alerts.PRODUCT_MISMATCH, DETAIL) is None


def test_the_end_of_a_mismatch_is_mailed_once():
    alerts.begin(alerts.PRODUCT_MISMATCH, DETAIL)
    last = alerts.end(alerts.PRODUCT_MISMATCH)
    assert last is not None
    assert last.subject.startswith("[site1.example.com] All well again: ")
    assert alerts.end(alerts.PRODUCT_MISMATCH) is None


def test_no_end_is_mailed_of_what_never_began():
    assert alerts.end(alerts.PRODUCT_MISMATCH) is None


def test_a_second_mismatch_is_mailed_again():
    alerts.begin(alerts.PRODUCT_MISMATCH, DETAIL)
    alerts.end(alerts.PRODUCT_MISMATCH)
    assert alerts.begin(alerts.PRODUCT_MISMATCH, DETAIL) is not None
    assert AlertEpisode.objects.count() == 2


def test_what_a_peer_says_of_itself_is_written_as_it_is():
    found = alerts.begin(alerts.PRODUCT_MISMATCH, "1.0 <b>&amp;</b> 'x'")
    assert found is not None
    assert "1.0 <b>&amp;</b> 'x'" in found.text


def test_a_relationship_refused_for_its_version_is_mailed_and_other_refusals_are_not():
    assert alerts.establish_refused(EstablishRefused(EstablishStep.KEY, "Another key.")) == []
    [due] = alerts.establish_refused(EstablishRefused(EstablishStep.VERSION, DETAIL))
    assert DETAIL in due.text
    assert alerts.establish_refused(EstablishRefused(EstablishStep.VERSION, DETAIL)) == []


def test_an_alert_arrives():
    with smtp.running() as (mailbox, port):
        EmailConfiguration.objects.create(
            from_address="a@example.com", relay_host="127.0.0.1", relay_port=port, admin_contacts="b@example.com"
        )
        found = alerts.begin(alerts.PRODUCT_MISMATCH, DETAIL)
        assert found is not None
        alerts.send_alert(found.event, found.subject, found.text)
        assert DETAIL in mailbox.mails[0].get_content()


def test_an_alert_that_the_server_puts_off_is_worth_another_try():
    with smtp.running(refuse=1) as (mailbox, port):
        EmailConfiguration.objects.create(
            from_address="a@example.com", relay_host="127.0.0.1", relay_port=port, admin_contacts="b@example.com"
        )
        with pytest.raises(mail.MailNotSent):
            alerts.send_alert("event", "Subject", "text")
        alerts.send_alert("event", "Subject", "text")
        assert len(mailbox.mails) == 1


def test_without_configuration_an_alert_is_logged_and_forgotten(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, logger="sync.alerts"):
        alerts.send_alert("product_mismatch_begun", "Subject", "text")
    assert [record.message for record in caplog.records] == ["alert not mailed"]
