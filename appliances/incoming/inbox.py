"""A watched folder: a document `*.json` and the recordings that it names beside it become a session with recordings.

Names in the folder are data. Each file is opened below the folder's descriptor, without following links, and only an
ordinary file with one name is read. What cannot be used moves to `refused/`, with a text beside it that says why.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import logging
import os
import stat
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blake3 import blake3
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from appliances import blobs, disk
from appliances.incoming import documents, sessions, uploads
from appliances.incoming.documents import RecordingGiven, SessionGiven, Unusable
from appliances.models import Recording, SupportSession

REFUSED = "refused"
DOCUMENT = ".json"
UNFINISHED = (".part", ".tmp", ".filepart", ".crdownload")  # as programs call what they still write
MAX_DOCUMENT_BYTES = 16 << 20
MAX_RECORDINGS = 1000  # in one document
WAIT_SECONDS = 3600.0  # for the other half of a document with its recordings
NAME_BYTES = 200  # of a refused name, so that there is room for what is added

log = logging.getLogger(__name__)


class NotYet(Exception):
    """Something is still being written, or has yet to come."""


class Unreadable(Unusable):
    """The disk does not give the bytes of a file. It is not read again and again, which would be every few seconds."""


class _Reader(io.FileIO):
    """A file of the folder: what its disk cannot read is told from what the store cannot write."""

    def __init__(self, descriptor: int, name: str) -> None:
        super().__init__(descriptor, "rb")
        self._given = name

    def read(self, size: int | None = -1, /) -> bytes:
        """As of a file; raises Unreadable."""
        with self._told():
            return super().read(-1 if size is None else size) or b""

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unreadable(f"{self._given!r} cannot be read: {disk.reason(error)}.") from error


@dataclass(frozen=True)
class FileGiven:
    """A recording as its document tells of it."""

    id: uuid.UUID
    file: str
    told: RecordingGiven


@dataclass(frozen=True)
class Document:
    """What one document says. `session` None: the session is here already."""

    session: SessionGiven | None
    files: tuple[FileGiven, ...]


@dataclass
class Looked:
    """What one look at the folder did."""

    taken: int = 0
    refused: int = 0
    named: set[str] = field(default_factory=set)  # by documents that still wait
    stuck: dict[str, str] = field(default_factory=dict)  # what the disk does not let go, and why
    unreadable: dict[str, str] = field(default_factory=dict)  # what it did not give, which was refused


def look() -> Looked:
    """All that is complete in the folder has been taken in or refused; a bad file stops none of the others.

    Raises:
        OSError: the folder cannot be read or written, or the disk is full.
        blobs.StoreFull: what was not taken in stays where it is.
    """
    found = Looked()
    with _folder() as folder:
        names = sorted(os.listdir(folder))
        for name in names:
            if name.endswith(DOCUMENT) and not name.startswith("."):
                with _alone(name, found):
                    _take_document(folder, name, found)
        for name in names:
            if name != REFUSED and not name.startswith(".") and not name.endswith(DOCUMENT):
                with _alone(name, found):
                    _check_other(folder, name, found)
    return found


@contextlib.contextmanager
def _alone(name: str, found: Looked) -> Iterator[None]:
    """What is wrong with this file is noted; only a full disk, and what is no fault of a file, ends the look."""
    try:
        yield
    except OSError as error:
        if error.errno in disk.FULL:
            raise
        where = f"{error.filename}: " if error.filename not in (None, name) else ""
        found.stuck[f"{name!r} in the watched folder"] = f"{where}{disk.reason(error)}"


def _take_document(folder: int, name: str, found: Looked) -> None:
    listed: list[str] = []
    try:
        with _opened(folder, name) as file:
            facts = os.fstat(file.fileno())
            if facts.st_size > MAX_DOCUMENT_BYTES:
                raise Unusable(f"A document can have at most {MAX_DOCUMENT_BYTES >> 20} MiB.")
            content = file.read(facts.st_size)
        document = _parse(content)
        listed = [given.file for given in document.files]
        try:
            _keep(folder, document)
        except NotYet as reason:
            if _age(facts) > WAIT_SECONDS:
                raise Unusable(f"{reason} It was waited for an hour.") from reason
            raise
    except (NotYet, uploads.Busy):
        found.named.update(listed)
        return
    except (Unusable, uploads.UploadError, sessions.AlreadyThere, sessions.NoSuchSession) as error:
        _refuse(folder, [name, *listed], str(error), found)
        if isinstance(error, Unreadable):
            found.unreadable[_short(name)] = str(error)
        return
    for done in (*listed, name):  # the document last: while it is there, all can be done again
        with contextlib.suppress(FileNotFoundError):
            os.unlink(done, dir_fd=folder)
    found.taken += 1


def _keep(folder: int, document: Document) -> None:
    """The session, its events and its recordings are here, all of them or none."""
    here = set(Recording.objects.filter(pk__in=[given.id for given in document.files]).values_list("pk", flat=True))
    missing = [given for given in document.files if given.id not in here]
    for given in missing:
        with _opened(folder, given.file):  # before anything is copied
            pass
    for given in missing:
        uploads.not_sealed(given.id)
    rows = [_recording(given, _store(folder, given.file)) for given in missing]
    with transaction.atomic():
        if document.session is not None:
            sessions.bring_in(document.session)
        for row in rows:
            if not SupportSession.objects.filter(pk=row.session_id).exists():
                raise sessions.NoSuchSession(f"There is no session {row.session_id} on this appliance.")
            row.save(force_insert=True)


def _store(folder: int, name: str) -> blobs.StoredBlob:
    with _opened(folder, name) as file:
        before = os.fstat(file.fileno())
        if before.st_size > uploads.max_bytes():
            raise Unusable(f"{name!r} is larger than {settings.MAX_UPLOAD_GIB} GiB.")
        uploads.check_room(before.st_size)
        try:
            stored = blobs.store(file, max_bytes=uploads.max_bytes())
        except blobs.BlobTooLarge as error:
            raise NotYet(f"{name!r} is still growing.") from error
        after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise NotYet(f"{name!r} is still being written.")
    return stored


def _recording(given: FileGiven, stored: blobs.StoredBlob) -> Recording:
    return Recording(
        id=given.id,
        session_id=given.told.session_id,
        name=given.told.name,
        started_at=given.told.started_at,
        duration=given.told.duration,
        blob_id=stored.blob_id,
        size_bytes=stored.size_bytes,
        content_type=given.told.content_type,
    )


def _parse(content: bytes) -> Document:
    """What a document says. What has no id gets one made of the document, the same each time it is read."""
    try:
        given: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Unusable("The document is no JSON that can be read.") from error
    if not isinstance(given, dict) or not set(given) <= {"session", "recordings"} or "session" not in given:
        raise Unusable("A document is an object with session and, if there are any, recordings.")
    made_of = uuid.uuid5(uuid.NAMESPACE_OID, blake3(content).hexdigest())
    session = None
    if isinstance(given["session"], dict):
        _give_ids(given["session"], made_of)
        session = documents.session(given["session"])
        session_id, started_at = session.id, session.started_at
    else:
        session_id, started_at = documents.identifier(given["session"], "session"), timezone.now()
    listed = given.get("recordings", [])
    if not isinstance(listed, list) or len(listed) > MAX_RECORDINGS:
        raise Unusable(f"recordings is a list of at most {MAX_RECORDINGS}.")
    files = []
    for told in listed:
        if not isinstance(told, dict):
            raise Unusable("A recording is told of by an object with at least file.")
        name = _plain_name(told.get("file"))
        key = documents.identifier(told["id"], "id") if "id" in told else uuid.uuid5(made_of, name)
        facts = {"name": name, **told, "session": str(session_id)}
        files.append(FileGiven(key, name, documents.recording(facts, started_at)))
    if len({one.file for one in files}) != len(files) or len({one.id for one in files}) != len(files):
        raise Unusable("Two recordings have one file or one id.")
    return Document(session, tuple(files))


def _give_ids(session: dict[str, Any], made_of: uuid.UUID) -> None:
    session.setdefault("id", str(uuid.uuid5(made_of, "session")))
    events = session.get("events")
    for number, event in enumerate(events if isinstance(events, list) else []):
        if isinstance(event, dict):
            event.setdefault("id", str(uuid.uuid5(made_of, f"event {number}")))


def _plain_name(name: object) -> str:
    found = documents.plain(name, "file", 255)
    if "/" in found or found.startswith(".") or found.endswith(DOCUMENT) or found in ("", REFUSED):
        raise Unusable("file is the name of a recording in the same folder, without any path.")
    return found


def _check_other(folder: int, name: str, found: Looked) -> None:
    """What is no document is refused if it is nothing that one could name, or if none has named it for long."""
    if name in found.named:
        return
    try:
        facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(facts.st_mode) and not stat.S_ISDIR(facts.st_mode):
        _refuse(folder, [name], "This is no ordinary file.", found)
    elif _age(facts) > WAIT_SECONDS and not name.endswith(UNFINISHED):
        why = "Folders are not looked into." if stat.S_ISDIR(facts.st_mode) else "For an hour no document named it."
        _refuse(folder, [name], why, found)


@contextlib.contextmanager
def _opened(folder: int, name: str) -> Iterator[_Reader]:
    """The file, which is complete, ordinary, and known by this name alone.

    Raises:
        NotYet, Unusable
    """
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError as error:
        raise NotYet(f"{name!r} is not there.") from error
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EACCES, errno.ENAMETOOLONG, errno.EINVAL):
            raise Unusable(f"{name!r} is no ordinary file that can be read.") from error
        raise
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise Unusable(f"{name!r} is no ordinary file.")
    with _Reader(descriptor, name) as file:
        if _age(facts) < settings.INBOX_QUIET_SECONDS:
            raise NotYet(f"{name!r} may still be being written.")
        if facts.st_nlink != 1:
            raise Unusable(f"{name!r} has another name elsewhere (hard link).")
        yield file


def _age(facts: os.stat_result) -> float:
    """Seconds since the last write; a time that lies ahead, as of a copy, counts as that of the last change at all."""
    now = time.time()
    return now - (facts.st_mtime if facts.st_mtime <= now else facts.st_ctime)


def _refuse(folder: int, names: list[str], why: str, found: Looked) -> None:
    """These move to `refused/`, and a text beside the first of them says why."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(REFUSED, 0o700, dir_fd=folder)
    refused = os.open(REFUSED, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        mark = f"{time.time_ns():x}"
        _move(folder, refused, mark, names[:1])  # what cannot be moved is not told of in the folder again and again
        text = f"{mark}-{_short(names[0])}.txt"
        target = os.open(text, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=refused)
        with open(target, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{why}\n\nMend it and move it back without the number in front, or delete it.\n")
        _move(folder, refused, mark, names[1:])
    finally:
        os.close(refused)
    log.warning("refused in the inbox", extra={"file": repr(names[0])[:200], "why": why[:300]})
    found.refused += 1


def _move(folder: int, refused: int, mark: str, names: list[str]) -> None:
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            os.rename(name, f"{mark}-{_short(name)}", src_dir_fd=folder, dst_dir_fd=refused)


def _short(name: str) -> str:
    return os.fsdecode(os.fsencode(name)[:NAME_BYTES])


@contextlib.contextmanager
def _folder() -> Iterator[int]:
    place = Path(settings.INBOX_DIR)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
