"""What the tests do on either appliance: these functions run here, or in the process of the peer."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

PAIR_ID = "ab" * 16
GUIDS = {"primary": "11" * 16, "backup": "22" * 16}
KEY = b"k" * 32
MOMENT = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)


def set_up(role: str) -> None:
    """An appliance in this role, paired with the other one, otherwise empty."""
    from django.conf import settings
    from django.core.management import call_command

    from appliances import secrets
    from appliances.models import Appliance, FailoverRelationship, InterApplianceKey
    from appliances.models.relationship import KEY_LABEL
    from sync.models import RoleJournal

    if role == "primary":
        RoleJournal.objects.all().delete()  # before its settings, which a backup does not let go
        call_command("flush", interactive=False, verbosity=0)
        for folder in (settings.BLOB_DIR, settings.STAGING_DIR, Path(settings.DATA_DIR) / "snapshots"):
            shutil.rmtree(folder, ignore_errors=True)
    other = "backup" if role == "primary" else "primary"
    Appliance.objects.update_or_create(pk=1, defaults={"guid": GUIDS[role], "host_name": f"{role}.example.com"})
    InterApplianceKey.objects.update_or_create(
        pk=1, defaults={"sealed_key": secrets.seal(KEY, KEY_LABEL), "key_id": "0" * 16}
    )
    FailoverRelationship.objects.update_or_create(
        pk=1,
        defaults={
            "pair_id": PAIR_ID,
            "peer_guid": GUIDS[other],
            "peer_name": f"{other}.example.com",
            "peer_host": "127.0.0.1",
            "peer_port": 8443,
            "reverse_host": "127.0.0.2",
            "reverse_port": 8443,
            "is_founding_primary": role == "primary",
        },
    )
    if role == "primary":
        set_state({"state": "p_active", "own_term": 0, "head_seq": 0, "initialised": True})
    else:
        set_state({"state": "b_idle", "parity": 1, "head_term": -1})


def set_state(fields: dict[str, Any]) -> None:
    """Set columns of the role journal."""
    from sync.models import RoleJournal

    RoleJournal.load()
    RoleJournal.objects.filter(pk=1).update(**fields)


def head() -> tuple[int, int]:
    """The settings head."""
    from sync import journal

    state = journal.read()
    return state.head.term, state.head.seq


def account(name: str, fields: dict[str, Any] | None = None) -> int:
    """An account; its number."""
    from appliances.models import Account

    return Account.objects.create(username=name, password="argon2$x", **(fields or {})).pk


def store_file(name: str, content: bytes) -> str:
    """A file of the file store; its blob id."""
    from appliances import blobs
    from appliances.models import FileStoreFile

    blob = blobs.store([content])
    FileStoreFile.objects.create(name=name, blob_id=blob.blob_id, size_bytes=blob.size_bytes)
    return blob.blob_id


def replace_file(name: str, content: bytes, again: bool) -> str:
    """The file has other content, in the same row or in a new one; its blob id."""
    from appliances import blobs
    from appliances.models import FileStoreFile

    if again:
        FileStoreFile.objects.filter(name=name).delete()
        return store_file(name, content)
    blob = blobs.store([content])
    FileStoreFile.objects.filter(name=name).update(blob_id=blob.blob_id, size_bytes=blob.size_bytes)
    return blob.blob_id


def support_session(name: str, is_ended: bool = True) -> str:
    """A support session; its id."""
    from appliances.models import SupportSession

    row = SupportSession.objects.create(
        started_at=MOMENT, ended_at=MOMENT if is_ended else None, account_name="a", customer_name=name
    )
    return row.pk.hex


def event(text: str, row_id: str | None = None) -> str:
    """A session event; its id."""
    from appliances.models import SessionEvent

    row = SessionEvent.objects.create(
        id=uuid.UUID(row_id) if row_id else uuid.uuid4(), session_id=uuid.uuid4(), at=MOMENT, kind="chat", text=text
    )
    return row.pk.hex


def events(count: int) -> None:
    """Many session events."""
    from appliances.models import SessionEvent

    SessionEvent.objects.bulk_create(
        SessionEvent(session_id=uuid.uuid4(), at=MOMENT, kind="chat", text=f"line {n}") for n in range(count)
    )


def recording(name: str, content: bytes) -> str:
    """A recording; its blob id."""
    from appliances import blobs
    from appliances.models import Recording

    blob = blobs.store([content])
    Recording.objects.create(
        session_id=uuid.uuid4(),
        name=name,
        started_at=MOMENT,
        duration=dt.timedelta(seconds=1, microseconds=7),
        blob_id=blob.blob_id,
        size_bytes=blob.size_bytes,
    )
    return blob.blob_id


def run(source: str) -> Any:
    """Run a few lines; what they leave in `result`."""
    names: dict[str, Any] = {}
    exec(source, names)
    return names.get("result")


def contents() -> dict[str, list[bytes]]:
    """Every synchronised row as the digests see it, sorted."""
    from sync.datasync.registry import DATASETS
    from sync.datasync.rows import RowCodec
    from sync.datasync.wrapping import for_snapshot

    codecs = [RowCodec(dataset, for_snapshot("")) for dataset in DATASETS]
    return {codec.dataset.label: sorted(map(codec.digest_line, codec.read())) for codec in codecs}


def blob_ids() -> list[str]:
    """The blobs in the store, each verified."""
    from appliances import blobs

    found = sorted(blobs.all_ids())
    for blob_id in found:
        blobs.verify(blob_id)
    return found


def whole_session(name: str, age_days: int = 100) -> str:
    """A session that ended so many days ago, with three events and a recording; its id."""
    from django.utils import timezone

    from appliances import blobs
    from appliances.models import Recording, SessionEvent, SupportSession

    at = timezone.now() - dt.timedelta(days=age_days)
    key = uuid.uuid4()
    SupportSession.objects.create(id=key, started_at=at, ended_at=at, account_name="a", customer_name=name)
    for number in range(3):
        SessionEvent.objects.create(session_id=key, at=at, kind="chat", text=f"{name} {number}")
    blob = blobs.store([name.encode()])
    Recording.objects.create(session_id=key, name=name, started_at=at, blob_id=blob.blob_id, size_bytes=blob.size_bytes)
    return key.hex


def open_session(minutes: int | None = None) -> str:
    """A session with one event; it is ended so many minutes after its start, or goes on. Its id is always the same."""
    from appliances.incoming import documents, sessions

    key = str(uuid.uuid5(uuid.NAMESPACE_OID, "open"))
    told: dict[str, Any] = {"id": key, "started_at": MOMENT.isoformat(), "representative": "a", "customer_name": "b"}
    line = {"id": str(uuid.uuid5(uuid.UUID(key), "event")), "at": MOMENT.isoformat(), "kind": "chat"}
    sessions.bring_in(documents.session({**told, "events": [line]}))
    if minutes is not None:
        end_session(minutes)
    return key


def end_session(minutes: int) -> None:
    """The client says that `open_session` has ended so many minutes after its start."""
    from appliances.incoming import sessions

    sessions.end(uuid.uuid5(uuid.NAMESPACE_OID, "open"), MOMENT + dt.timedelta(minutes=minutes))


def end_forgotten() -> int:
    """Sessions whose end nobody told have ended."""
    from django.utils import timezone

    from appliances.incoming import sessions

    return sessions.end_forgotten(timezone.now())


def ended_at() -> list[Any]:
    """When the sessions that are here have ended, in minutes after their start."""
    from appliances.models import SupportSession

    rows = SupportSession.objects.values_list("started_at", "ended_at")
    return [end and (end - start).total_seconds() / 60 for start, end in rows]


def sent_session(name: str, started_at: str = "2026-01-02T03:04:05+00:00", events: int = 20) -> None:
    """A client sends this ended session with its events and a recording, under ids made of the name."""
    from appliances import blobs
    from appliances.incoming import documents, sessions
    from appliances.models import Recording

    key = uuid.uuid5(uuid.NAMESPACE_OID, name)
    told: dict[str, Any] = {"id": str(key), "started_at": MOMENT.isoformat(), "ended_at": MOMENT.isoformat()}
    told |= {"representative": "anna", "customer_name": name}
    lines = [{"id": str(uuid.uuid5(key, str(n))), "at": MOMENT.isoformat(), "kind": "chat"} for n in range(events)]
    sessions.bring_in(documents.session({**told, "events": lines}))
    blob = blobs.store([name.encode()])
    Recording.objects.create(
        id=uuid.uuid5(key, "recording"),
        session_id=key,
        name=name,
        started_at=dt.datetime.fromisoformat(started_at),
        blob_id=blob.blob_id,
        size_bytes=blob.size_bytes,
    )


def expire(days: int | None, recordings_days: int | None = None) -> str:
    """What the retention deletes, where sessions and recordings are kept for so many days."""
    from django.utils import timezone

    from appliances.models import RetentionSettings
    from sync.datasync import retention

    wishes = {"keep_sessions_days": days, "keep_recordings_days": recordings_days, "agreed_at": timezone.now()}
    RetentionSettings.objects.update_or_create(pk=1, defaults=wishes)
    return str(retention.expire())


def delete_session(key: str) -> None:
    """Delete a session for good."""
    from sync.datasync import tombstones

    tombstones.delete(tombstones.SESSION, [uuid.UUID(key)])


def names_held() -> list[str]:
    """The customers of the sessions, and the names of the recordings, that are here."""
    from appliances.models import Recording, SupportSession

    sessions = SupportSession.objects.values_list("customer_name", flat=True)
    return sorted([*sessions, *Recording.objects.values_list("name", flat=True)])


IMAGE: list[Any] = []


def take_image() -> None:
    """Remember the append-only rows and how far they reach."""
    from sync.datasync.registry import APPEND_ONLY
    from sync.models import SealedDay, SealedMark

    models: list[Any] = [*(dataset.model for dataset in APPEND_ONLY), SealedMark, SealedDay]
    IMAGE[:] = [list(model._base_manager.all()) for model in models]


def restore_image() -> None:
    """The append-only rows are those of the image again."""
    from sync.datasync.registry import APPEND_ONLY
    from sync.models import SealedDay, SealedMark

    models: list[Any] = [*(dataset.model for dataset in APPEND_ONLY), SealedMark, SealedDay]
    for model, rows in zip(models, IMAGE, strict=True):
        model._base_manager.all().delete()
        model._base_manager.bulk_create(rows)


def lose(row_id: str) -> None:
    """An event that was synchronised is not here any more, and the mark says so."""
    from appliances.models import SessionEvent

    _lose("appliances.SessionEvent", SessionEvent.objects.filter(pk=uuid.UUID(row_id)))


def lose_tombstones() -> None:
    """No tombstone is here any more, and the marks say so; what they named is here again."""
    from appliances.models import SupportSession, Tombstone

    keys = list(Tombstone.objects.values_list("row_id", flat=True))
    _lose("appliances.Tombstone", Tombstone.objects.all())
    SupportSession.objects.bulk_create(
        SupportSession(id=key, started_at=MOMENT, account_name="a", customer_name="b") for key in keys
    )


def _lose(label: str, rows: Any) -> None:
    from sync.datasync import marks
    from sync.datasync.registry import by_label
    from sync.datasync.rows import RowCodec
    from sync.datasync.wrapping import NO_SECRETS

    codec = RowCodec(by_label()[label], NO_SECRETS)
    with marks.book(codec.dataset) as held:
        for row in codec.read(rows):
            held.remove(*marks.mark_fields(codec, row)[:2], codec.digest_line(row))
        rows.delete()


def damage(row_id: str, text: str) -> None:
    """An event that was synchronised has another text here, and the mark says so."""
    from appliances.models import SessionEvent

    _change("appliances.SessionEvent", SessionEvent.objects.filter(pk=uuid.UUID(row_id)), text=text)


def _change(label: str, rows: Any, **fields: Any) -> None:
    from sync.datasync import marks
    from sync.datasync.registry import by_label
    from sync.datasync.rows import RowCodec
    from sync.datasync.wrapping import NO_SECRETS

    codec = RowCodec(by_label()[label], NO_SECRETS)
    with marks.book(codec.dataset) as held:
        for row in codec.read(rows):
            held.remove(*marks.mark_fields(codec, row)[:2], codec.digest_line(row))
        rows.update(**fields)
        for row in codec.read(rows):
            held.add(*marks.mark_fields(codec, row)[:2], codec.digest_line(row))


def damage_start() -> None:
    """The recording that was synchronised starts at another moment here, and the mark says so."""
    from appliances.models import Recording

    _change("appliances.Recording", Recording.objects.all(), started_at=MOMENT)


def recording_of(content: bytes, row_id: str | None = None) -> str:
    """A recording with this content; its id."""
    from appliances import blobs
    from appliances.models import Recording

    blob = blobs.store([content])
    row = Recording.objects.create(
        id=uuid.UUID(row_id) if row_id else uuid.uuid4(),
        session_id=uuid.UUID(int=1),
        name="r",
        started_at=MOMENT,
        blob_id=blob.blob_id,
        size_bytes=blob.size_bytes,
    )
    return row.pk.hex


def take_files(frames: list[bytes]) -> int:
    """Mend what is damaged here with what the other appliance answered; how many files were mended."""
    from contextlib import contextmanager

    from sync.datasync import repair
    from sync.models import DamagedFile

    class Answered:
        """A client whose peer has answered already."""

        pace: Any = None

        @contextmanager
        def open_stream(self, message: Any) -> Any:
            """The frames."""
            yield iter(frames)

    return repair.fetch(Answered(), list(DamagedFile.objects.all()))  # type: ignore[arg-type]


_OPENED: list[Any] = []


def lose_file(blob_id: str, how: str) -> None:
    """The stored file is missing, rotten or unreadable from its middle on."""
    from appliances import blobs

    place = blobs.path(blob_id)
    if how == "missing":
        place.unlink()
    elif how == "rotten":
        content = bytearray(place.read_bytes())
        content[len(content) // 2] ^= 1
        place.write_bytes(content)
    else:
        _break_disk(blob_id)


def _break_disk(blob_id: str) -> None:
    """Reading this stored file fails as on a disk with a bad sector in the middle of the file."""
    import errno
    import io

    from appliances import blobs

    class BadSector(io.BufferedReader):
        """A file on it."""

        def readinto(self, buffer: Any) -> int:
            if self.tell() + len(buffer) > os.fstat(self.fileno()).st_size // 2:
                raise OSError(errno.EIO, "Input/output error")
            return super().readinto(buffer)

    opened, read_small = blobs.open_blob, blobs.read_small
    _OPENED.append((opened, read_small))

    def open_blob(asked: str) -> Any:
        return BadSector(io.FileIO(blobs.path(asked))) if asked == blob_id else opened(asked)

    def read(asked: str, at_most: int) -> bytes | None:
        if asked == blob_id and blobs.size(asked) <= at_most:
            raise OSError(errno.EIO, "Input/output error")
        return read_small(asked, at_most)

    blobs.open_blob, blobs.read_small = open_blob, read  # type: ignore[assignment]


def mend_disk() -> None:
    """Every file can be read again."""
    from appliances import blobs

    while _OPENED:
        blobs.open_blob, blobs.read_small = _OPENED.pop()


def store_again(content: bytes) -> None:
    """The bytes are in the store."""
    from appliances import blobs

    blobs.store([content])
