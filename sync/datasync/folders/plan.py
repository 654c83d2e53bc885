"""What a data-sync of a folder has to do, from both looks, and how that is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sync.datasync import brake
from sync.datasync.folders.fetch import Theirs
from sync.datasync.folders.store import Manifest
from sync.datasync.folders.walk import Tree
from sync.peer.sync_messages import FolderFiles
from sync.rules.folders import Entry, Work, is_spared, join, mirror, needs_agreement, union

ASK_BYTES = 600_000  # of paths in one question, far below the size limit of a message
PATH_BYTES = 40  # what a path takes beside its letters


@dataclass(frozen=True)
class Waiting:
    """What is deleted here, and what is overwritten, only after an administrator has agreed; files by directory."""

    delete: dict[str, list[Entry]]
    replace: dict[str, list[Entry]]

    @property
    def deletions(self) -> int:
        """How many files are deleted then."""
        return _count(self.delete)

    @property
    def replaced(self) -> int:
        """How many files are overwritten then."""
        return _count(self.replace)

    @property
    def fingerprint(self) -> str:
        """What an agreement to exactly these contents is known by; "" where nothing waits."""
        if not self.delete and not self.replace:
            return ""
        listed = ((mark, item) for mark, files in (("", self.delete), ("/", self.replace)) for item in files.items())
        doomed = (f"{mark}{join(path, entry.name)}\0{entry.digest}" for mark, (path, all_) in listed for entry in all_)
        return brake.fingerprint_of(one.encode("utf-8", "backslashreplace").decode() for one in doomed)


@dataclass
class Plan:
    """By directory: all files (`whole`), or these. `empty`: directories to be removed once nothing is in them.

    `only` are files here that a mirror deletes or overwrites, though the primary is not known to have had them so.
    `said` is what the primary has in the directories that both have; `both` are the paths that are kept twice.
    """

    whole: list[str] = field(default_factory=list)
    fetch: dict[str, dict[str, Entry]] = field(default_factory=dict)
    restamp: dict[str, list[Entry]] = field(default_factory=dict)
    delete: dict[str, list[Entry]] = field(default_factory=dict)
    only: dict[str, list[Entry]] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    modes: dict[str, int] = field(default_factory=dict)
    said: dict[str, dict[str, Entry]] = field(default_factory=dict)
    both: set[str] = field(default_factory=set)

    def waiting(self, held: int) -> Waiting:
        """What waits until somebody agrees, with so many files here: what only this side has, and much of any kind."""
        of_only = {path: _both(self.delete.get(path, ()), only) for path, only in self.only.items()}
        replace = {path: _both(only, self.fetch.get(path, {}).values()) for path, only in self.only.items()}
        delete = self.delete if needs_agreement(_count(self.delete), held) else of_only
        return Waiting(*({path: files for path, files in kind.items() if files} for kind in (delete, replace)))

    def leave(self, waiting: Waiting) -> None:
        """What waits stays as it is; with a deletion, empty directories do too."""
        for path, entries in waiting.replace.items():
            names = {entry.name for entry in entries}
            self.fetch[path] = {name: entry for name, entry in self.fetch[path].items() if name not in names}
        for path, entries in waiting.delete.items():
            names = {entry.name for entry in entries}
            self.delete[path] = [entry for entry in self.delete[path] if entry.name not in names]
        self.delete = {path: entries for path, entries in self.delete.items() if entries}
        if waiting.delete:
            self.empty = []

    def wanted(self, theirs: Theirs) -> int:
        """How many files are to be received."""
        return sum(map(len, self.fetch.values())) + sum(theirs.directories[path][1] for path in self.whole)

    def is_in_the_way(self, theirs: Theirs, mine: Tree) -> bool:
        """Whether a file is to be deleted where a directory is wanted, or the other way round."""
        deleted = (join(path, entry.name) for path, entries in self.delete.items() for entry in entries)
        fetched = (join(path, name) for path, files in self.fetch.items() for name in files)
        return any(path in theirs.directories for path in deleted) or any(path in mine.directories for path in fetched)

    def requests(
        self, folder: str, theirs: Theirs
    ) -> Iterator[tuple[FolderFiles, dict[str, str], dict[str, dict[str, Entry]]]]:
        """The questions for what is wanted, each with what it asks for: directories by digest, files by directory."""
        named = [(path, name, entry) for path, files in self.fetch.items() for name, entry in files.items()]
        for part in questions(self.whole):
            is_last = part[-1] == self.whole[-1]
            with_it = named if is_last and _cost(named) + _cost([(path,) for path in part]) < ASK_BYTES else []
            if with_it:
                named = []
            yield self._request(folder, theirs, part, with_it)
        while named:
            taken, cost = 0, 0
            while taken < len(named) and cost < ASK_BYTES:
                cost += _cost(named[taken : taken + 1])
                taken += 1
            yield self._request(folder, theirs, [], named[:taken])
            named = named[taken:]

    def _request(
        self, folder: str, theirs: Theirs, whole: list[str], named: list[tuple[str, str, Entry]]
    ) -> tuple[FolderFiles, dict[str, str], dict[str, dict[str, Entry]]]:
        files: dict[str, dict[str, Entry]] = {}
        for path, name, entry in named:
            files.setdefault(path, {})[name] = entry
        listed = [(path, list(names)) for path, names in files.items()]
        message = FolderFiles(folder=folder, root=theirs.root, directories=whole, files=listed)
        return message, {path: theirs.directories[path][0] for path in whole}, files


def plan_of(
    theirs: Theirs,
    mine: Tree,
    manifest: Manifest,
    entries: Iterable[tuple[str, int, dict[str, Entry]]],
    *,
    is_union: bool,
) -> Plan:
    """What is to be done; `entries` are the primary's files of the directories that both have and that differ."""
    plan = Plan()
    for path, mode, said in entries:
        held = {seen.entry.name: seen.entry for seen in manifest.files(path)}
        plan.said[path] = said
        plan.modes[path] = mode
        work = (union if is_union else mirror)(said, held, manifest.agreed(path))
        _add(plan, path, work, theirs.skipped)
    plan.whole = [
        path for path in theirs.directories if path not in mine.directories and not is_spared(path, mine.skipped)
    ]
    if is_union:
        return plan
    for path in mine.directories:
        if path not in theirs.directories and not is_spared(path, theirs.skipped):
            held = {seen.entry.name: seen.entry for seen in manifest.files(path)}
            _add(plan, path, mirror({}, held, manifest.agreed(path)), theirs.skipped)
            plan.empty.append(path)
    return plan


