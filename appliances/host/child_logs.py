"""What a child process writes: kept in a file of limited size, and the loud lines passed on."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

FILE_BYTES = 5 * 1024 * 1024  # a file is set aside when it is larger
OLD_FILES = 3
LONGEST_LINE_BYTES = 64 * 1024  # a longer one is cut into pieces; no child can make the supervisor grow
LOUD = frozenset({"warning", "error", "critical"})


class LogFile:
    """A log file that is set aside as `name.1`, `name.2` ... when it has grown; OLD_FILES of them are kept."""

    def __init__(self, path: Path, *, limit_bytes: int = FILE_BYTES) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path
        self.limit_bytes = limit_bytes
        self._open()

    def _open(self) -> None:
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size

    def write(self, line: str) -> None:
        """Append one line. A full disk loses the line, not the appliance."""
        data = line.encode(errors="backslashreplace") + b"\n"
        try:
            if self._size + len(data) > self.limit_bytes:
                self._set_aside()
            self._size += os.write(self._fd, data)
        except OSError:
            return

    def _set_aside(self) -> None:
        before = self._fd
        for number in range(OLD_FILES, 0, -1):
            newer = self.path if number == 1 else self.path.with_name(f"{self.path.name}.{number - 1}")
            if newer.exists():
                newer.replace(self.path.with_name(f"{self.path.name}.{number}"))
        self._open()
        os.close(before)

    def close(self) -> None:
        """No more lines."""
        os.close(self._fd)


@dataclass
class LineReader:
    """Cuts what comes through a pipe into lines."""

    _rest: bytes = field(default=b"")

    def feed(self, data: bytes) -> list[str]:
        """The lines that are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) > LONGEST_LINE_BYTES:
            lines.append(self._rest[:LONGEST_LINE_BYTES])
            self._rest = self._rest[LONGEST_LINE_BYTES:]
        return [line.decode(errors="replace") for line in lines if line.strip()]

    def end(self) -> list[str]:
        """What is left when the pipe has closed."""
        return self.feed(b"\n")


@dataclass(frozen=True)
class Line:
    """One line as a log record: JSON of this product as it is, anything else wrapped."""

    text: str
    level: str

    @property
    def is_loud(self) -> bool:
        """Whether somebody at the terminal should see it."""
        return self.level in LOUD


def parse(raw: str, *, child: str, plain_level: str, now: Callable[[], dt.datetime]) -> Line:
    """A line of a child as a log record. What is not JSON gets `plain_level`."""
    if raw.startswith("{"):
        try:
            fields = json.loads(raw)
        except ValueError:
            fields = None
        if isinstance(fields, dict) and isinstance(fields.get("level"), str):
            return Line(raw, fields["level"])
    fields = {
        "at": now().isoformat(timespec="milliseconds"),
        "level": plain_level,
        "event": "output",
        "logger": child,
        "text": raw,
    }
    return Line(json.dumps(fields), plain_level)


def as_text(line: str) -> str:
    """A log record in JSON as one line for a terminal; control characters stay escaped."""
    fields = json.loads(line)
    head = [str(fields.pop("at", ""))[11:19], str(fields.pop("level", ""))]
    logger = str(fields.pop("logger", ""))
    head += [f"{fields.pop('appliance', logger)}:", str(fields.pop("event", ""))]
    traceback = str(fields.pop("traceback", ""))
    rest = [f"{name}={json.dumps(value)}" for name, value in fields.items()]
    text = json.dumps(" ".join([*head, *rest]), ensure_ascii=False)[1:-1].replace('\\"', '"')
    return "\n".join([text, *(json.dumps(part)[1:-1] for part in traceback.splitlines())])
