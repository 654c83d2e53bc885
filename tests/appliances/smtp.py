"""A real SMTP server on loopback, as a process of its own, that keeps what it takes."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from django.test import override_settings

from appliances.certificates import make_self_issued

USERNAME, PASSWORD = "relay-user", "relay password"
LOG_IN = {"username": USERNAME, "password": PASSWORD}
SERVER = Path(__file__).with_name("smtp_server.py")


class Mailbox:
    """What the server took so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept: list[tuple[bytes, bytes]] | None = None

    def keep(self) -> None:
        """Read the mails for good, before the folder goes."""
        self.kept = self._taken()

    def _taken(self) -> list[tuple[bytes, bytes]]:
        if self.kept is not None:
            return self.kept
        contents = [path.read_bytes().split(b"\n", 1) for path in sorted(self.folder.glob("*.mail"))]
        return [(receivers, mail) for receivers, mail in contents]

    @property
    def mails(self) -> list[EmailMessage]:
        """The mails in their order."""
        return [message_from_bytes(mail, policy=policy.default) for _, mail in self._taken()]

    @property
    def receivers(self) -> list[list[str]]:
        """The receivers of each mail."""
        return [receivers.decode().split() for receivers, _ in self._taken()]


def certificate(folder: Path) -> Path:
    """A file with a self-issued certificate for 127.0.0.1 and its key."""
    made = make_self_issued(["relay.example.com"], ["127.0.0.1"], now=dt.datetime.now(dt.UTC))
    path = folder / "relay.pem"
    path.write_bytes(made.pem + made.key)
    return path


@contextmanager
def running(**options: str | int) -> Iterator[tuple[Mailbox, int]]:
    """A server on a free port of 127.0.0.1: its mailbox and its port. For the options see `smtp_server.py`."""
    with tempfile.TemporaryDirectory(prefix="smtp-") as name:
        process = subprocess.Popen(
            [sys.executable, str(SERVER), name, json.dumps(options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        mailbox = Mailbox(Path(name))
        try:
            with override_settings(ALLOW_LOOPBACK_TARGETS=True):
                yield mailbox, int(process.stdout.readline())
        finally:
            process.terminate()
            process.communicate()
            mailbox.keep()
