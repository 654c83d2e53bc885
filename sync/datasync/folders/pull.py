"""The backup's half of the folders, after the settings of a data-sync have been applied. READ `pull_folders` FIRST."""

from __future__ import annotations

import dataclasses
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

from django.utils import timezone

from appliances import beneath, disk
from appliances.choices import FolderMode, FolderState, Severity, SyncStage
from appliances.models import Folder, FolderPlace
from sync import crash, history, journal
from sync.datasync.folders import walk
from sync.datasync.folders.fetch import Fetch, Theirs, read_entries, read_look
from sync.datasync.folders.plan import Plan, Waiting, needed_bytes, plan_of, questions
from sync.datasync.folders.report import Report
from sync.datasync.folders.serve import LOOKED, patterns_of, rules_digest
from sync.datasync.folders.store import AGREED, Manifest, Seen
from sync.datasync.folders.walk import Tree
from sync.datasync.folders.write import Writer
from sync.datasync.lease import Progress
from sync.datasync.refusals import refused
from sync.errors import PeerError, SyncRefused, code_of
from sync.peer.client import PeerClient
from sync.peer.messages import Done
from sync.peer.sync_messages import FolderBegin, FolderEnd, FolderEntries, FolderOutcome
from sync.rules.facts import header_of
from sync.rules.folders import Entry
from sync.rules.snapshot import Refusal

WAIT_SECONDS = 0.2  # between looks at whether the own look has ended

log = logging.getLogger(__name__)


def pull_folders(client: PeerClient, progress: Progress) -> None:
    """Every enabled folder here is like the primary's, as far as its mode wants; the run tells how each ended.

    1. Both look at the same time. Equal digests: done, in one exchange.
    2. Ask for the files of the directories that differ, and decide what is wanted, deleted or kept twice.
    3. Receive what is wanted, whole files; each gets its name when it is on the disk.
    4. Delete what the primary no longer has (mirror).

    What a mirror would lose for good, because only this side has it so, stays until somebody agrees; so does much of
    any kind.

    What goes wrong with one folder is its outcome; the others and the data-sync go on.

    Raises:
        SyncRefused: the role changed, or a role change began: nothing more is written.
    """
    for folder in Folder.objects.filter(enabled=True).order_by("name"):
        progress.run.stage = SyncStage.FOLDERS
        progress.tick()
        began = time.monotonic()
        outcome = _pulled(client, progress, folder)
        outcome = dataclasses.replace(outcome, seconds=round(time.monotonic() - began, 3))
        progress.run.folders[folder.name] = dataclasses.asdict(dataclasses.replace(outcome, reported=[]))
        _keep(client, folder, outcome)


def _pulled(client: PeerClient, progress: Progress, folder: Folder) -> FolderOutcome:
    try:
        return _FolderPull(client, progress, folder).run()
    except (beneath.PlaceUnusable, OSError, sqlite3.Error) as error:
        return FolderOutcome(FolderState.FAILED, _reason(error))
    except SyncRefused as error:
        if error.reason != Refusal.FOLDER_NO_SPACE:
            raise
        return FolderOutcome(FolderState.FAILED, str(error)[:500])
    except PeerError as error:
        log.warning("folder not copied", extra={"folder": folder.name, "code": code_of(error)})
        return FolderOutcome(FolderState.FAILED, str(error)[:500])


def _keep(client: PeerClient, folder: Folder, outcome: FolderOutcome) -> None:
    """The outcome is kept for the pages of both appliances; Status History tells where it is of another kind."""
    place, _ = FolderPlace.objects.get_or_create(name=folder.name)
    before, state = place.outcome.get("state"), FolderState(outcome.state)
    FolderPlace.objects.filter(pk=place.pk).update(outcome=dataclasses.asdict(outcome), outcome_at=timezone.now())
    was_good = before not in FolderState.values or FolderState(before).is_good
    if before == state or (was_good and state.is_good and before is not None):
        return
    if state in (FolderState.FAILED, FolderState.NO_PLACE):
        with suppress(PeerError):
            _tell(client, folder, "", complete=False, outcome=outcome)
    why = outcome.message or f"{outcome.files} files received, {outcome.deleted} deleted, {outcome.total_files} held."
    history.record(
        f"folder_{state.value}",
        f"Folder “{folder.name}”: {state.label.lower()}. {why}",
        severity=Severity.INFO if state.is_good else Severity.WARNING,
        evidence=dataclasses.asdict(outcome),
    )


def _tell(client: PeerClient, folder: Folder, root: str, *, complete: bool, outcome: FolderOutcome) -> None:
    header = header_of(journal.read())
    message = FolderEnd(header=header, folder=folder.name, root=root, complete=complete, outcome=outcome)
    client.ask(message, Done)


