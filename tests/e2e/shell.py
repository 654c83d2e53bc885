"""A Python console inside a live appliance's code and database, kept open: a command of the shell without its start."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from types import TracebackType
from typing import Any, Self

from tests.e2e.live import LiveAppliance

LOOP = """
import json, sys, traceback
import django
django.setup()
from django.db import close_old_connections, connections
for line in sys.stdin:
    names = {}
    close_old_connections()
    try:
        exec(json.loads(line), names)
        answer = {"result": names.get("result")}
    except Exception as error:
        answer = {"error": type(error).__name__, "text": str(error), "trace": traceback.format_exc()}
    connections.close_all()
    print(json.dumps(answer), flush=True)
"""


class ShellError(Exception):
    """What was run raised an exception; its name, text and traceback."""


class Shell:
    """Runs code as `manage.py shell` does on one appliance, whether that runs or not."""

    def __init__(self, appliance: LiveAppliance) -> None:
        self.appliance = appliance
        self._using = threading.Lock()
        self._errors = open(appliance.data_dir / "test-shell.log", "ab")  # noqa: SIM115  (closed with the shell)
        self._process = subprocess.Popen(
            [sys.executable, "-c", LOOP],
            cwd=appliance.root,
            env=appliance.command_env() | {"DJANGO_SETTINGS_MODULE": "failover_site.settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def run(self, code: str, **values: Any) -> Any:
        """What `code` leaves in the name `result`; `values` are names it may use.

        Raises:
            ShellError: it raised an exception.
        """
        given = "".join(f"{name} = {value!r}\n" for name, value in values.items())
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._using:
            self._process.stdin.write(json.dumps(given + code) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        assert line, f"the shell of {self.appliance.name} ended"
        answer = json.loads(line)
        if "error" in answer:
            raise ShellError(f"{answer['error']}: {answer['text']}\n{answer['trace']}")
        return answer["result"]
