"""Send mail by the server of the Email Configuration page."""

from __future__ import annotations

import contextlib
import logging
import smtplib
import socket
import ssl

from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend

from appliances import addresses, selectors
from appliances.choices import SmtpEncryption
from appliances.models import EmailConfiguration
from appliances.secrets import SecretUnreadable

SMTP_TIMEOUT_SECONDS = 15.0  # for the connection and for each answer: a relay that greylists answers within this

log = logging.getLogger(__name__)


class _JudgedConnection(smtplib.SMTP):
    """Connects to the addresses that `addresses` has judged; TLS still checks the name that was entered."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return _connect(host, port, timeout)


class _JudgedTlsConnection(smtplib.SMTP_SSL):
    """As `_JudgedConnection`, with TLS from the first byte."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self.context.wrap_socket(_connect(host, port, timeout), server_hostname=host)


class _Backend(EmailBackend):
    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        """What Django opens."""
        return _JudgedTlsConnection if self.use_ssl else _JudgedConnection


def _connect(host: str, port: int, timeout: float) -> socket.socket:
    """A socket to the first address of the host that may be connected to and answers."""
    problem: OSError | None = None
    for target in addresses.resolve(host, port):
        try:
            return socket.create_connection((target.address, target.port), timeout)
        except OSError as error:
            problem = error
    raise problem or OSError("it has no address")


class MailNotSent(Exception):
    """The mail was not sent; the text says why. `is_final` means that trying again cannot help."""

    def __init__(self, message: str, *, is_final: bool) -> None:
        super().__init__(message)
        self.is_final = is_final


class MailNotConfigured(MailNotSent):
    """The Email Configuration page names no server, no sender or no receiver."""


def is_configured() -> bool:
    """Whether the Email Configuration page names a server, a sender and a receiver."""
    return not _missing(_configuration())


def _configuration() -> EmailConfiguration:
    return EmailConfiguration.objects.filter(pk=1).first() or EmailConfiguration()


def _missing(configuration: EmailConfiguration) -> list[str]:
    """The fields without which no mail can be sent, as the page names them."""
    fields = (
        ("SMTP relay server", configuration.relay_host),
        ("From address", configuration.from_address),
        ("Admin contacts", configuration.recipients),
    )
    return [name for name, value in fields if not value]


def send(subject: str, text: str) -> list[str]:
    """The mail has been taken over by the configured server for all admin contacts, which are returned.

    Takes up to some multiples of SMTP_TIMEOUT_SECONDS; never call it where a decision waits.

    Raises:
        MailNotConfigured: there is nothing to send it by, from, or to.
        MailNotSent: the server could not be reached or did not take it.
    """
    configuration = _configuration()
    if missing := _missing(configuration):
        raise MailNotConfigured(f"E-mail is not configured: {', '.join(missing)} missing.", is_final=True)
    try:
        password = configuration.password
    except SecretUnreadable as error:
        raise MailNotSent("The password of the SMTP server cannot be read; enter it again.", is_final=True) from error
    connection = _Backend(
        host=configuration.relay_host,
        port=configuration.relay_port,
        username=configuration.username,
        password=password,
        use_tls=configuration.encryption == SmtpEncryption.STARTTLS,
        use_ssl=configuration.encryption == SmtpEncryption.TLS,
        timeout=SMTP_TIMEOUT_SECONDS,
    )
    message = EmailMessage(
        subject=" ".join(subject.split()),  # a line break would begin another header
        body=text,
        from_email=configuration.from_address,
        to=configuration.recipients,
        headers={"Auto-Submitted": "auto-generated"},
        connection=connection,
    )
    server = f"{configuration.relay_host}:{configuration.relay_port}"
    try:
        message.send()
    except (addresses.AddressRefused, addresses.NameUnknown) as error:
        is_final = isinstance(error, addresses.AddressRefused)
        raise MailNotSent(f"{server} did not take the mail: {error}", is_final=is_final) from error
    except OSError as error:  # smtplib's errors are OSErrors too
        raise MailNotSent(f"{server} did not take the mail: {_reason(error)}", is_final=False) from error
    except ValueError as error:  # an address or a header that cannot be written
        raise MailNotSent(f"The mail cannot be written: {error}", is_final=True) from error
    finally:
        with contextlib.suppress(OSError):
            connection.close()  # left open when the server refused the log-in
    log.info("mail sent", extra={"server": server, "recipients": len(configuration.recipients)})
    return configuration.recipients


def _reason(error: OSError) -> str:
    """Why the server did not take a mail, for people: its own words where it gave any."""
    match error:
        case smtplib.SMTPResponseException():
            return _answer(error.smtp_code, error.smtp_error)
        case smtplib.SMTPRecipientsRefused():
            return "; ".join(f"{receiver}: {_answer(*answer)}" for receiver, answer in error.recipients.items())
        case ssl.SSLCertVerificationError():
            return f"certificate verify failed: {error.verify_message}"
        case ssl.SSLError():
            return f"no encrypted connection could be made ({error.reason or error}); compare Port and Encryption"
        case TimeoutError():
            return f"it timed out: no answer within {SMTP_TIMEOUT_SECONDS:.0f} s"
    return error.strerror or str(error)


def _answer(code: int, words: bytes | str) -> str:
    text = words.decode(errors="replace") if isinstance(words, bytes) else words
    return f"it answered {code} {' '.join(text.split())}"


def send_test() -> list[str]:
    """A test mail has been taken over by the configured server for the admin contacts, which are returned.

    Raises:
        MailNotSent: as `send`.
    """
    host_name = selectors.this_appliance().host_name
    return send(
        f"[{host_name}] Test mail",
        f"This is a test mail from the appliance {host_name}.\n\nIts e-mail configuration works.\n",
    )
