"""Real appliances for tests of the wire: a web server with TLS and a console, processes with their own data folder."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appliances.host import runtime

ROOT = Path(__file__).resolve().parents[2]
PORT_INSIDE = 8443
KEY = "G2VJ-QRBA-CMDY-XV4W-W3NC-KTXL-T7SA-ABTZ-SBJB-W6PI-QBCI-OLPO-GVFQ"
START_SECONDS = 60.0

CONSOLE = """
import json, sys, traceback
import django
django.setup()
from django.db import close_old_connections
for line in sys.stdin:
    names = {}
    try:
        exec(json.loads(line), names)
        answer = {"result": names.get("result")}
    except Exception as error:
        answer = {"error": type(error).__name__, "text": str(error), "step": str(getattr(error, "step", "")),
                  "remedy": getattr(error, "remedy", ""), "code": getattr(error, "peer_code", ""),
                  "trace": traceback.format_exc()}
    print(json.dumps(answer), flush=True)
"""

SET_UP = """
from pathlib import Path
from django.conf import settings
from django.core.management import call_command
from appliances import secrets
from appliances.services.certificates import ensure_default_certificate
call_command("migrate", verbosity=0)
certificate = ensure_default_certificate()
key = secrets.unseal(bytes(certificate.sealed_key), certificate.key_label)
Path(settings.DATA_DIR / "web.pem").write_text(certificate.pem)
secrets.write_private(settings.DATA_DIR / "web.key", key)
"""

ANSWERS = """
import socket, ssl
context = ssl._create_unverified_context()
try:
    with socket.create_connection({target}, 1) as plain, context.wrap_socket(plain) as secured:
        secured.sendall(b"GET /peer/v1/nothing HTTP/1.0\\r\\n\\r\\n")
        result = bool(secured.recv(1))
except OSError:
    result = False
"""

STATE = """
from appliances import selectors
from appliances.models import FailoverRelationship
from sync import journal
row = selectors.relationship()
state = journal.read()
result = [state.state.value, state.parity, row and [row.pair_id, row.peer_guid, row.peer_port, row.reverse_port,
    row.is_founding_primary, row.is_confirmed]]
"""


LEAVE = """
from appliances import selectors
from sync.relationship.leave import leave
row = selectors.relationship()
row is not None and leave(row.pair_id, "test")
"""


def free_port(address: str) -> int:
    """A port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


class Box:
    """One appliance: `run` executes code in its console, `address` and `port` are where its web server answers."""

    def __init__(
        self,
        folder: Path,
        address: str,
        *,
        name: str,
        settings: str = "failover_site.settings",
        inside: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`inside` are the words before each command that put it into a network of its own."""
        self.folder, self.address, self.inside = folder, address, inside
        self.port = PORT_INSIDE if inside else free_port(address)
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DATA_DIR": str(folder),
            "HOST_NAME": name,
            "LISTEN": f"{address}:{self.port}",
            "ALLOW_LOOPBACK_TARGETS": "1",
            "LOG_LEVEL": "WARNING",
            "DJANGO_SETTINGS_MODULE": settings,
            "SECRET_KEY": "of every process of this box" * 3,
            **(environment or {}),
        }
        folder.mkdir(parents=True, exist_ok=True)
        self.log = open(folder / "log", "wb")  # noqa: SIM115  (closed with the box)
        self.console = subprocess.Popen(
            [*inside, sys.executable, "-c", CONSOLE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=self.environment,
            cwd=ROOT,
            text=True,
        )
        self.web: subprocess.Popen[bytes] | None = None
        self.run(SET_UP)

    def web_command(self) -> list[str]:
        """What runs the web server."""
        command = [sys.executable, "-m", "gunicorn", "--bind", f"{self.address}:{self.port}", "--threads", "4"]
        command += ["--certfile", str(self.folder / "web.pem"), "--keyfile", str(self.folder / "web.key")]
        return [*command, "--worker-class", "gthread", "--log-level", "warning", "failover_site.wsgi"]

    def start(self) -> None:
        """The web server answers."""
        command = [*self.inside, *self.web_command()]
        self.web = subprocess.Popen(command, env=self.environment, cwd=ROOT, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self.web.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "the web server did not start"
            time.sleep(0.1)

    def _answers(self) -> bool:
        return bool(self.run(ANSWERS.format(target=(self.address, self.port))))

    def stop_web(self) -> None:
        """The web server is gone."""
        if self.web is not None:
            self.web.terminate()
            self.web.wait(30)
            self.web = None

    def try_run(self, code: str) -> dict[str, Any]:
        """What became of running `code` in the console: `result`, or `error`, `text`, `step`, `remedy`."""
        assert self.console.stdin is not None
        assert self.console.stdout is not None
        self.console.stdin.write(json.dumps(code) + "\n")
        self.console.stdin.flush()
        line = self.console.stdout.readline()
        assert line, (self.folder / "log").read_text()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def run(self, code: str) -> Any:
        """The `result` of running `code` in the console."""
        answer = self.try_run(code)
        assert "error" not in answer, answer.get("trace")
        return answer["result"]

    def set_key(self, key: str | None) -> None:
        """The inter-appliance key is this one."""
        if key is None:
            self.run("from appliances.models import InterApplianceKey as K; K.objects.all().delete()")
        else:
            self.run(f"from appliances.services import set_inter_appliance_key as s; s({key!r})")

    def state(self) -> list[Any]:
        """Role state and relationship."""
        state: list[Any] = self.run(STATE)
        return state

    def establish(self, other: Box, **fields: Any) -> dict[str, Any]:
        """Establish Relationship on this box."""
        entered = {
            "peer_host": other.address,
            "peer_port": other.port,
            "reverse_host": self.address,
            "reverse_port": self.port,
            "requested_by": "anna",
            **fields,
        }
        return self.try_run(f"from sync import relationship\nresult = relationship.establish(**{entered!r}).pair_id")

    def leave(self) -> None:
        """No relationship any more, without telling anybody."""
        self.run(LEAVE)

    def close(self) -> None:
        """Everything that was started has ended."""
        self.stop_web()
        assert self.console.stdin is not None
        assert self.console.stdout is not None
        self.console.stdin.close()
        self.console.wait(30)
        self.console.stdout.close()
        self.log.close()
        runtime.remove(runtime.runtime_folder(self.folder), self.folder)
