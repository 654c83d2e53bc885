"""A data-sync, on the backup: compare, receive, merge, send, apply, agree. READ `pull_data` FIRST."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import math
from collections.abc import Iterator
from itertools import chain

from django.db import DatabaseError, InterfaceError

from appliances import disk, selectors
from appliances.choices import OperationKind, Role, SyncStage, SyncStatus, SyncTrigger
from appliances.models import BackupSettings
from sync import crash, journal
from sync.datasync import (
    apply,
    ends,
    failures,
    lease,
    manifests,
    marks,
    receive,
    remembered,
    tombstones,
    union,
)
from sync.datasync.fetch import fetch, room_for
from sync.datasync.folders.pull import pull_folders
from sync.datasync.lease import LeaseLost, Progress
from sync.datasync.receive import Received, RowReceiver, Staging
from sync.datasync.refusals import refused
from sync.datasync.registry import TOMBSTONE, by_label
from sync.datasync.send import ask_deletions, send
from sync.datasync.shortfall import Shortfall
from sync.datasync.wrapping import SecretWrap, for_snapshot
from sync.errors import PeerRefused, SyncError, SyncRefused
from sync.models import ServedSync, SyncRun
from sync.peer.client import PeerClient
from sync.peer.messages import Done
from sync.peer.pace import Pace
from sync.peer.sync_messages import Days, Manifest, PullBegin, PullDays, PullEnd, PullReport, PullRows
from sync.rules import diff
from sync.rules.diff import Mark, TableDigest
from sync.rules.facts import Operation, header_of
from sync.rules.snapshot import Refusal, may_apply

ANSWER_SECONDS = 60.0  # the primary digests its settings and writes a snapshot before it answers
SWAP_WAIT_SECONDS = 30.0  # an ordinary data-sync notices within a moment that a swap has begun, and ends
RECEIVING = frozenset({SyncStage.ROWS, SyncStage.BLOBS})
SMALL_BYTES = 4 << 20  # rows that a nearly full disk still takes: settings, and what the log of some hours adds

log = logging.getLogger(__name__)


def is_running() -> bool:
    """Whether a data-sync runs; one whose process is dead does not."""
    run = SyncRun.objects.filter(status=SyncStatus.RUNNING).first()
    return run is not None and lease.is_alive(run)


def automatic_trigger() -> SyncTrigger:
    """What an automatic data-sync that starts now is to be called: the first of this relationship, or by interval."""
    relationship = selectors.relationship()
    # After a swap this backup has pulled nothing yet, but the peer has pulled from it: the two are not strangers.
    if (
        relationship is None
        or relationship.last_pulled_at is not None
        or SyncRun.objects.filter(started_at__gte=relationship.established_at).exists()
    ):
        return SyncTrigger.INTERVAL
    return SyncTrigger.FIRST


def pull_data(
    trigger: SyncTrigger, *, for_operation: Operation | None = None, client: PeerClient | None = None
) -> SyncRun:
    """This backup holds what the primary holds, and the primary every append-only row of this one.

    1. Take the lease; one data-sync runs at a time.
    2. Ask the primary for its manifest, which makes a snapshot there, and compare.
    3. Receive the rows that differ. Merge append-only rows without blobs, batch by batch; tombstones even before.
    4. Receive the blobs that are not here, and merge the rows that name them; send up what the primary lacks.
    5. Replace the settings in one transaction.
    6. Read back what was stored; the primary compares the hash over all of it with its own. Then copy the folders.

    A blob that cannot be had, or rows that do not go up, keep nothing else from being moved (`shortfall`).

    Raises:
        SyncError: the reason is in the run and in Status History; settings are as before, or those of the snapshot.
    """
    trigger = SyncTrigger(trigger)
    _must_be_backup()
    try:
        run = lease.claim(trigger, wait_seconds=SWAP_WAIT_SECONDS if for_operation else 0.0)
    except (DatabaseError, InterfaceError) as error:
        raise failures.not_stored(error) from error
    pull: _Pull | None = None
    try:
        with client or PeerClient.to_peer(timeout=ANSWER_SECONDS) as peer:
            crash.point("pull begun")
            pull = _Pull(run, peer, for_operation)
            pull.run()
    except LeaseLost as error:
        raise refused(Refusal.ALREADY_RUNNING, lease.ABANDONED) from error
    except SyncError as error:
        ends.failed(run, error)
        raise
    except (OSError, DatabaseError, InterfaceError) as error:
        failure = failures.not_stored(error)
        ends.failed(run, failure)
        raise failure from error
    except Exception:
        lease.end(run, SyncStatus.FAILED, code="internal_error", message="It failed unexpectedly; the log says why.")
        raise
    finally:
        if pull is not None:
            pull.clean_up()
    crash.point("pull told")
    ends.succeeded(run)
    crash.point("pull durable")
    return run


class _Pull:
    """One data-sync from its manifest to its end."""

    def __init__(self, run: SyncRun, client: PeerClient, operation: Operation | None) -> None:
        self._run = run
        self._client = client
        self._op_id = operation.op_id if operation is not None else None
        self._progress = Progress(run, self._check_operation)
        client.pace = Pace(bandwidth_limit, self._progress.tick)
        self._staging = Staging(run.pk)
        self._short = Shortfall()
        self._did_not_agree = ends.did_not_agree()
        self._unasked_bytes: float = 0  # the disk is asked once more than this has been received

    def run(self) -> None:
        """See `pull_data`; once more while the primary could not number all its rows in time.

        Raises:
            SyncError: it ended at once, or all was moved but what this is about.
        """
        while self._round():
            log.info("data-sync goes on", extra={"run": str(self._run.pk), "rows": self._run.rows_done})
        pull_folders(self._client, self._progress)
        if self._short.failure is not None:
            raise self._short.failure

    def _round(self) -> bool:
        """Whether the primary has more; nobody waits for one that has numbered nothing."""
        self._progress.stage(SyncStage.MANIFEST)
        self._run.root, self._short.settings_wait = "", False
        manifest, mine = self._begin()
        marks.heed(manifest.marks)  # the first thing: only then it is known which numbers are taken
        if marks.seal_all() and not manifest.snapshot_id:
            manifest, mine = self._begin()
        crash.point("pull manifest")
        failure: Exception | None = None
        try:
            self._note(manifest)
            if manifest.snapshot_id:
                self._transfer(manifest, mine)
            else:
                self._run.root = diff.root(manifest.head, mine, manifest.marks)
        except Exception as error:
            failure = error
            raise
        finally:
            if manifest.snapshot_id:
                self._end(manifest, failure or self._short.failure)
        return manifest.more and bool(manifest.snapshot_id)

    def clean_up(self) -> None:
        """Remove what was staged."""
        self._staging.remove()

    def _begin(self) -> tuple[Manifest, list[TableDigest]]:
        wrap = for_snapshot("")
        remembered.remember(wrap)
        mine = remembered.digests(wrap)
        begin = PullBegin(
            header=header_of(journal.read()),
            guid=selectors.this_appliance().guid,
            op_id=self._op_id,
            run_id=self._run.pk.hex,
            trigger=self._run.trigger,
            settings=mine,
            marks=marks.held(),
        )
        manifest = self._all_equal(begin) or self._client.ask(begin, Manifest)
        manifests.check(manifest)
        refusal = may_apply(journal.read(), manifest.head, manifest.own_term, self._op_id)
        if refusal is not None:
            raise refused(refusal)
        return manifest, mine

    def _all_equal(self, begin: PullBegin) -> Manifest | None:
        """The manifest, if the primary holds the same by one hash over all; None: everything has to be told."""
        if not begin.header.initialised:
            return None
        root = diff.root(begin.header.head, begin.settings, begin.marks)
        manifest = self._client.ask(dataclasses.replace(begin, settings=[], marks=[], root=root), Manifest)
        return None if manifest.more else dataclasses.replace(manifest, settings=begin.settings, marks=begin.marks)

    def _note(self, manifest: Manifest) -> None:
        self._run.head_term, self._run.head_seq = manifest.head.term, manifest.head.seq
        self._run.reflects_at = dt.datetime.fromtimestamp(manifest.clock, dt.UTC)
        manifests.compare_clocks(self._run.reflects_at)

    def _transfer(self, manifest: Manifest, mine: list[TableDigest]) -> None:
        wrap = for_snapshot(manifest.snapshot_id)
        manifest = self._tombstones(manifest, wrap)
        plan = self._of_days(manifest, diff.plan(mine, manifest.settings, marks.held(), manifest.marks))
        received = self._rows(manifest, plan, wrap)
        crash.point("pull rows staged")
        self._merge(received, having_blobs=False)
        lacking = self._blobs(manifest, received)
        crash.point("pull blobs staged")
        self._merge_recordings(received, lacking)
        crash.point("pull merged")
        manifest = self._send(manifest, plan)
        crash.point("pull sent")
        manifest = self._below(manifest, wrap)
        if not self._short.settings_wait:
            self._progress.stage(SyncStage.APPLYING)
            apply.apply_settings(manifest, received.tables, wrap, self._op_id, self._progress.hold)
        if self._short.failure is not None:
            return
        agreed = self._agree(manifest)
        remembered.remember(wrap, anew=received.tables)
        self._run.root = diff.root(journal.read().head, remembered.digests(wrap), agreed)
        crash.point("pull agreed")

    def _tombstones(self, manifest: Manifest, wrap: SecretWrap) -> Manifest:
        """What was deleted on either side is deleted on both; the manifest as it is then, without tombstones to move.

        They come before everything else: what they remove must not move.
        """
        manifest = self._deleted(manifest, diff.plan([], [], *_of_tombstones(manifest)), wrap)
        below = diff.below(*_of_tombstones(manifest))
        return self._deleted(manifest, below, wrap) if below.fetch else manifest

    def _deleted(self, manifest: Manifest, plan: diff.Plan, wrap: SecretWrap) -> Manifest:
        plan = self._of_days(manifest, plan)
        received = self._rows(manifest, plan, wrap, needs_room=False)
        lines = chain.from_iterable(map(apply.staged_lines, received.append.values()))
        tombstones.check_deletions(tombstones.named_by(lines))
        ask_deletions(self._client, manifest.snapshot_id, plan.send)
        self._merge(received, having_blobs=False)
        return self._send(manifest, plan)

    def _below(self, manifest: Manifest, wrap: SecretWrap) -> Manifest:
        """After a data-sync that did not agree, rows that differ below what has come now are united too.

        On a busy primary something always comes above them, so the two never reach equally far at the beginning.
        """
        below = diff.below(marks.held(), manifest.marks) if self._did_not_agree else diff.Plan()
        if not below.fetch:
            return manifest
        plan = self._of_days(manifest, below)
        received = self._rows(manifest, plan, wrap)
        self._merge(received, having_blobs=False)
        self._merge_recordings(received, self._blobs(manifest, received))
        return self._send(manifest, plan)

    def _of_days(self, manifest: Manifest, plan: diff.Plan) -> diff.Plan:
        """The plan, in which rows that contradict each other move only as far as their days differ."""
        for doubted in diff.contradicting(plan):
            theirs = self._client.ask(PullDays(manifest.snapshot_id, *doubted.key), Days).days
            plan = diff.of_days(plan, doubted, marks.days(*doubted.key), theirs)
        return plan

    def _rows(self, manifest: Manifest, plan: diff.Plan, wrap: SecretWrap, *, needs_room: bool = True) -> Received:
        self._unasked_bytes = self._run.bytes_done + SMALL_BYTES if needs_room else math.inf
        self._progress.stage(SyncStage.ROWS)
        receiver = RowReceiver(plan, wrap, self._staging, self._progress)
        if not plan.tables and not plan.fetch:
            return receiver.received
        rows = {table.dataset: table.rows for table in manifest.settings}
        self._run.rows_total = self._run.rows_done + sum(rows[label] for label in plan.tables)
        self._run.rows_total += sum(wanted.upto - wanted.after for wanted in plan.fetch)
        question = PullRows(manifest.snapshot_id, plan.tables, plan.fetch, receiver.told)
        with self._client.open_stream(question) as frames:
            received = receiver.read(frames)
        self._check_operation()  # the last of them may have come when there was hardly room
        self._run.rows_total = self._run.rows_done  # of a large table, only rows that differ have come
        return received

    def _blobs(self, manifest: Manifest, received: Received) -> dict[str, Refusal]:
        """The blobs of the rows are here; those that are not, and why."""
        absent = receive.missing(received.blobs)
        self._unasked_bytes = 0 if absent else math.inf
        self._progress.stage(SyncStage.BLOBS)
        fitting, needed = self._that_fit(absent, received)
        self._run.blobs_total = len(fitting)
        self._run.bytes_total = self._run.bytes_done + needed
        lacking = fetch(self._client, manifest.snapshot_id, fitting, received, self._progress)
        self._short.of_settings(lacking, received)
        return lacking | dict.fromkeys(absent.keys() - fitting.keys(), Refusal.NO_SPACE)

    def _that_fit(self, absent: dict[str, int], received: Received) -> tuple[dict[str, int], int]:
        """These blobs and their bytes if there is room for them, else those of the settings, or none."""
        of_settings = {blob_id: size for blob_id, size in absent.items() if blob_id in received.of_settings}
        for chosen in (absent, of_settings):
            try:
                return chosen, room_for(chosen)
            except SyncRefused as error:
                self._short.no_room(error)
        self._short.settings_wait = True
        return {}, 0

    def _merge(self, received: Received, *, having_blobs: bool) -> None:
        for wanted, path in received.append.items():
            if bool(by_label()[wanted.dataset].blob_field) is having_blobs:
                union.merge(wanted, apply.staged_lines(path), self._progress.tick)

    def _merge_recordings(self, received: Received, lacking: dict[str, Refusal]) -> None:
        """Rows whose blobs have no room here are left to the next time, those whose blobs are lost are not."""
        if Refusal.NO_SPACE not in {lacking.get(blob_id) for blob_id in received.of_records}:
            self._merge(received, having_blobs=True)
            self._short.of_records(lacking, received)

    def _send(self, manifest: Manifest, plan: diff.Plan) -> Manifest:
        """The primary has what it lacked; the manifest with the marks that it holds then."""
        self._progress.stage(SyncStage.SENDING)
        held = {mark.key: mark for mark in manifest.marks}
        for wanted in plan.send:
            try:
                answered, lacking = send(self._client, manifest.snapshot_id, wanted, self._progress)
            except PeerRefused as error:
                self._short.not_sent(wanted, error)
                continue
            held |= {mark.key: mark for mark in answered}
            self._short.of_sent(lacking)
        return dataclasses.replace(manifest, marks=list(held.values()))

    def _agree(self, manifest: Manifest) -> list[Mark]:
        """The marks of both sides.

        Raises:
            SyncRefused: the two do not hold the same append-only rows, as far as this data-sync reaches.
        """
        theirs = {mark.key: mark for mark in manifest.marks}
        ours = {mark.key: mark for mark in marks.held()}
        differing = [mark.dataset for key, mark in theirs.items() if not _same(ours.get(key), mark)]
        if differing:
            raise refused(Refusal.APPEND_ONLY_DIFFERS, f"In: {', '.join(sorted(set(differing)))}.")
        return list(theirs.values())

    def _end(self, manifest: Manifest, failure: Exception | None) -> None:
        status, code, text = failures.outcome(failure)
        report = PullReport(status.value, code, text, *(getattr(self._run, name) for name in ServedSync.FIGURES))
        header, root = header_of(journal.read()), "" if failure else self._run.root
        try:
            self._client.ask(PullEnd(header, manifest.snapshot_id, failure is None, root, report), Done)
        except SyncError:
            if failure is None:
                raise
            log.warning("the primary could not be told of the end", extra={"run": str(self._run.pk)})

    def _check_operation(self) -> None:
        state = journal.read()
        if state.role is not Role.BACKUP:
            raise refused(Refusal.NOT_BACKUP)
        if self._op_id is not None and (state.op is None or state.op.op_id != self._op_id):
            raise refused(Refusal.OPERATION_GONE)
        if self._op_id is None and state.op is not None and state.op.kind is not OperationKind.YIELDED:
            raise refused(Refusal.OPERATION_RUNNING)
        is_asked = self._run.stage in RECEIVING and self._run.bytes_done >= self._unasked_bytes
        if is_asked and (lack := disk.lacks()):
            raise refused(Refusal.NO_SPACE, lack)


def _of_tombstones(manifest: Manifest) -> Iterator[list[Mark]]:
    """The marks of tombstones here, and those of the primary."""
    return ([mark for mark in held if mark.dataset == TOMBSTONE] for held in (marks.held(), manifest.marks))


def _same(ours: Mark | None, theirs: Mark) -> bool:
    """Whether a mark agrees; this appliance may have sealed more of its own rows meanwhile."""
    if ours is not None and ours.origin == selectors.this_appliance().guid and ours.seq > theirs.seq:
        return True
    return ours == theirs


def bandwidth_limit() -> float:
    """The bytes a second that this appliance may take from the line, 0 for any number."""
    chosen = BackupSettings.objects.filter(pk=1).first()
    return chosen.bandwidth_bytes if chosen else 0


def _must_be_backup() -> None:
    if journal.read().role is not Role.BACKUP:
        raise refused(Refusal.NOT_BACKUP)
