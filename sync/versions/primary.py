"""The settings of the peer, read by a signed message; and chosen settings taken over by the primary, here or there.

What is taken over is an ordinary change of the primary's settings, in its term: one transaction, which moves the head
and is refused unless the head still is the one that was compared with. The version before it is kept as a backup.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.db import DataError, IntegrityError

from appliances import blobs, selectors
from appliances.choices import BackupReason, Severity
from appliances.models import FailoverRelationship
from sync import history, journal
from sync.datasync import (
    apply,
    backups,
    blob_frames,
    export,
    failures,
    frames,
    manifests,
    remembered,
    snapshots,
    tables,
)
from sync.datasync.blobs_in import store_blobs
from sync.datasync.differences import WRITE_ROWS, Writes
from sync.datasync.frames import FrameReader, LineCutter, section_of
from sync.datasync.receive import check_space, note_blob
from sync.datasync.refusals import refused
from sync.datasync.registry import SETTINGS, by_label
from sync.datasync.rows import Row, RowCodec
from sync.datasync.wrapping import AtRest, SecretWrap, for_snapshot
from sync.errors import PeerMisbehaved, SyncRefused
from sync.peer.client import PeerClient
from sync.peer.messages import parse, render
from sync.peer.sync_messages import Manifest, SettingsAsked, SettingsChosen, SettingsTaken
from sync.rules.facts import Header, RoleState, header_of
from sync.rules.snapshot import Refusal
from sync.versions.merge import Changes
from sync.versions.objects import Version

ANSWER_SECONDS = 30.0
MAX_CHOSEN_BYTES = export.MAX_PUSH_BYTES
MANIFEST, CHOSEN = {"manifest": True}, {"chosen": True}
PUT, REMOVE = "put", "remove"


@dataclass(frozen=True)
class Present:
    """The settings of an appliance as they are now, and the header of that moment."""

    version: Version
    header: Header


def own() -> Present:
    """The settings of this appliance."""
    with snapshots.read_transaction():
        return Present(Version(_rows()), header_of(journal.read()))


def of_peer(*, seconds: float = ANSWER_SECONDS) -> Present:
    """The settings of the peer, whatever its role.

    Raises:
        SyncRefused: the two are of different versions of the product, or in no relationship.
        PeerError: the peer cannot be asked.
    """
    with snapshots.read_transaction():
        mine, rows, state = remembered.digests(for_snapshot("")), _rows(), journal.read()
    question = SettingsAsked(header_of(state), selectors.this_appliance().guid, mine)
    with PeerClient.to_peer(timeout=seconds) as client, client.open_stream(question) as stream:
        reader = FrameReader(stream)
        header, body = reader.take()
        if header != MANIFEST:
            raise PeerMisbehaved("the settings of the peer do not begin with its manifest")
        manifest = parse(Manifest, bytes(body))
        manifests.check(manifest)
        differing = [table.dataset for table in manifest.settings if table not in mine]
        rows |= _received(reader, differing, for_snapshot(manifest.snapshot_id))
    return Present(Version(rows), manifest.header)


def answer_settings(message: SettingsAsked) -> Iterator[bytes]:
    """The frames of the settings of this appliance: its manifest, then the tables that differ."""
    pair = _pair_with(message.guid)
    snapshot_id = snapshots.new_id()
    wrap = for_snapshot(snapshot_id)
    try:
        with snapshots.read_transaction():
            state, held = journal.read(), remembered.digests(wrap)
            differing = [table.dataset for table in held if table not in message.settings]
            snapshots.create(snapshot_id, None)
            for label in differing:
                snapshots.add_table(snapshot_id, by_label()[label], wrap)
        manifest = export.manifest_of(pair, state, snapshot_id, held, [])
        yield json.dumps(MANIFEST).encode() + b"\n" + render(manifest)
        for label in differing:
            yield from frames.of_rows(frames.Section(label), snapshots.lines(snapshot_id, label))
    finally:
        snapshots.remove(snapshot_id)


def take(changes: Changes, *, compared: Header, requested_by: str, why: str) -> int:
    """The settings of this appliance, which is primary or alone, are changed so; the number of rows written.

    Raises:
        SyncRefused: it is not primary, its settings have changed since they were compared, the rows do not fit
            together, or a file is missing; nothing was changed.
    """
    _check_files(changes)
    _check(journal.read(), compared)
    backups.save(BackupReason.TAKE_OVER, why)  # what changes after it moves the head, and is refused below
    codecs = _codecs(changes, AtRest())

    def write() -> int:
        with journal.locked() as held:
            _check(held.state, compared)
            writes = {label: _writes(codec, changes) for label, codec in codecs.items()}
            apply.write(codecs, writes)
            history.record("settings.taken", why, severity=Severity.WARNING, evidence={"requested_by": requested_by})
        return sum(len(write.remove) + len(write.replace) + len(write.add) for write in writes.values())

    try:
        written = failures.despite_deadlock(write)
    except (IntegrityError, DataError, OverflowError) as error:
        raise SyncRefused(
            "does_not_fit",
            "The chosen settings do not fit together with those that stay.",
            remedy="Choose other versions of the objects that belong together; nothing was changed.",
        ) from error
    apply.end_sessions()
    return written


def send(changes: Changes, theirs: Version, *, compared: Header, requested_by: str, why: str) -> int:
    """The peer, which is primary, has taken these changes over; the number of rows written. Errors as of `take`."""
    wrap_id = snapshots.new_id()
    message = SettingsChosen(
        header=header_of(journal.read()),
        guid=selectors.this_appliance().guid,
        wrap_id=wrap_id,
        compared=compared.head,
        requested_by=requested_by,
        why=why,
    )
    wanted = {blob_id: size for blob_id, size in _files(changes).items() if blob_id not in _files_of(theirs)}
    _check_files(changes)
    stream = _frames(changes, wanted, for_snapshot(wrap_id))
    with PeerClient.to_peer(timeout=ANSWER_SECONDS) as client:
        return client.send_stream(message, stream, SettingsTaken).rows


def answer_chosen(message: SettingsChosen, stream: Iterable[bytes | bytearray]) -> SettingsTaken:
    """The peer sends chosen settings. Nothing is written before the whole stream has proved to be the peer's."""
    _pair_with(message.guid)
    compared = header_of(journal.read())
    if compared.head != message.compared:
        raise _changed()
    reader = FrameReader(stream)
    header, body = reader.take()
    listed = _listed(bytes(body)) if header == CHOSEN else None
    if listed is None:
        raise PeerMisbehaved("chosen settings do not say which files they carry")
    check_space(sum(listed.values()), len(listed), refusal=Refusal.NO_SPACE_THERE)
    for blob_id, why in store_blobs(reader, list(listed), refusal=Refusal.NO_SPACE_THERE).items():
        raise refused(why, f"{blob_id}.")
    changes = _chosen(reader, for_snapshot(message.wrap_id))
    rows = take(changes, compared=compared, requested_by=message.requested_by[:200], why=message.why[:1000])
    return SettingsTaken(header_of(journal.read()), rows)