class _FolderPull:
    """The data-sync of one folder."""

    def __init__(self, client: PeerClient, progress: Progress, folder: Folder) -> None:
        self._client = client
        self._progress = progress
        self._folder = folder
        self._place = FolderPlace.objects.filter(name=folder.name).first() or FolderPlace(name=folder.name)
        self._patterns = patterns_of(folder)
        self._is_union = folder.mode == FolderMode.UNION
        self._report = Report()

    def run(self) -> FolderOutcome:
        """See `pull_folders`."""
        if not self._place.path:
            return FolderOutcome(FolderState.NO_PLACE, "No path is entered on the backup.")
        with ExitStack() as stack:
            root = beneath.open_root(self._place.path)
            stack.callback(os.close, root)
            manifest = Manifest(self._folder.name, root)
            stack.callback(manifest.close)
            theirs, mine = self._look(root, manifest)
            crash.point("folder looked")
            if theirs.root == mine.root:
                outcome = self._equal(manifest, mine)
            else:
                writer = Writer(root, manifest, report=self._report, progress=self._progress)
                stack.callback(writer.close)
                outcome = self._differing(root, manifest, theirs, mine, writer)
        # Used or not: what waits another time is agreed to anew.
        FolderPlace.objects.filter(name=self._folder.name, agreed=self._place.agreed).update(agreed="")
        return outcome

    # --- looking --------------------------------------------------------------------------------------------------

    def _look(self, root: int, manifest: Manifest) -> tuple[Theirs, Tree]:
        """Both looks, at the same time."""
        question = FolderBegin(folder=self._folder.name, rules=rules_digest(self._folder), known=manifest.fact(LOOKED))
        look = walk.LookBeside(root, self._folder.name, self._patterns)
        try:
            theirs = self._ask(question)
            while not look.is_done(WAIT_SECONDS):
                self._progress.tick()
            mine = look.result()
        finally:
            look.stop()
        if mine.root != theirs.root and not theirs.directories:  # only what was known is left out
            theirs = self._ask(dataclasses.replace(question, known=""))
        return theirs, mine

    def _ask(self, question: FolderBegin) -> Theirs:
        with self._client.open_stream(question) as frames:
            return read_look(frames, self._progress.tick)

    def _equal(self, manifest: Manifest, mine: Tree) -> FolderOutcome:
        before = self._place.outcome
        reported = [(str(path), str(why)) for path, why in before.get("reported", [])]
        outcome = FolderOutcome(
            FolderState.EQUAL,
            total_files=mine.files,
            total_size=mine.size,
            reported=reported,
            reported_count=before.get("reported_count", 0),
        )
        if manifest.fact(AGREED) != mine.root:  # the primary has to know it too, for it may be backup next
            manifest.agree()
            _tell(self._client, self._folder, mine.root, complete=True, outcome=outcome)
            manifest.state(**{AGREED: mine.root})
        elif not FolderState(before.get("state", FolderState.EQUAL)).is_good:
            _tell(self._client, self._folder, mine.root, complete=False, outcome=outcome)
        if manifest.fact(LOOKED) != mine.root:
            manifest.state(**{LOOKED: mine.root})
        return outcome

    # --- differing ------------------------------------------------------------------------------------------------

    def _differing(self, root: int, manifest: Manifest, theirs: Theirs, mine: Tree, writer: Writer) -> FolderOutcome:
        for path, why in [
            *theirs.skipped.items(),
            *((path, f"{why}, on the backup") for path, why in mine.skipped.items()),
        ]:
            self._report.add(path, why)
        not_followed = self._report.count
        plan = plan_of(theirs, mine, manifest, self._entries(theirs, mine), is_union=self._is_union)
        waiting = plan.waiting(mine.files)
        held = bool(waiting.fingerprint) and self._place.agreed != waiting.fingerprint
        if held:
            plan.leave(waiting)
        _check_space(root, needed_bytes(plan, theirs), plan.wanted(theirs))
        writer.both = plan.both
        deletes_first = plan.is_in_the_way(theirs, mine)
        if deletes_first:
            writer.delete(plan.delete, plan.empty)
        fetch = Fetch(writer, self._report, self._patterns, mine.skipped, self._received)
        self._fetch(fetch, plan, theirs)
        for path, entries in plan.restamp.items():
            writer.restamp(path, entries)
        if (plan.delete or plan.empty) and not deletes_first:
            writer.delete(plan.delete, plan.empty)
        writer.set_modes({**plan.modes, **writer.done.modes})
        writer.finish()
        failed = self._report.count - not_followed
        self._agree(manifest, theirs, mine, plan, fetch)
        outcome = self._outcome(manifest, writer, waiting if held else None, failed)
        is_complete = not failed and not held
        _tell(self._client, self._folder, theirs.root, complete=is_complete, outcome=outcome)
        crash.point("folder told")
        if is_complete:
            manifest.state(**{AGREED: theirs.root})
        return outcome

    def _entries(self, theirs: Theirs, mine: Tree) -> Iterator[tuple[str, int, dict[str, Entry]]]:
        """The primary's files of the directories that are on both sides and differ."""
        differing = [
            path
            for path, (digest, _, _) in theirs.directories.items()
            if path in mine.directories and mine.directories[path][0] != digest
        ]
        for part in questions(differing):
            message = FolderEntries(folder=self._folder.name, root=theirs.root, directories=part)
            with self._client.open_stream(message) as frames:
                for found in read_entries(frames, part):
                    self._progress.tick()
                    yield found

    def _fetch(self, fetch: Fetch, plan: Plan, theirs: Theirs) -> None:
        run = self._progress.run
        run.blobs_total = run.blobs_done + plan.wanted(theirs)
        run.bytes_total = run.bytes_done + needed_bytes(plan, theirs)
        self._progress.save()
        for message, whole, named in plan.requests(self._folder.name, theirs):
            with self._client.open_stream(message) as frames:
                fetch.read(frames, whole, named)

    def _received(self, files: int, size: int) -> None:
        self._progress.add(blobs=files, size_bytes=size)

    def _agree(self, manifest: Manifest, theirs: Theirs, mine: Tree, plan: Plan, fetch: Fetch) -> None:
        """From now on it is known what both hold."""
        kept: list[tuple[str, list[Seen]]] = []
        now = manifest.seen()
        for path in {*mine.directories, *theirs.directories}:
            if path not in now or now[path][1].hex() == theirs.directories.get(path, ("", 0, 0))[0]:
                continue
            said = plan.said.get(path, {}) | fetch.received.get(path, {})
            before, files = manifest.agreed(path), []
            for seen in manifest.files(path):
                other = said.get(seen.entry.name)
                if other is not None and other.digest == seen.entry.digest:
                    files.append(seen)
                elif seen.entry.name in before:
                    files.append(seen._replace(entry=seen.entry._replace(digest=before[seen.entry.name])))
            kept.append((path, files))
        manifest.agree(kept)

    def _outcome(self, manifest: Manifest, writer: Writer, waiting: Waiting | None, failed: int) -> FolderOutcome:
        """`waiting`: what somebody has to agree to."""
        directories = {path: digest.hex() for path, (_, digest) in manifest.seen().items()}
        manifest.state(**{LOOKED: walk.root_digest(directories.items())})
        held, replaced = (waiting.deletions, waiting.replaced) if waiting else (0, 0)
        state = FolderState.HELD if held or replaced else FolderState.PARTLY if failed else FolderState.COPIED
        files, size = manifest.totals()
        sentences = (
            (held, f"{held} deletions wait until somebody agrees to them."),
            (replaced, f"{replaced} files of the backup are not overwritten until somebody agrees to it."),
            (failed, f"Not everything could be copied or deleted: {failed} paths are reported."),
        )
        done = writer.done
        return FolderOutcome(
            state,
            message=" ".join(sentence for count, sentence in sentences if count),
            files=done.files,
            size=done.size,
            restamped=done.restamped,
            deleted=done.deleted,
            kept_twice=done.kept_twice,
            held=held,
            held_replaced=replaced,
            held_fingerprint=waiting.fingerprint if waiting else "",
            total_files=files,
            total_size=size,
            reported_count=self._report.count,
            reported=self._report.lines,
        )


def _check_space(root: int, needed: int, files: int) -> None:
    """Raises SyncRefused if so much does not fit on the disk of the folder, which may be a small one of its own."""
    found = os.fstatvfs(root)
    room = disk.Room(
        free_bytes=found.f_bavail * found.f_frsize,
        total_bytes=found.f_blocks * found.f_frsize,
        free_files=found.f_favail if found.f_files else None,
    )
    if lack := needed and room.lacks(needed, files, reserve_bytes=min(room.reserve_bytes, room.total_bytes // 20)):
        raise refused(Refusal.FOLDER_NO_SPACE, lack)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        if error.errno in disk.FULL:
            return "The disk of the folder is full on the backup. What was copied before is whole. Free some space."
        return f"The backup cannot write to its folder: {error.strerror}."
    return str(error)[:500]
