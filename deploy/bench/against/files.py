"""The cases of files: the file store and recordings against rsync. All contestants run a case, one after another."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from deploy.bench.against import measured, network, worksets
from deploy.bench.against.measured import Measured
from deploy.bench.against.product import Pair
from deploy.bench.against.rsync import Rsync
from deploy.bench.against.table import OURS, Results
from deploy.bench.against.worksets import Sizes

RSYNCD, SSH = "rsyncd", "rsync-ssh"
FSYNC, ZIPPED = "rsyncd --fsync", "rsyncd -z"
COPY, TLS = "cp -a (limit)", "TLS (limit)"
ONE_WAY_SECONDS = 0.010
LIMIT_BYTES_A_SECOND = 20_000_000
LIMITED = "20 MB/s allowed"

Contestants = dict[str, Callable[[], Measured]]


@dataclass
class Contest:
    """What all phases share. `folder` holds everything; `profiles`, if given, the profiles of our runs."""

    folder: Path
    sizes: Sizes
    rsync: Rsync | None
    profiles: Path | None = None
    results: Results = field(default_factory=Results)

    def round(self, case: str, contestants: Contestants, number: int) -> None:
        """Everybody once, another one first each time."""
        names = list(contestants)
        turn = number % len(names)
        for who in names[turn:] + names[:turn]:
            self.results.add(case, who, contestants[who]())

    def pull(self, pair: Pair, case: str) -> Callable[[], Measured]:
        """Our run of a case."""
        profile = None
        if self.profiles is not None:
            profile = self.profiles / f"{case.replace(' ', '-').replace(',', '').replace('%', 'percent')}.prof"
        return lambda: pair.pull(profile=profile)

    def show(self, cases: Iterable[str]) -> None:
        """Print the tables of these cases."""
        for case in cases:
            print("\n".join(self.results.lines_of(case)), flush=True)


@dataclass
class Trees:
    """One source tree and where each contestant of a round copies it to."""

    contest: Contest
    tree: Path
    number: int

    def target(self, who: str) -> Path:
        """The copy of this contestant."""
        place = self.contest.folder / "copies" / f"{self.tree.name}-{self.number}-{who.replace(' ', '')}"
        place.mkdir(parents=True, exist_ok=True)
        return place

    def daemon(self, who: str, *options: str, delay: float = 0.0) -> Contestants:
        """rsync as a daemon."""
        rsync = self.contest.rsync
        assert rsync is not None
        return {who: lambda: rsync.from_daemon(self.tree, self.target(who), *options, delay=delay)}

    def ssh(self, *options: str) -> Contestants:
        """rsync over ssh."""
        rsync = self.contest.rsync
        assert rsync is not None
        return {SSH: lambda: rsync.over_ssh(self.tree, self.target(SSH), *options)}

    def copy(self) -> Contestants:
        """What this machine can do at all, without a wire and without a sync to the disk."""

        def run() -> Measured:
            target = self.target("cp")
            measured.settle()
            wall, used, _ = measured.run(["cp", "-a", f"{self.tree}/.", target])
            return Measured(wall, (used.seconds,))

        return {COPY: run}

    def remove(self) -> None:
        """The copies of a few large files go at once; many small ones wait for the end (see `inside.wipe`)."""
        for place in (self.contest.folder / "copies").glob(f"{self.tree.name}-{self.number}-*"):
            shutil.rmtree(place)


def small(contest: Contest) -> None:
    """Many small files: initial, no change, 1 % changed, and the latter two over a line of 20 ms."""
    tree = contest.folder / "small"
    paths = worksets.small_files(tree, contest.sizes.small)
    with Pair(contest.folder / "pair-small") as pair:
        pair.primary.do(f"store_files({str(tree)!r})")
        for number in range(contest.sizes.rounds):
            trees = Trees(contest, tree, number)
            rivals = trees.daemon(RSYNCD) | trees.ssh()
            pair.wipe_backup()
            first = {OURS: contest.pull(pair, "small, initial")} | rivals | trees.daemon(FSYNC, "--fsync")
            contest.round("small, initial", first | trees.copy(), number)
            contest.round("small, no change", {OURS: contest.pull(pair, "small, no change")} | rivals, number)
            _change(pair, tree, paths, 2 * number)
            contest.round("small, 1 % changed", {OURS: contest.pull(pair, "small, 1 % changed")} | rivals, number)
            far = trees.daemon(RSYNCD, delay=ONE_WAY_SECONDS)
            far[OURS] = lambda: pair.pull(delay=ONE_WAY_SECONDS)
            contest.round("20 ms, no change", far, number)
            _change(pair, tree, paths, 2 * number + 1)
            contest.round("20 ms, 1 % changed", far, number)
        _must_be_equal(pair)
    contest.show(("small, initial", "small, no change", "small, 1 % changed", "20 ms, no change", "20 ms, 1 % changed"))


def text(contest: Contest) -> None:
    """Files that compress well."""
    tree = contest.folder / "text"
    worksets.text_files(tree, contest.sizes.text)
    with Pair(contest.folder / "pair-text") as pair:
        pair.primary.do(f"store_files({str(tree)!r})")
        for number in range(contest.sizes.rounds):
            trees = Trees(contest, tree, number)
            pair.wipe_backup()
            ours = {OURS: contest.pull(pair, "text, initial")}
            contest.round("text, initial", ours | trees.daemon(ZIPPED, "-z") | trees.daemon(RSYNCD), number)
        _must_be_equal(pair)
    contest.show(["text, initial"])


def recordings(contest: Contest) -> None:
    """Recordings: initial, no change, one new."""
    tree, sizes = contest.folder / "recordings", contest.sizes
    paths = [worksets.noise(tree / f"{n:03}.webm", sizes.recording_bytes) for n in range(sizes.recordings)]
    with Pair(contest.folder / "pair-recordings") as pair:
        pair.primary.do(f"store_recordings({list(map(str, paths))!r})")
        for number in range(sizes.rounds):
            trees = Trees(contest, tree, number)
            rivals = trees.daemon(RSYNCD) | trees.ssh()
            pair.wipe_backup(keep_files=False)
            total = sum(path.stat().st_size for path in paths)
            first = {OURS: contest.pull(pair, "recordings, initial")} | rivals | trees.daemon(FSYNC, "--fsync")
            first[TLS] = lambda: network.tls_limit(contest.folder, total)  # noqa: B023  (called in this round)
            contest.round("recordings, initial", first | trees.copy(), number)
            same = {OURS: contest.pull(pair, "recordings, no change")}
            contest.round("recordings, no change", same | rivals, number)
            paths.append(worksets.noise(tree / f"new-{number}.webm", sizes.recording_bytes))
            pair.primary.do(f"store_recordings([{str(paths[-1])!r}])")
            contest.round("recordings, one new", {OURS: contest.pull(pair, "recordings, one new")} | rivals, number)
            trees.remove()
        _must_be_equal(pair)
    shutil.rmtree(contest.folder / "pair-recordings")
    shutil.rmtree(tree)
    contest.show(("recordings, initial", "recordings, no change", "recordings, one new"))


def big(contest: Contest) -> None:
    """One big file: initial, no change, 4 KiB inserted in its middle."""
    tree = contest.folder / "big"
    path = worksets.noise(tree / "image.bin", contest.sizes.big_bytes)
    with Pair(contest.folder / "pair-big") as pair:
        pair.primary.do(f"store_files({str(tree)!r})")
        for number in range(contest.sizes.rounds):
            trees = Trees(contest, tree, number)
            rivals = trees.daemon(RSYNCD) | trees.ssh()
            pair.wipe_backup(keep_files=False)
            contest.round("big, initial", {OURS: contest.pull(pair, "big, initial")} | rivals, number)
            contest.round("big, no change", {OURS: contest.pull(pair, "big, no change")} | rivals, number)
            worksets.insert(path, number)
            pair.primary.do(f"store_again({str(tree)!r}, [{str(path)!r}])")
            contest.round("big, 4 KiB inserted", {OURS: contest.pull(pair, "big, 4 KiB inserted")} | rivals, number)
            trees.remove()
        _must_be_equal(pair)
    shutil.rmtree(contest.folder / "pair-big")
    shutil.rmtree(tree)
    contest.show(("big, initial", "big, no change", "big, 4 KiB inserted"))


def huge(contest: Contest) -> None:
    """One recording that is larger than any cache, down and up: for the memory of both sides, against nobody."""
    tree = contest.folder / "huge"
    paths = [worksets.noise(tree / name, contest.sizes.huge_bytes) for name in ("down.webm", "up.webm")]
    with Pair(contest.folder / "pair-huge") as pair:
        for box, path, case in zip((pair.primary, pair.backup), paths, ("huge, down", "huge, up"), strict=True):
            box.do(f"store_recordings([{str(path)!r}])")
            contest.results.add(case, OURS, contest.pull(pair, case)())
        _must_be_equal(pair)
    shutil.rmtree(contest.folder / "pair-huge")
    shutil.rmtree(tree)
    contest.show(("huge, down", "huge, up"))


def limited(contest: Contest) -> None:
    """One file under a bandwidth limit."""
    tree = contest.folder / "limited"
    worksets.noise(tree / "image.bin", contest.sizes.limit_bytes)
    with Pair(contest.folder / "pair-limited") as pair:
        pair.primary.do(f"store_files({str(tree)!r})")
        for number in range(contest.sizes.rounds):
            trees = Trees(contest, tree, number)
            pair.wipe_backup(keep_files=False)
            rival = trees.daemon(RSYNCD, f"--bwlimit={LIMIT_BYTES_A_SECOND // 1000}KB")
            contest.round(LIMITED, {OURS: lambda: pair.pull(limit=LIMIT_BYTES_A_SECOND)} | rival, number)
            trees.remove()
        _must_be_equal(pair)
    contest.show([LIMITED])
    print("\n".join(contest.results.paces_of(LIMITED)), flush=True)


def _change(pair: Pair, tree: Path, paths: list[Path], number: int) -> None:
    changed = list(map(str, worksets.change(paths, 0.01, number)))
    pair.primary.do(f"store_again({str(tree)!r}, {changed!r})")


def _must_be_equal(pair: Pair) -> None:
    if not pair.is_equal():
        raise SystemExit("The two appliances do not hold the same: the figures above mean nothing.")
