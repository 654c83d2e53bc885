"""The outbox: each mail is written here when it becomes due, and stays until a server has taken it.

So neither a restart nor a mail server that is away for hours loses one. They go out in their order: all have the same
server, and nobody wants to read that something is over before that it began.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
import textwrap

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from appliances import mail, selectors
from appliances.choices import BrakeSubject
from appliances.models.relationship import HTTPS_PORT
from sync import overview
from sync.models import AlertEpisode, AlertMail, BrakeStop
from sync.overview import Overview
from sync.rules.due import MAIL_GIVEN_UP_AFTER, mail_wait

WIDTH = 76
_UNIT = re.compile(r"(?<=\d) (s|min|h|minutes|hours|days|UTC)\b")
_TIED = "\x1f"  # a space at which no line ends

log = logging.getLogger(__name__)


def put(episode: AlertEpisode, kind: str, known: Overview, **words: object) -> AlertMail:
    """Write the mail of this kind (`begun`, `ended`, `lapsed`, or one of the series) that tells of the episode."""
    context = {
        "kind": kind,
        "episode": episode,
        "known": known,
        "host": known.host_name,
        "peer": known.peer_name or "the peer",
        "role": known.role.value,
        "is_of_data_sync": BrakeStop.waiting(known.role).exclude(subject=BrakeSubject.RETENTION).exists(),
        "site": selectors.site(),
        "page": _page(known),
        "age_of_data": overview.age_of_data(known),
        **words,
    }
    subject, _, body = render_to_string(f"emails/{episode.code}.txt", context).strip().partition("\n")
    return AlertMail.objects.create(
        episode=episode,
        event=f"{episode.code}.{kind}",
        subject=f"[{known.host_name}] {' '.join(subject.split()).rstrip('.')}"[:300],
        text=laid_out(body),
        next_try_at=timezone.now(),
    )


def laid_out(body: str) -> str:
    """Paragraphs, filled to the width of a mail; what must not be broken, such as an address, is not."""
    paragraphs = [" ".join(part.split()) for part in body.split("\n\n")]
    filled = [textwrap.fill(part, WIDTH, break_long_words=False, break_on_hyphens=False) for part in paragraphs if part]
    return "\n\n".join(filled) + "\n"


def _page(known: Overview) -> str:
    """The Failover page of this appliance, under its own name and the port at which it listens."""
    listening = settings.LISTEN[0].rpartition(":")[2] if settings.LISTEN else ""
    port = known.relationship.reverse_port if known.relationship else int(listening or HTTPS_PORT)
    return f"https://{known.host_name}{'' if port == HTTPS_PORT else f':{port}'}{reverse('failover:page')}"


def is_mail_due() -> bool:
    """Whether a mail waits whose time has come."""
    return AlertMail.objects.filter(next_try_at__lte=timezone.now()).exists()


def flush() -> None:
    """Send what waits, the oldest first. When the server does not take one, all wait, each time for longer.

    With no e-mail configuration a mail is logged and forgotten, as if its episode had never been told: `examine` tells
    what still lasts once there is one. A mail that waits for days is given up.
    """
    for waiting in AlertMail.objects.exclude(next_try_at=None).order_by("pk"):
        try:
            mail.send(waiting.subject, waiting.text)
        except mail.MailNotSent as error:
            if not _is_given_up(waiting, error):
                _put_off(waiting, error)
                return
        else:
            AlertMail.objects.filter(pk=waiting.pk).update(next_try_at=None, sent_at=timezone.now())
            log.info("alert mailed", extra={"alert": waiting.event, "subject": waiting.subject})


def _is_given_up(waiting: AlertMail, error: mail.MailNotSent) -> bool:
    if not error.is_final and timezone.now() - waiting.created_at < MAIL_GIVEN_UP_AFTER:
        return False
    row = AlertMail.objects.filter(pk=waiting.pk)
    if isinstance(error, mail.MailNotConfigured):
        row.delete()
    else:
        row.update(next_try_at=None)
    log.warning("alert not mailed", extra={"alert": waiting.event, "subject": waiting.subject, "reason": str(error)})
    return True


def _put_off(waiting: AlertMail, error: mail.MailNotSent) -> None:
    attempts = waiting.attempts + 1
    wait: dt.timedelta = mail_wait(attempts)
    AlertMail.objects.filter(pk=waiting.pk).update(attempts=attempts)
    AlertMail.objects.exclude(next_try_at=None).update(next_try_at=timezone.now() + wait)
    log.info("alerts put off", extra={"alert": waiting.event, "reason": str(error), "wait_seconds": wait.seconds})