def _add(plan: Plan, path: str, work: Work, spared: dict[str, str]) -> None:
    wanted = [*work.fetch, *work.both]
    if wanted:
        plan.fetch[path] = {entry.name: entry for entry in wanted}
        plan.both |= {join(path, entry.name) for entry in work.both}
    if work.restamp:
        plan.restamp[path] = work.restamp
    if work.only:
        plan.only[path] = work.only
    deleted = [entry for entry in work.delete if not is_spared(join(path, entry.name), spared)]
    if deleted:
        plan.delete[path] = deleted


def needed_bytes(plan: Plan, theirs: Theirs) -> int:
    """How many bytes are to be received."""
    named = sum(entry.size for files in plan.fetch.values() for entry in files.values())
    return named + sum(theirs.directories[path][2] for path in plan.whole)


def questions(paths: list[str]) -> Iterator[list[str]]:
    """The paths in parts that fit into one question."""
    part: list[str] = []
    cost = 0
    for path in paths:
        if part and cost >= ASK_BYTES:
            yield part
            part, cost = [], 0
        part.append(path)
        cost += len(path) * 6 + PATH_BYTES
    if part:
        yield part


def _count(files: dict[str, list[Entry]]) -> int:
    return sum(map(len, files.values()))


def _both(entries: Iterable[Entry], others: Iterable[Entry]) -> list[Entry]:
    names = {entry.name for entry in others}
    return [entry for entry in entries if entry.name in names]


def _cost(items: list[tuple[str, str, Entry]] | list[tuple[str]]) -> int:
    return sum(6 * (len(item[0]) + (len(item[1]) if len(item) > 1 else 0)) + PATH_BYTES for item in items)
