"""What a person at the terminal, or the machine's journal, gets to see of a supervisor: loud lines only."""

from __future__ import annotations

import io
import logging
import os
import shlex
import sys
from pathlib import Path

from appliances.host import child_logs


def wants_text() -> bool:
    """Whether lines are for a person: `LOG_FORMAT`, or whether this is a terminal."""
    form = os.environ.get("LOG_FORMAT", "")
    return form == "text" if form else sys.stderr.isatty()


def command_line(data_dir: Path, *arguments: str) -> str:
    """What to type to run a command of `manage.py` on the appliance of a data folder; short in the folder of both."""
    here = Path.cwd()
    names = [path.relative_to(here) if path.is_relative_to(here) else path for path in (data_dir, Path(sys.executable))]
    return f"DATA_DIR={shlex.quote(str(names[0]))} {shlex.quote(str(names[1]))} manage.py {' '.join(arguments)}"


def say(line: str) -> None:
    """Print a log record (JSON) in the wanted form."""
    try:
        text = child_logs.as_text(line) if wants_text() else line
    except ValueError:
        text = line
    print(text, file=sys.stderr, flush=True)


class SupervisorLog(logging.Handler):
    """The supervisor's own records: all to its log file, the loud ones to the terminal as well."""

    def __init__(self, folder: Path, formatter: logging.Formatter | None) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._file = child_logs.LogFile(folder / "supervisor.log")

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        line = self.format(record)
        self._file.write(line)
        if record.levelno >= logging.WARNING:
            say(line)


def keep_log_in(folder: Path, *, name: str = "") -> None:
    """From now on the log of this process is kept in `folder`, and only loud lines come to the terminal.

    `name` stands where the appliance's name would, for a process that is of neither appliance.
    """
    root = logging.getLogger()
    formatter = root.handlers[0].formatter if root.handlers else None
    if formatter is not None and hasattr(formatter, "form") and hasattr(formatter, "appliance"):
        formatter.form = "json"
        formatter.appliance = name or formatter.appliance
    root.handlers = [SupervisorLog(folder, formatter)]


def print_line_by_line() -> None:
    """From now on each printed line is seen at once, in a file or a pipe as well: a start takes long to be over."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
