"""A folder of the administrator's own against rsync, which copies the same tree in the same way (-rpt --delete)."""

from __future__ import annotations

from pathlib import Path

from deploy.bench.against import worksets
from deploy.bench.against.files import ONE_WAY_SECONDS, RSYNCD, Contest, Contestants, Trees
from deploy.bench.against.product import Pair
from deploy.bench.against.table import OURS

CASES = ("initial", "no change", "1 % changed", "20 ms, no change", "20 ms, 1 % changed")
LIKE_US = ("--no-links", "--no-owner", "--no-group", "--no-devices", "--no-specials")  # of -a, that leaves -rpt


def folder(contest: Contest) -> None:
    """Many small files: initial, no change, 1 % changed, and the latter two over a line of 20 ms."""
    tree = contest.folder / "folder"
    paths = worksets.small_files(tree, contest.sizes.small)
    with Pair(contest.folder / "pair-folder") as pair:
        pair.primary.do("folder()")
        for number in range(contest.sizes.rounds):
            trees = Trees(contest, tree, number)
            target = trees.target(OURS)
            pair.primary.do(f"folder_lies({str(tree)!r})")
            pair.backup.do(f"folder_lies({str(target)!r})")
            rivals = trees.daemon(RSYNCD, *LIKE_US) | trees.ssh(*LIKE_US)
            far: Contestants = trees.daemon(RSYNCD, *LIKE_US, delay=ONE_WAY_SECONDS)
            far[OURS] = lambda: pair.pull(delay=ONE_WAY_SECONDS)
            for case in CASES:
                if "changed" in case:
                    worksets.change(paths, 0.01, 2 * number + case.startswith("20 ms"))
                name = f"folder, {case}"
                near = {OURS: contest.pull(pair, name)} | rivals
                contest.round(name, far if case.startswith("20 ms") else near, number)
            _must_be_equal(tree, target)
    contest.show(f"folder, {case}" for case in CASES)


def _must_be_equal(tree: Path, target: Path) -> None:
    ours, theirs = (
        {
            path.relative_to(root): (path.stat().st_mtime_ns, path.stat().st_mode, path.read_bytes())
            for path in root.rglob("*")
            if path.is_file()
        }
        for root in (target, tree)
    )
    if ours != theirs:
        raise SystemExit("The folder of the backup is not that of the primary: the figures above mean nothing.")
