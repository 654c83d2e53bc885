"""The primary's half of a data-sync: compare, hand out rows and blobs, take in what only the backup has."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from functools import partial

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from appliances import blob_partials, blobs, selectors
from appliances.choices import BrakeSubject, FileProblem
from appliances.models import FailoverRelationship
from sync import crash, journal
from sync.datasync import blob_frames, brake, damaged, frames, marks, remembered, served, snapshots, tombstones, union
from sync.datasync.blob_frames import Helps
from sync.datasync.blobs_in import Resumed, store_blobs
from sync.datasync.buckets import differing_lines
from sync.datasync.bulk import Bulk
from sync.datasync.fetch import room_for
from sync.datasync.frames import FrameReader, LineCutter, Section
from sync.datasync.receive import note_blob
from sync.datasync.refusals import LACKS, refused
from sync.datasync.registry import APPEND_ONLY, SETTINGS, TOMBSTONE, by_label
from sync.datasync.wrapping import SecretWrap, for_snapshot
from sync.errors import PeerMisbehaved
from sync.peer import identity
from sync.peer.messages import MAX_MESSAGE_BYTES, Done, render
from sync.peer.sync_messages import (
    Days,
    DeletionsAllowed,
    Held,
    Manifest,
    PullBegin,
    PullBlobs,
    PullDays,
    PullEnd,
    PullRows,
    PushAppend,
    PushDeletions,
    PushDone,
    PushHeld,
)
from sync.rules.diff import Mark, TableDigest, Wanted, root
from sync.rules.facts import RoleState, header_of
from sync.rules.snapshot import Refusal, may_serve

MOST_RESUMED_BYTES = 4 << 30  # of a file that is pushed: they are hashed again while the backup waits
SEAL_SECONDS = 20.0  # of the time that the backup waits for the manifest
MAX_PUSH_BYTES = 48 * 1024 * 1024  # rows of one PUSH_APPEND, kept in memory until the stream has proved whole


def begin(message: PullBegin) -> Manifest:
    """What this primary holds. Unless all is equal, a snapshot of the settings that differ is kept for the backup.

    Raises:
        SyncRefused: this appliance may not be the source, or the asker is not its peer.
    """
    pair = _pair()
    if message.guid != pair.peer_guid:
        raise refused(Refusal.OTHER_PAIR)
    _serving(message.op_id)
    if not all(map(marks.is_well_formed, message.marks)):
        raise PeerMisbehaved("the marks of the backup are not well-formed")
    snapshots.remove_pulled()
    if not message.root:  # the root alone does not tell how far the peer has seen the rows of this appliance
        marks.heed(message.marks)
        marks.seal_all(SEAL_SECONDS)
    is_all = marks.are_all_sealed()
    snapshot_id = snapshots.new_id()
    wrap = for_snapshot(snapshot_id)
    remembered.remember(wrap)
    with snapshots.read_transaction():
        state = _serving(message.op_id)
        tables, own_marks = remembered.digests(wrap), marks.held()
        if not message.root:
            equal = (tables, own_marks, state.head) == (message.settings, message.marks, message.header.head)
        elif message.root != root(state.head, tables, own_marks) or not is_all:
            return manifest_of(pair, state, "", [], [], more=True)
        else:
            equal = True
        if equal and message.header.initialised:
            snapshot_id = ""
        else:
            snapshots.create(snapshot_id, own_marks)
            _keep(snapshot_id, wrap, [table for table in tables if table not in message.settings])
    manifest = manifest_of(pair, state, snapshot_id, tables, own_marks, more=not is_all)
    if snapshot_id:
        crash.point("source snapshot written")
    if not message.root and (size := len(render(manifest))) > MAX_MESSAGE_BYTES:
        snapshots.remove(snapshot_id)
        raise refused(Refusal.MANIFEST_TOO_LARGE, f"{size} bytes, at most {MAX_MESSAGE_BYTES}; {len(own_marks)} marks.")
    with transaction.atomic():
        served.begun(message, manifest)
        if not snapshot_id:
            _stamp()
    return dataclasses.replace(manifest, settings=[], marks=[]) if message.root else manifest


def days(message: PullDays) -> Days:
    """What a mark counts, day by day.

    Raises:
        SyncRefused: the snapshot is gone.
    """
    snapshots.folder(message.snapshot_id)
    _in_source_state()
    return Days(marks.days(message.dataset, message.origin, message.incarnation))


def rows(message: PullRows) -> Iterator[bytes | bytearray]:
    """The frames of the rows asked for.

    Raises:
        SyncRefused: the snapshot is gone, or does not hold what is asked for.
    """
    limits = snapshots.limits(message.snapshot_id) | served.reached(message.snapshot_id)
    _in_source_state()
    tables = [(Section(label), _table_lines(message, label)) for label in message.tables]
    for wanted in message.wanted:
        if wanted.upto > limits.get(wanted.key, 0):
            raise refused(Refusal.SNAPSHOT_GONE)
    return snapshots.kept_while(message.snapshot_id, _row_frames(tables, message.wanted))


def _table_lines(message: PullRows, label: str) -> Iterator[bytes]:
    whole = partial(snapshots.lines, message.snapshot_id, label)
    lines = whole()  # refuses at once what is not there
    return differing_lines(label, message.held[label], whole) if label in message.held else lines


def blob_stream(message: PullBlobs) -> Iterator[bytes | bytearray]:
    """The frames of the blobs asked for, in that order.

    Raises:
        SyncRefused: the snapshot is gone.
    """
    snapshots.folder(message.snapshot_id)
    _in_source_state()
    if not all(map(blobs.is_blob_id, [*message.blobs, *message.bases.values()])):
        raise PeerMisbehaved("what is asked for is not a blob id")
    return snapshots.kept_while(message.snapshot_id, _each_blob(message))


def may_delete(message: PushDeletions, stream: Iterable[bytes | bytearray]) -> DeletionsAllowed:
    """All that the backup's tombstones would delete here is looked at together, for they come in many pushes.

    Raises:
        SyncRefused: it is much of what is here, and was not allowed.
    """
    snapshots.folder(message.snapshot_id)
    _in_source_state()
    count = tombstones.check_deletions(frames.deletions_of(stream), refusal=Refusal.MASS_DELETION_THERE)
    served.agree_to_delete(message.snapshot_id, count)
    return DeletionsAllowed(count)


def held(message: PushHeld) -> Held:
    """What is here of the files that are to come, so that a cut costs only what had not come.

    Raises:
        SyncRefused: the snapshot is gone.
    """
    snapshots.folder(message.snapshot_id)
    _in_source_state()
    if not all(map(blobs.is_blob_id, message.blobs)):
        raise PeerMisbehaved("what is asked for is not a blob id")
    partly = blob_partials.all_held()
    return Held({name: min(partly.get(name, 0), MOST_RESUMED_BYTES) for name in blobs.absent(message.blobs)})


def accept(message: PushAppend, stream: Iterable[bytes | bytearray]) -> PushDone:
    """The append-only rows in the stream, and their blobs, are kept here.

    The blobs come first, each stored under its own hash; the rows are kept only once the whole stream has proved to
    be the backup's. A row whose blob the backup cannot read any more is kept too, and the blob noted as missing.

    Raises:
        SyncRefused, PeerMisbehaved: none of the rows was kept.
    """
    snapshots.folder(message.snapshot_id)
    _in_source_state()
    reader = FrameReader(stream)
    wanted, listed = frames.push_of(*reader.take())
    if wanted.dataset not in {dataset.label for dataset in APPEND_ONLY}:
        raise PeerMisbehaved("rows were sent that are not append-only")
    served.check_push(message.snapshot_id, wanted, _pair().peer_guid)
    there = Refusal.NO_SPACE_THERE
    room_for(listed, refusal=there)
    with closing(Resumed.of(listed, listed, most=MOST_RESUMED_BYTES)) as resumed:
        unusable = store_blobs(reader, list(listed), resumed=resumed, refusal=there)
    lacking = {blob_id: why for blob_id, why in unusable.items() if not blobs.has(blob_id)}
    received = _pushed_lines(reader, wanted, lacking)
    if wanted.dataset == TOMBSTONE:
        _take_off(message.snapshot_id, received)
    crash.point("source pushed")
    live: list[uuid.UUID] = []
    added = union.merge(wanted, received, live=live)
    crash.point("source push durable")
    for blob_id, why in lacking.items():
        damaged.note(blob_id, FileProblem.MISSING, f"The backup {LACKS[why]}.")
    done = PushDone(
        rows=added,
        blobs=len(listed) - len(unusable),
        marks=marks.held(),
        live=[key.hex for key in live],
        lacking=list(lacking),
    )
    served.pushed(message.snapshot_id, done.marks)
    return done


def end(message: PullEnd) -> Done:
    """The snapshot is given back; a complete data-sync is stamped.

    Raises:
        SyncRefused: the backup calls it complete, and does not hold what it was sent.
    """
    snapshots.remove(message.snapshot_id)
    served.ended(message)
    if message.complete:
        _stamp()
    crash.point("source ended")
    return Done(header=header_of(journal.read()))


def _pair() -> FailoverRelationship:
    pair = selectors.relationship()
    if pair is None:
        raise refused(Refusal.NO_RELATIONSHIP)
    return pair


def _serving(op_id: tuple[int, int] | None) -> RoleState:
    state = journal.read()
    refusal = may_serve(state, op_id)
    if refusal is not None:
        raise refused(refusal)
    return state


def _in_source_state() -> None:
    """A snapshot is handed out only while this appliance is still what it was when it was made."""
    state = journal.read()
    _serving(state.op.op_id if state.op else None)


def _keep(snapshot_id: str, wrap: SecretWrap, differing: list[TableDigest]) -> None:
    for dataset in SETTINGS:
        if any(table.dataset == dataset.label for table in differing):
            snapshots.add_table(snapshot_id, dataset, wrap)


def manifest_of(
    pair: FailoverRelationship,
    state: RoleState,
    snapshot_id: str,
    tables: list[TableDigest],
    held: list[Mark],
    *,
    more: bool = False,
) -> Manifest:
    """What this appliance says of what it holds."""
    return Manifest(
        header=header_of(state),
        snapshot_id=snapshot_id,
        pair_id=pair.pair_id,
        guid=selectors.this_appliance().guid,
        own_term=state.own_term,
        head=state.head,
        product=str(settings.PRODUCT),
        build=identity.product_build(),
        schema=identity.schema_digest(),
        settings=tables,
        marks=held,
        clock=time.time(),
        more=more,
    )


def _stamp() -> None:
    brake.clear(BrakeSubject.RECORDS)
    FailoverRelationship.objects.filter(pk=1).update(last_pulled_at=timezone.now())


def _row_frames(tables: list[tuple[Section, Iterator[bytes]]], wanted: Iterable[Wanted]) -> Iterator[bytes]:
    for section, lines in tables:
        yield from frames.of_rows(section, lines)
        crash.point("source serving rows")
    for part in wanted:
        yield from frames.of_rows(Section(*part.key), marks.lines_in_order(part))


def _each_blob(message: PullBlobs) -> Iterator[bytes | bytearray]:
    helps = Helps(message.starts, message.bases)
    for frame in blob_frames.of_blobs(message.blobs, helps, lacks=damaged.note):
        yield frame
        crash.point("source serving blobs")


def _take_off(snapshot_id: str, lines: list[bytes]) -> None:
    """What these tombstones delete is part of what was agreed to.

    Raises:
        SyncRefused: it is more, and much of what is here.
    """
    left = served.may_delete(snapshot_id)
    named = tombstones.named_by(lines)
    count = tombstones.check_deletions(named, refusal=Refusal.MASS_DELETION_THERE, agreed=left)
    served.agree_to_delete(snapshot_id, left - count)


def _pushed_lines(reader: FrameReader, wanted: Wanted, lacking: Collection[str]) -> list[bytes]:
    """The rows of a push, all of one mark; their blobs are here, or were told to be lacking."""
    found: list[bytes] = []
    listed: dict[str, int] = {}
    cutter, section, bulk = LineCutter(), Section(*wanted.key), Bulk(by_label()[wanted.dataset])
    after = size = 0
    while reader.peek() is not None:
        header, body = reader.take()
        size += len(body)
        if header != section.header:
            raise PeerMisbehaved("rows of more than one mark were sent")
        if size > MAX_PUSH_BYTES:
            raise refused(Refusal.ROW_TOO_LARGE)
        lines = cutter.feed(body)
        rows = bulk.load(lines)
        after = union.check(bulk.dataset, rows, wanted, after)
        for row in rows:
            note_blob(bulk.codec, row, listed)
        found += lines
    cutter.finish()
    absent = [blob_id for blob_id in listed if blob_id not in lacking and not blobs.has(blob_id)]
    if absent:
        raise PeerMisbehaved(f"a row was sent without its file {absent[0]}")
    return found
