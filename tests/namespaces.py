"""Networks of their own for tests that need real interfaces: namespaces, made by root and removed again."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from appliances.host.interfaces import Interface

ROOT = Path(__file__).resolve().parents[1]
READ = "from appliances.host.interfaces import interfaces\nprint(repr(interfaces()))"
SETTLE_SECONDS = 5.0


def run(*argv: str) -> str:
    """What the program printed.

    Raises:
        CalledProcessError: it failed.
    """
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30, cwd=ROOT).stdout


class Namespace:
    """A network of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.prefix = ("ip", "netns", "exec", name)

    def ip(self, *words: str) -> None:
        """Run `ip` on the interfaces in there."""
        run("ip", "-n", self.name, *words)

    def do(self, command: str) -> None:
        """Run a command line in there as an administrator would type it."""
        run(*self.prefix, *shlex.split(command))

    def read(self) -> dict[str, Interface]:
        """The interfaces as a process in there reads them."""
        said = run(*self.prefix, sys.executable, "-c", READ)
        return {interface.name: interface for interface in eval(said, {"Interface": Interface})}

    def settled(self, name: str, *, has_carrier: bool) -> Interface:
        """The interface, as soon as its link is as told: the kernel takes a moment."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while (found := self.read()[name]).has_carrier != has_carrier:
            assert time.monotonic() < deadline, found
        return found


@contextmanager
def namespaces(*words: str) -> Iterator[list[Namespace]]:
    """One namespace for each word, with the loopback up; the test is skipped where none can be made."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and the program ip (iproute2) to make a network namespace")
    with ExitStack() as stack:
        made = []
        for word in words:
            name = f"failover-test-{os.getpid()}-{word}"
            try:
                run("ip", "netns", "add", name)
            except subprocess.CalledProcessError as error:
                pytest.skip(f"no network namespace can be made here: {error.stderr.strip()}")
            stack.callback(run, "ip", "netns", "del", name)
            made.append(Namespace(name))
            made[-1].ip("link", "set", "lo", "up")
        yield made