# --- rows ---------------------------------------------------------------------------------------------------------


def _rows() -> dict[str, list[Row]]:
    return {dataset.label: list(RowCodec(dataset, AtRest()).read()) for dataset in SETTINGS}


def _received(reader: FrameReader, expected: list[str], wrap: SecretWrap) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {label: [] for label in expected}
    cutters = {label: LineCutter() for label in expected}
    codecs = {label: RowCodec(by_label()[label], wrap) for label in expected}
    while reader.peek() is not None:
        header, body = reader.take()
        label = section_of(header).dataset
        if label not in found:
            raise PeerMisbehaved("the peer sent settings that were not asked for")
        found[label] += map(codecs[label].parse, cutters[label].feed(body))
    for cutter in cutters.values():
        cutter.finish()
    return found


def _chosen(reader: FrameReader, wrap: SecretWrap) -> Changes:
    changes, size = Changes(), 0
    cutters: dict[tuple[str, str], LineCutter] = {}
    while reader.peek() is not None:
        header, body = reader.take()
        size += len(body)
        [(what, label)] = header.items() if len(header) == 1 else [("", "")]
        if what not in (PUT, REMOVE) or label not in {dataset.label for dataset in SETTINGS}:
            raise PeerMisbehaved("chosen settings of an unknown kind were sent")
        if size > MAX_CHOSEN_BYTES:
            raise refused(Refusal.ROW_TOO_LARGE)
        rows = (changes.put if what == PUT else changes.remove).setdefault(label, [])
        codec = RowCodec(by_label()[label], wrap)
        rows += map(codec.parse, cutters.setdefault((what, label), LineCutter()).feed(body))
    for cutter in cutters.values():
        cutter.finish()
    return changes


