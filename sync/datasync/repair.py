"""A stored file that is damaged or missing is fetched from the peer, whichever of the two this appliance is.

What neither has any more is told to the administrators, and tried again: somebody may put it back.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from appliances import blobs, durable, selectors
from appliances.choices import FileProblem, RepairState, Severity
from sync import history, journal
from sync.datasync import blob_frames, damaged
from sync.datasync.blob_frames import BlobReader, CutShort
from sync.datasync.frames import FrameReader
from sync.datasync.pull import bandwidth_limit, is_running
from sync.datasync.receive import check_space
from sync.datasync.refusals import refused
from sync.errors import PeerMisbehaved, SyncError, SyncRefused
from sync.models import DamagedFile
from sync.peer.client import PeerClient
from sync.peer.pace import Pace
from sync.peer.sync_messages import PullFiles
from sync.rules.facts import header_of
from sync.rules.snapshot import Refusal

TRY_AGAIN = dt.timedelta(minutes=5)
AT_ONCE = 100  # files of one question
LEAST_RATE = 1000.0  # bytes a second, beside a data-sync under a bandwidth limit

log = logging.getLogger(__name__)


def mend() -> int:
    """Fetch from the peer what is damaged or missing here, as far as it is time to; how many files were mended.

    None while another thread or process is at it: a repair may take longer than the time to the next one.
    """
    with durable.alone(Path(settings.DATA_DIR) / "repair.lock") as is_alone:
        return _mend() if is_alone else 0


def _mend() -> int:
    due = Q(tried_at=None) | Q(tried_at__lt=timezone.now() - TRY_AGAIN) | Q(tried_at__gt=timezone.now())
    open_rows = DamagedFile.objects.filter(due, ended_at=None).order_by("found_at")
    rows = [row for row in open_rows[:AT_ONCE] if not _is_settled(row)]
    if not rows:
        return 0
    _tried(rows)
    if selectors.relationship() is None:
        for row in rows:
            _lost(row, "There is no peer to fetch it from.")
        return 0
    rows = _that_fit(rows)
    if not rows:
        return 0
    try:
        with PeerClient.to_peer() as client:
            return fetch(client, rows)
    except SyncError as error:
        DamagedFile.objects.filter(pk__in=[row.pk for row in rows], ended_at=None).update(detail=str(error)[:1000])
        log.warning("damaged files not fetched yet", extra={"files": len(rows), "why": str(error)})
        return 0


def fetch(client: PeerClient, rows: Sequence[DamagedFile]) -> int:
    """Ask the peer for these files; how many came and are what they should be.

    Raises:
        SyncError: the peer did not answer to the end; what came before is kept.
    """
    client.pace = Pace(_limit, lambda: None)
    question = PullFiles(header=header_of(journal.read()), blobs=[row.blob_id for row in rows])
    mended = 0
    with client.open_stream(question) as stream:
        frames = FrameReader(stream)
        reader = BlobReader(frames)
        for row in rows:
            mended += _take(reader, row)
            _tried([row])  # the pause begins when its turn is over, however long that took
        reader.finish()
        if frames.peek() is not None:
            raise PeerMisbehaved("the peer sent more files than were asked for")
    return mended


def _limit() -> float:
    """The bandwidth limit in bytes a second, 0 for none: what is allowed for all together belongs to a data-sync first.

    While one runs, a repair goes on as slowly as keeps its connection open.
    """
    allowed = bandwidth_limit()
    return min(allowed, LEAST_RATE) if allowed and is_running() else allowed


def answer_files(message: PullFiles) -> Iterator[bytes | bytearray]:
    """The frames of the files asked for, in that order."""
    if len(message.blobs) > AT_ONCE or not all(blobs.is_blob_id(blob_id) for blob_id in message.blobs):
        raise PeerMisbehaved("what is asked for is not a list of files")
    return blob_frames.of_blobs(message.blobs, lacks=damaged.note)


def _take(reader: BlobReader, row: DamagedFile) -> bool:
    content = reader.take(row.blob_id)
    if content is None:
        return _lost(row, "The peer does not have it either.")
    pieces = iter([content]) if isinstance(content, memoryview) else content.pieces
    _check_room(len(content) if isinstance(content, memoryview) else content.size)
    try:
        blobs.store_verified(row.blob_id, pieces)
    except blobs.BlobCorrupt:
        return _lost(row, "The copy of the peer is damaged too.")
    except CutShort:
        return _lost(row, "The peer cannot read its copy.")
    except (blobs.BlobError, OSError) as error:
        for _ in pieces:  # what comes after it is another file
            pass
        DamagedFile.objects.filter(pk=row.pk).update(detail=f"It could not be stored: {error}"[:1000])
        return False
    _end(row, RepairState.REPAIRED)
    history.record(
        "file_repaired",
        f"The stored file “{row.name}” was fetched from the peer and is whole again.",
        evidence={"blob": row.blob_id},
    )
    return True


def _that_fit(rows: Sequence[DamagedFile]) -> list[DamagedFile]:
    """Those that have room here together, the smaller ones first; each of the others says what it lacks."""
    found: list[DamagedFile] = []
    needed = 0
    for size, row in sorted(((damaged.size_of(row.blob_id), row) for row in rows), key=lambda one: one[0]):
        try:
            _check_room(size, needed, len(found))
        except SyncRefused as error:
            DamagedFile.objects.filter(pk=row.pk, ended_at=None).update(detail=str(error)[:1000])
        else:
            found.append(row)
            needed += size
    return found


def _check_room(size: int, beside_bytes: int = 0, beside_files: int = 0) -> None:
    """Raises SyncRefused if a file of this size has no room here beside others that are to come.

    Raised while it comes, it ends the stream: nothing is stored of a file that is larger than its row says.
    """
    if size > blobs.MAX_BLOB_BYTES:
        raise refused(Refusal.BLOB_TOO_LARGE, f"{size} bytes, at most {blobs.MAX_BLOB_BYTES}.")
    check_space(beside_bytes + size, beside_files + 1)


def _tried(rows: Sequence[DamagedFile]) -> None:
    DamagedFile.objects.filter(pk__in=[row.pk for row in rows]).update(tried_at=timezone.now())


def _is_settled(row: DamagedFile) -> bool:
    """Whether there is nothing to mend any more: no row needs the file, or it is whole.

    Somebody has stored it again, or it could not be read only for a moment.
    """
    if damaged.name_of(row.blob_id) is None:
        return _end(row, RepairState.GONE)
    try:
        stored = blobs.path(row.blob_id).stat()
        is_doubtful = row.tried_at is None or row.problem == FileProblem.MISSING
        if is_doubtful or stored.st_mtime > row.found_at.timestamp():  # what is surely damaged is not read each time
            blobs.verify(row.blob_id)
            return _end(row, RepairState.REPAIRED)
    except (blobs.BlobError, OSError):
        return False
    return False


def _end(row: DamagedFile, state: RepairState) -> bool:
    DamagedFile.objects.filter(pk=row.pk, ended_at=None).update(state=state, ended_at=timezone.now(), detail="")
    return True


def _lost(row: DamagedFile, why: str) -> bool:
    was = DamagedFile.objects.filter(pk=row.pk, ended_at=None).exclude(state=RepairState.LOST)
    if was.update(state=RepairState.LOST, detail=why):
        history.record(
            "file_lost",
            f"The stored file “{row.name}” is {row.get_problem_display().lower()} here. {why}",
            severity=Severity.ERROR,
            evidence={"blob": row.blob_id},
        )
    return False
