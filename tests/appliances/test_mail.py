"""Mail by a real SMTP server on loopback."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from appliances import mail
from appliances.choices import SmtpEncryption
from appliances.models import EmailConfiguration
from tests.appliances import smtp

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def loopback(settings):
    settings.ALLOW_LOOPBACK_TARGETS = True


def configure(port: int, *, username: str = "", password: str = "", encryption: str = SmtpEncryption.NONE) -> None:
    row = EmailConfiguration.load()
    row.from_address = "site1@example.com"
    row.relay_host, row.relay_port, row.encryption = "127.0.0.1", port, encryption
    row.username, row.password = username, password
    row.admin_contacts = "first@example.com  second@example.com"
    row.save()


def test_a_mail_reaches_all_admin_contacts():
    with smtp.running() as (mailbox, port):
        configure(port)
        assert mail.send("Grüße", "Über alles.\n") == ["first@example.com", "second@example.com"]
    [message] = mailbox.mails
    assert mailbox.receivers == [["first@example.com", "second@example.com"]]
    assert (message["Subject"], message["From"], message["Auto-Submitted"]) == (
        "Grüße",
        "site1@example.com",
        "auto-generated",
    )
    assert message.get_content().strip() == "Über alles."


def test_the_test_mail_names_the_appliance():
    with smtp.running() as (mailbox, port):
        configure(port)
        mail.send_test()
    assert mailbox.mails[0]["Subject"] == "[site1.example.com] Test mail"


def test_a_line_break_in_the_subject_begins_no_header():
    with smtp.running() as (mailbox, port):
        configure(port)
        mail.send("Hello\r\nBcc: other@example.com", "text")
    assert mailbox.mails[0]["Subject"] == "Hello Bcc: other@example.com"
    assert mailbox.mails[0]["Bcc"] is None


@pytest.mark.parametrize("encryption", [SmtpEncryption.STARTTLS, SmtpEncryption.TLS])
def test_mail_goes_encrypted_with_user_name_and_password(
    encryption: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pem = smtp.certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    given = {"starttls" if encryption == SmtpEncryption.STARTTLS else "tls": str(pem)}
    with smtp.running(**given, **smtp.LOG_IN) as (mailbox, port):
        configure(port, username=smtp.USERNAME, password=smtp.PASSWORD, encryption=encryption)
        mail.send("Encrypted", "text")
    assert len(mailbox.mails) == 1


@pytest.mark.parametrize("encryption", [SmtpEncryption.STARTTLS, SmtpEncryption.TLS])
def test_a_server_with_a_certificate_nobody_vouches_for_gets_no_mail(encryption: str, tmp_path: Path):
    pem = smtp.certificate(tmp_path)
    given = {"starttls" if encryption == SmtpEncryption.STARTTLS else "tls": str(pem)}
    with smtp.running(**given) as (mailbox, port):
        configure(port, encryption=encryption)
        with pytest.raises(mail.MailNotSent, match="certificate verify failed") as caught:
            mail.send("Encrypted", "text")
    assert mailbox.mails == []
    assert not caught.value.is_final


def test_a_wrong_password_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pem = smtp.certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with smtp.running(starttls=str(pem), **smtp.LOG_IN) as (_, port):
        configure(port, username=smtp.USERNAME, password="wrong", encryption=SmtpEncryption.STARTTLS)
        with pytest.raises(mail.MailNotSent, match="it answered 535 ") as caught:
            mail.send("Hello", "text")
    assert "wrong" not in str(caught.value)


def test_an_unreachable_server_is_told_with_its_address():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    configure(port)
    with pytest.raises(mail.MailNotSent, match=f"127.0.0.1:{port} did not take the mail") as caught:
        mail.send("Hello", "text")
    assert not caught.value.is_final


def test_a_silent_server_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mail, "SMTP_TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        configure(listening.getsockname()[1])
        with pytest.raises(mail.MailNotSent, match="timed out"):
            mail.send("Hello", "text")


def test_without_configuration_the_missing_fields_are_named():
    with pytest.raises(mail.MailNotConfigured, match="SMTP relay server, From address, Admin contacts missing"):
        mail.send("Hello", "text")


def test_a_password_sealed_with_another_data_key_is_told():
    configure(25)
    EmailConfiguration.objects.update(sealed_password=b"\x01" + b"x" * 40)
    with pytest.raises(mail.MailNotSent, match="enter it again") as caught:
        mail.send("Hello", "text")
    assert caught.value.is_final


@pytest.mark.parametrize("encryption", list(SmtpEncryption))
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254", "0.0.0.0", "::1", "::ffff:127.0.0.1"])
def test_a_server_at_an_address_of_a_refused_range_is_not_connected_to(host: str, encryption: str, settings):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        configure(listening.getsockname()[1], encryption=encryption)
        EmailConfiguration.objects.update(relay_host=host)
        settings.ALLOW_LOOPBACK_TARGETS = False
        with pytest.raises(mail.MailNotSent, match="is refused as a target") as caught:
            mail.send("Hello", "text")
        listening.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listening.accept()
    assert caught.value.is_final


def test_the_name_of_the_server_is_what_its_certificate_has_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pem = smtp.certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with smtp.running(tls=str(pem)) as (mailbox, port):
        configure(port, encryption=SmtpEncryption.TLS)
        EmailConfiguration.objects.update(relay_host="localhost")  # the certificate says 127.0.0.1
        with pytest.raises(mail.MailNotSent, match="Hostname mismatch"):
            mail.send("Encrypted", "text")
    assert mailbox.mails == []
