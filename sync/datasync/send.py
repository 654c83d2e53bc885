"""What only the backup has of append-only rows goes up to the primary before a data-sync ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from appliances import blob_partials
from appliances.choices import FileProblem
from sync.datasync import blob_frames, damaged, frames, marks, tombstones, union
from sync.datasync.blob_frames import Helps
from sync.datasync.frames import Section
from sync.datasync.lease import Progress
from sync.datasync.receive import note_blob
from sync.datasync.registry import by_label
from sync.datasync.rows import Row, RowCodec
from sync.datasync.wrapping import NO_SECRETS
from sync.peer.client import PeerClient
from sync.peer.sync_messages import DeletionsAllowed, Held, PushAppend, PushDeletions, PushDone, PushHeld
from sync.rules.diff import Mark, Wanted

PUSH_ROWS = 1000
PUSH_ROW_BYTES = 8 * 1024 * 1024  # of rows in one push, which both sides keep in memory
PUSH_BYTES = 64 * 1024 * 1024  # rows and blobs of one push, so that a cut costs no more than this to repeat


def send(client: PeerClient, snapshot_id: str, wanted: Wanted, progress: Progress) -> tuple[list[Mark], list[str]]:
    """The primary holds the rows that were wanted, with their blobs; all marks it holds then, and the blobs it lacks.

    Its mark reaches `wanted.upto` also where the last of these numbers, or all of them, are of deleted rows. A row
    whose blob is missing, damaged or unreadable here goes up without it; both sides note that.
    """
    codec = RowCodec(by_label()[wanted.dataset], NO_SECRETS)
    answered: list[Mark] = []
    lacking: list[str] = []
    after = wanted.after
    for batch, listed, is_last in _batches(codec, wanted):
        upto = wanted.upto if is_last else marks.mark_fields(codec, batch[-1])[2]
        part = Wanted(wanted.dataset, wanted.origin, wanted.incarnation, after, upto)
        starts = _starts(client, snapshot_id, listed)
        stream = _frames(codec, part, batch, listed, starts, progress)
        done = client.send_stream(PushAppend(snapshot_id=snapshot_id), stream, PushDone)
        union.take_back(part, done.live)
        after, answered = upto, done.marks
        progress.run.rows_sent += len(batch)
        progress.run.blobs_sent += done.blobs
        for blob_id in done.lacking:
            damaged.note(blob_id, FileProblem.CORRUPT, "It did not arrive whole at the primary.")
        lacking += done.lacking
        progress.tick()
    return answered, lacking


def ask_deletions(client: PeerClient, snapshot_id: str, wanted: Sequence[Wanted]) -> None:
    """The primary has agreed to all that these tombstones delete there, before the first of them goes up.

    Raises:
        PeerRefused: it is much of what the primary holds.
    """
    if wanted:
        named = tombstones.named_by(chain.from_iterable(map(marks.lines_in_order, wanted)))
        client.send_stream(PushDeletions(snapshot_id=snapshot_id), frames.of_deletions(named), DeletionsAllowed)


def _starts(client: PeerClient, snapshot_id: str, listed: dict[str, int]) -> dict[str, int]:
    """How much of large files has come up before, by blob; what the primary has whole is taken off the list."""
    if sum(listed.values()) < blob_partials.LEAST_BYTES:
        return {}
    absent = client.ask(PushHeld(snapshot_id, list(listed)), Held).absent
    for blob_id in listed.keys() - absent.keys():
        del listed[blob_id]
    return {
        blob_id: min(absent[blob_id], size - 1) for blob_id, size in listed.items() if size >= blob_partials.LEAST_BYTES
    }


def _batches(codec: RowCodec, wanted: Wanted) -> Iterator[tuple[list[Row], dict[str, int], bool]]:
    """The rows of each push with their blobs, and whether it is the last one, which may be of no row."""
    batch: list[Row] = []
    listed: dict[str, int] = {}
    size = 0
    for row in marks.rows_in_order(wanted):
        is_full = len(batch) >= PUSH_ROWS or size >= PUSH_ROW_BYTES or size + sum(listed.values()) >= PUSH_BYTES
        if is_full and marks.mark_fields(codec, row)[2] > marks.mark_fields(codec, batch[-1])[2]:
            yield batch, listed, False
            batch, listed, size = [], {}, 0
        batch.append(row)
        size += len(codec.wire_line(row))
        note_blob(codec, row, listed)
    yield batch, listed, True


def _frames(
    codec: RowCodec,
    part: Wanted,
    batch: list[Row],
    listed: dict[str, int],
    starts: dict[str, int],
    progress: Progress,
) -> Iterator[bytes | bytearray]:
    yield frames.of_push(part, listed)
    for frame in blob_frames.of_blobs(listed, Helps(starts), lacks=damaged.note):
        progress.tick()
        yield frame
    yield from frames.of_rows(Section(*part.key), map(codec.wire_line, batch))