def _frames(changes: Changes, wanted: dict[str, int], wrap: SecretWrap) -> Iterator[bytes | bytearray]:
    yield json.dumps(CHOSEN).encode() + b"\n" + json.dumps(wanted).encode()
    yield from blob_frames.of_blobs(wanted)
    for what, by_table in ((REMOVE, changes.remove), (PUT, changes.put)):
        for label, rows in by_table.items():
            codec = RowCodec(by_label()[label], wrap)
            yield from frames.of_lines({what: label}, map(codec.wire_line, rows))


def _codecs(changes: Changes, wrap: SecretWrap) -> dict[str, RowCodec]:
    """The codecs of the tables that change, in the order in which rows may refer to each other."""
    changed = changes.put.keys() | changes.remove.keys()
    return {dataset.label: RowCodec(dataset, wrap) for dataset in SETTINGS if dataset.label in changed}


def _writes(codec: RowCodec, changes: Changes) -> Writes:
    label = codec.dataset.label
    put = {codec.key(row): row for row in changes.put.get(label, ())}
    keys, present = list(put), set()
    for start in range(0, len(keys), WRITE_ROWS):
        rows = tables.beginning_with(codec, keys[start : start + WRITE_ROWS])
        present |= {codec.key(row) for row in codec.read(rows)}
    return Writes(
        remove=[codec.key(row) for row in changes.remove.get(label, ())],
        replace=[row for key, row in put.items() if key in present],
        add=[row for key, row in put.items() if key not in present],
    )


# --- files --------------------------------------------------------------------------------------------------------


def _files(changes: Changes) -> dict[str, int]:
    found: dict[str, int] = {}
    for label, rows in changes.put.items():
        codec = RowCodec(by_label()[label], AtRest())
        for row in rows:
            note_blob(codec, row, found)
    return found


def _files_of(version: Version) -> dict[str, int]:
    return _files(Changes(put={label: list(rows) for label, rows in version.tables.items()}))


def _check_files(changes: Changes) -> None:
    if blobs.absent(_files(changes)):
        raise SyncRefused(
            "file_missing",
            "The content of a chosen file is not on this appliance.",
            remedy="Leave that file out; everything else can be taken over.",
        )


def _listed(body: bytes) -> dict[str, int] | None:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    is_right = isinstance(found, dict) and all(
        blobs.is_blob_id(blob_id) and type(size) is int and size >= 0 for blob_id, size in found.items()
    )
    return found if is_right else None


# --- checks -------------------------------------------------------------------------------------------------------


def _pair_with(guid: str) -> FailoverRelationship:
    pair = selectors.relationship()
    if pair is None:
        raise refused(Refusal.NO_RELATIONSHIP)
    if guid != pair.peer_guid:
        raise refused(Refusal.OTHER_PAIR)
    return pair


def _check(state: RoleState, compared: Header) -> None:
    if not state.is_writable:
        raise SyncRefused(
            "not_primary",
            "Settings are changed on the primary only, and this appliance does not serve as primary now.",
            remedy="Look at the Failover page: when the roles are settled, choose again.",
        )
    if state.head != compared.head:
        raise _changed()


def _changed() -> SyncRefused:
    return SyncRefused(
        "changed_meanwhile",
        "The settings of the primary were changed meanwhile. Nothing was taken over and nothing is lost.",
        remedy="Look at the differences again and choose once more.",
    )
