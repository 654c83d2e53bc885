"""rsync, as a daemon and over ssh: a server of its own for each run, so that what it used is known exactly."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploy.bench.against import measured
from deploy.bench.against.measured import Measured, PeakSampler, Used
from deploy.bench.against.network import delayed
from tests.sync.boxes import free_port

ADDRESS = "127.0.0.1"
PACKAGES = {"rsync": "rsync", "sshd": "openssh-server", "ssh": "openssh-client", "ssh-keygen": "openssh-client"}
_STATS = re.compile(r"^Total bytes (?:sent|received): ([\d,.]+)", re.MULTILINE)
_SSH = re.compile(r"Transferred: sent (\d+), received (\d+) bytes")


def find(program: str) -> str | None:
    """Where a program is, also outside of the PATH of ordinary users."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin:/sbin")


def missing() -> list[str]:
    """The Debian packages that have to be installed."""
    return sorted({package for program, package in PACKAGES.items() if find(program) is None})


@dataclass
class Rsync:
    """Pulls a tree as a backup would; configuration and keys lie in `folder`."""

    folder: Path
    _server: Used = field(default=Used(0.0, 0), init=False)
    _sampler: PeakSampler = field(default_factory=PeakSampler, init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(mode=0o700)
        for name in ("host", "client"):
            key = self.folder / name
            measured.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key])
        shutil.copy(self.folder / "client.pub", self.folder / "authorized")

    def close(self) -> None:
        """Nothing watches any more."""
        self._sampler.end()

    def from_daemon(self, tree: Path, target: Path, *options: str, delay: float = 0.0) -> Measured:
        """Pull from a daemon over plain TCP; `delay` is that of the line in seconds, each way."""
        with self._daemon(tree) as server, delayed(ADDRESS, server, delay) as port:
            measured.settle()
            pull = ["rsync", "-a", "--delete", "--stats", "--no-h", *options]
            wall, here, text = measured.run([*pull, f"rsync://{ADDRESS}:{port}/tree/", f"{target}/"], self._sampler)
        return self._measured(wall, here, sum(map(_number, _STATS.findall(text))))

    def over_ssh(self, tree: Path, target: Path, *options: str) -> Measured:
        """Pull through ssh with its usual cipher."""
        with self._sshd() as port:
            measured.settle()
            shell = (
                f"ssh -F none -p {port} -i {self.folder}/client -o UserKnownHostsFile={self.folder}/known "
                "-o StrictHostKeyChecking=accept-new -o LogLevel=VERBOSE -o BatchMode=yes"
            )
            pull = ["rsync", "-a", "--delete", "-e", shell, *options]
            wall, here, text = measured.run([*pull, f"{ADDRESS}:{tree}/", f"{target}/"], self._sampler)
        found = _SSH.search(text)
        return self._measured(wall, here, sum(map(int, found.groups())) if found else None)

    @contextmanager
    def _daemon(self, tree: Path) -> Iterator[int]:
        port = free_port(ADDRESS)
        lines = ["use chroot = no", "[tree]", f"path = {tree}", "read only = yes"]
        if os.geteuid() == 0:
            lines += ["uid = root", "gid = root"]
        config = self.folder / "rsyncd.conf"
        config.write_text("\n".join([f"pid file = {self.folder}/rsyncd.pid", *lines, ""]))
        (self.folder / "rsyncd.pid").unlink(missing_ok=True)
        command = ["rsync", "--daemon", "--no-detach", "--address", ADDRESS, "--port", str(port), "--config", config]
        with self._serving(list(map(str, command)), port):
            yield port

    @contextmanager
    def _sshd(self) -> Iterator[int]:
        port, config = free_port(ADDRESS), self.folder / "sshd.conf"
        config.write_text(
            f"Port {port}\nListenAddress {ADDRESS}\nHostKey {self.folder}/host\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {self.folder}/authorized\nStrictModes no\nPasswordAuthentication no\n"
        )
        (self.folder / "known").unlink(missing_ok=True)
        with _separation_folder(), self._serving([find("sshd") or "sshd", "-D", "-f", str(config)], port):
            yield port

    @contextmanager
    def _serving(self, command: list[str], port: int) -> Iterator[None]:
        log = self.folder / "server.log"
        with log.open("ab") as file:
            server = subprocess.Popen(command, stdout=file, stderr=file)
        self._sampler.watch(server.pid)
        try:
            measured.wait_until_listening(port)
            yield
        finally:
            server.send_signal(signal.SIGTERM)
            self._server = Used(measured.reap(server), self._sampler.peak_of(server.pid))

    def _measured(self, wall: float, here: Used, wire: int | None) -> Measured:
        return Measured(wall, (self._server.seconds, here.seconds), wire, (self._server.peak, here.peak))


@contextmanager
def _separation_folder() -> Iterator[None]:
    """sshd as root wants this empty folder, which a service manager makes."""
    folder = Path("/run/sshd")
    made = os.geteuid() == 0 and not folder.exists()
    if made:
        folder.mkdir(mode=0o755)
    try:
        yield
    finally:
        if made:
            folder.rmdir()


def _number(text: str) -> int:
    return int(text.replace(",", "").replace(".", ""))
