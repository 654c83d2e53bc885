"""The mails to the administrators: one when something begins, one when it is over.

An episode is open from the first mail to the second, so that a condition seen each second is mailed once. Flows never
wait for a mail: they get a `Mail` and the door that called them hands it to the queue.
"""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.template.loader import render_to_string
from django.utils import timezone

from appliances import mail, selectors
from appliances.choices import EstablishStep
from sync import overview
from sync.errors import EstablishRefused
from sync.models import AlertEpisode, PeerView

PRODUCT_MISMATCH = "product_mismatch"
SUBJECTS = {PRODUCT_MISMATCH: "The product versions of the two appliances differ"}
WELL_AGAIN = "All well again"
QUEUE_TIME = dt.timedelta(seconds=10)  # whoever opened an episode has given its mail to the queue long before

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mail:
    """What is to be sent; `event` is a constant for the log, `episode` the number of the one that it tells of."""

    event: str
    subject: str
    text: str
    episode: int | None = None
    is_end: bool = False


def examine() -> list[Mail]:
    """Compare what the peer reported last with this appliance; the mails that have become due.

    Safe to call each second: a difference is mailed when it is first seen, and again only after it was gone. What
    could not be given to the queue when it became due is due again.
    """
    waiting = unqueued()
    view = PeerView.objects.filter(pk=1).first()
    if selectors.relationship() is None or view is None or not view.status:
        return waiting
    difference = overview.mismatch(view)
    due = begin(PRODUCT_MISMATCH, difference) if difference else end(PRODUCT_MISMATCH)
    return [*waiting, due] if due else waiting


def unqueued() -> list[Mail]:
    """The mails of some time ago that the queue did not take."""
    before = timezone.now() - QUEUE_TIME
    begun = AlertEpisode.objects.filter(begun_queued_at=None, opened_at__lt=before).order_by("pk")
    ended = AlertEpisode.objects.filter(ended_queued_at=None, closed_at__lt=before).order_by("pk")
    return [_begun(episode) for episode in begun] + [_ended(episode) for episode in ended]


def note_queued(sent: Mail) -> None:
    """The queue has taken the mail."""
    name = "ended_queued_at" if sent.is_end else "begun_queued_at"
    if sent.episode is None:
        return
    AlertEpisode.objects.filter(pk=sent.episode).update(**{name: timezone.now()})


def establish_refused(refusal: EstablishRefused) -> list[Mail]:
    """The mails that become due when a relationship was refused: one if the products differ."""
    if refusal.step != EstablishStep.VERSION:
        return []
    due = begin(PRODUCT_MISMATCH, refusal.message)
    return [due] if due else []


def begin(code: str, detail: str) -> Mail | None:
    """The episode is open; the mail that tells of it, or None if it was open before."""
    if AlertEpisode.objects.filter(code=code, closed_at=None).exists():
        return None
    try:
        with transaction.atomic():
            episode = AlertEpisode.objects.create(code=code, detail=detail[:1000])
    except IntegrityError:
        return None
    return _begun(episode)


def end(code: str) -> Mail | None:
    """The episode is closed; the mail that tells of it, or None if none was open."""
    episode = AlertEpisode.objects.filter(code=code, closed_at=None).first()
    if episode is None:
        return None
    closed_at = timezone.now()
    if not AlertEpisode.objects.filter(pk=episode.pk, closed_at=None).update(closed_at=closed_at):
        return None
    episode.closed_at = closed_at
    return _ended(episode)


def send_alert(event: str, subject: str, text: str) -> None:
    """The mail is with the configured server; with no configuration this is logged and nothing is sent.

    Raises:
        MailNotSent: trying again later may help.
    """
    try:
        mail.send(subject, text)
    except mail.MailNotSent as error:
        if not error.is_final:
            raise
        log.warning("alert not mailed", extra={"alert": event, "subject": subject, "reason": str(error)})


def send_test() -> list[str]:
    """A test mail is with the configured server; the addresses it goes to.

    Raises:
        MailNotSent: why not.
    """
    return mail.send_test()


def _begun(episode: AlertEpisode) -> Mail:
    return _mail(f"{episode.code}_begun", SUBJECTS[episode.code], episode, is_end=False)


def _ended(episode: AlertEpisode) -> Mail:
    return _mail(f"{episode.code}_ended", f"{WELL_AGAIN}: {SUBJECTS[episode.code]}", episode, is_end=True)


def _mail(event: str, subject: str, episode: AlertEpisode, *, is_end: bool) -> Mail:
    host_name = selectors.this_appliance().host_name
    context = {"host_name": host_name, "episode": episode, "site": selectors.site()}
    text = render_to_string(f"emails/{event}.txt", context)
    return Mail(event=event, subject=f"[{host_name}] {subject}", text=text, episode=episode.pk, is_end=is_end)
