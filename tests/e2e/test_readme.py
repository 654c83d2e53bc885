"""The first command of the README, on a copy of what is tracked, with an empty home folder.

It shows that `make run` needs nothing but the tracked files and what the lock installs, gives a working pair with demo
content, stops by Ctrl-C, and picks up where it was. Installing from the lock takes too long to be repeated here: the
environment that runs the tests is lent to the copy; `.ci/run` begins without one.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.compare import count, differences
from tests.e2e.live import ROOT, LiveAppliance, LivePair, wait_for
from tests.test_architecture import tracked_files

PORT = 9170
READY = "Ctrl-C stops both"
START_SECONDS = 120.0
STOP_SECONDS = 25.0


@dataclass
class Run:
    """One `make run`, as in a terminal of its own."""

    process: subprocess.Popen[bytes]
    output: Path

    def text(self) -> str:
        """What it has printed."""
        return self.output.read_text(errors="replace")

    def is_ready(self) -> bool:
        """Whether it has said that both run."""
        assert self.process.poll() is None, self.text()
        return READY in self.text()

    def ctrl_c(self) -> None:
        """What a terminal does: SIGINT to all of the foreground group; then it is over in time."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(STOP_SECONDS)


def test_make_run_gives_a_living_pair_and_ctrl_c_ends_it(folder: Path) -> None:
    tree, pair_folder = copy_of_the_tree(folder / "tree"), folder / "pair"
    pair = LivePair.below(pair_folder, port=PORT)
    sites = (pair.site1, pair.site2)
    with make_run(tree, pair_folder) as first:
        wait_for("both run", first.is_ready, START_SECONDS, 0.5)
        text = first.text()
        for site in sites:
            assert f"{site.url}/login" in text
        password = re.search(r"admin / (\S+)", text)
        assert password
        assert (pair.site1.password, pair.site2.password) == (password[1], password[1])
        assert "site1 is primary" in text
        for site in sites:
            wait_for(f"{site.name} is healthy", site.says_healthy, START_SECONDS)
        assert (pair.site1.role(), pair.site2.role()) == ("primary", "backup")
        assert (pair.site1.get("/")[0], pair.site2.get("/")[0]) == (200, 503)
        assert count(pair.site1)["appliances.SupportSession"] >= 100
        pair.wait_until_synchronised()
        assert differences(*sites) == []
        assert_the_printed_command_works(tree, text)
        first.ctrl_c()
        assert_all_gone(sites)
        assert "Traceback" not in first.text()
    with make_run(tree, pair_folder) as second:
        wait_for("both run again", second.is_ready, START_SECONDS, 0.5)
        assert "site1 is primary; site2 is backup." in second.text()
        for site in sites:
            wait_for(f"{site.name} is healthy", site.says_healthy, START_SECONDS)
        wait_for("the primary serves", lambda: pair.site1.get("/")[0] == 200, 45)
        assert (pair.site1.role(), pair.site2.role()) == ("primary", "backup")
        assert differences(*sites) == []
        second.ctrl_c()
        assert_all_gone(sites)
        assert "Traceback" not in second.text()
    for site in sites:
        assert site.tracebacks() == []


def assert_the_printed_command_works(tree: Path, text: str) -> None:
    """The line that the start prints, typed into another terminal in the same folder."""
    printed = re.search(r"A command for site1: (.+)", text)
    assert printed, text
    done = subprocess.run(["sh", "-c", printed[1]], cwd=tree, env={"PATH": os.environ["PATH"]}, capture_output=True)
    assert b"site1.example.com: Primary" in done.stdout, done.stdout + done.stderr


def assert_all_gone(sites: tuple[LiveAppliance, ...]) -> None:
    """No process of either is left."""
    for site in sites:
        wait_for(f"the end of {site.name}", site.has_ended, 5)


@contextmanager
def make_run(tree: Path, pair_folder: Path) -> Iterator[Run]:
    """`make run` in a process group of its own; ended in any case."""
    home = tree.parent / "home"
    home.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PAIR_DIR": str(pair_folder),
        "SITE1_LISTEN": f"127.0.0.1:{PORT}",
        "SITE2_LISTEN": f"127.0.0.2:{PORT}",
        "FIRST_SYNC_DELAY_SECONDS": "3",
    }
    output = tree.parent / f"make-run-{time.monotonic_ns()}.log"
    with open(output, "wb") as file:
        process = subprocess.Popen(
            ["make", "--old-file=.venv/.installed-run", "run"],
            cwd=tree,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield Run(process, output)
    except BaseException:
        print(output.read_text(errors="replace")[-4000:])
        raise
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_SECONDS)


def copy_of_the_tree(folder: Path) -> Path:
    """The tracked files as they are now, and the environment of this process as `.venv`."""
    for path in tracked_files():
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    (folder / ".venv").symlink_to(Path(sys.prefix))
    return folder
