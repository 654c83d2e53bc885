"""Fill this appliance with demo content, once."""

from __future__ import annotations

import datetime as dt
import mimetypes
import random
import secrets
import uuid
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from appliances import blobs, selectors
from appliances.demo import people, sessions, words
from appliances.demo.formats import make_file
from appliances.models import Account, EmailConfiguration, FileStoreFile, Recording, SessionEvent, SupportSession

_FIRST_FILE = uuid.uuid5(uuid.NAMESPACE_URL, "https://support.example.com/demo/file/1/0")


@dataclass(frozen=True)
class Filled:
    """What was added."""

    accounts: int
    files: int
    sessions: int
    events: int
    recordings: int
    size_bytes: int


def has_demo_content() -> bool:
    """Whether demo content was put on this appliance, whatever its dates and size."""
    usernames = [account.username for account, _ in people.plan_accounts(timezone.now())]
    return (
        FileStoreFile.objects.filter(pk=_FIRST_FILE).exists() or Account.objects.filter(username__in=usernames).exists()
    )


def has_exactly(until: dt.datetime, scale: int) -> bool:
    """Whether the demo content of these dates and this size is here."""
    last = sessions.session_id(until, sessions.SESSIONS * scale - 1)
    return SupportSession.objects.filter(pk=last).exists()


def fill(until: dt.datetime, scale: int) -> Filled:
    """Add the demo content: all of it or, after an error, none.

    1. The bytes of files and recordings go into the store and are made durable, which may take long: outside of any
       transaction, for nobody else can write during one.
    2. Accounts, settings, file names, sessions, events and recordings are written in one transaction.
    """
    chance = random.Random(f"demo content {scale}")  # noqa: S311  (repeatable on purpose; nothing secret)
    planned = people.plan_accounts(until)
    with blobs.Batch() as batch:
        files = _files(until, scale, batch, chance)
        log = sessions.make_log(until, scale, [account for account, _ in planned], batch, chance)
    with transaction.atomic():
        accounts = people.save_accounts(planned)
        sessions.number_accounts(log, accounts)
        _configure()
        FileStoreFile.objects.bulk_create(files)
        for file in files:
            file.created_at = until - dt.timedelta(days=chance.randint(1, 400))
        FileStoreFile.objects.bulk_update(files, ["created_at"])
        SupportSession.objects.bulk_create(log.sessions, batch_size=500)
        SessionEvent.objects.bulk_create(log.events, batch_size=500)
        Recording.objects.bulk_create(log.recordings, batch_size=500)
    return Filled(
        accounts=len(accounts),
        files=len(files),
        sessions=len(log.sessions),
        events=len(log.events),
        recordings=len(log.recordings),
        size_bytes=sum(row.size_bytes for row in files) + sum(row.size_bytes for row in log.recordings),
    )


def _files(until: dt.datetime, scale: int, batch: blobs.Batch, chance: random.Random) -> list[FileStoreFile]:
    files = []
    for copy in range(1, scale + 1):
        for number, (name, kind, kib, is_public) in enumerate(words.FILES):
            stem, dot, ending = name.rpartition(".")
            stored = batch.store([make_file(kind, kib, chance)])
            files.append(
                FileStoreFile(
                    id=uuid.uuid5(uuid.NAMESPACE_URL, f"https://support.example.com/demo/file/{copy}/{number}"),
                    name=name if copy == 1 else f"{stem}, part {copy}{dot}{ending}",
                    blob_id=stored.blob_id,
                    size_bytes=stored.size_bytes,
                    content_type=mimetypes.guess_type(name)[0] or "application/octet-stream",
                    is_public=is_public and copy == 1,
                )
            )
    return files


def _configure() -> None:
    """Settings as a real site has them; what an administrator has set already is left alone."""
    site = selectors.site()
    if site.portal_text == type(site)._meta.get_field("portal_text").get_default():
        site.name = "Example Support"
        site.portal_text = words.PORTAL_TEXT
        site.save()
    mail = EmailConfiguration.load()
    if not mail.relay_host:
        # No mail must leave by accident: names under .example are never resolved.
        mail.relay_host = "smtp.support.example"
        mail.relay_port = 587
        mail.encryption = "starttls"
        mail.from_address = f"support@{people.MAIL_DOMAIN}"
        mail.username = "support"
        mail.password = secrets.token_urlsafe(12)
        mail.admin_contacts = f"operators@{people.MAIL_DOMAIN} on-call@{people.MAIL_DOMAIN}"
        mail.save()
