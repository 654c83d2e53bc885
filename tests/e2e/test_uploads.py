"""A large recording streams in, is cut, goes on, and reaches the backup; the web server's memory stays as it was."""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3

from tests.e2e.conftest import running
from tests.e2e.live import LiveAppliance, LivePair, insecure_context, wait_for

PORT = 9190
SIZE = 300 << 20
CUT_AT = 140 << 20
PIECE = 1 << 20
MEMORY_KB = 64 << 10
SESSION = str(uuid.uuid4())


class ApiClient:
    """Asks one appliance as a program does."""

    def __init__(self, appliance: LiveAppliance) -> None:
        self.appliance = appliance
        pair = f"admin:{appliance.password}".encode()
        self.headers = {"Authorization": "Basic " + base64.b64encode(pair).decode()}

    def connect(self) -> http.client.HTTPSConnection:
        """A new connection."""
        address, port = self.appliance.address, self.appliance.port
        return http.client.HTTPSConnection(address, port, timeout=120, context=insecure_context())

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer; `body` is JSON, or an iterable of bytes."""
        given = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, dict | list):
            body, given["Content-Type"] = json.dumps(body).encode(), "application/json"
        connection = self.connect()
        try:
            connection.request(method, f"/api/v1/{path}", body, given)  # type: ignore[arg-type]
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), answer.read()
        finally:
            connection.close()


def pieces(start: int, end: int) -> Iterator[bytes]:
    """Content that is nowhere as a whole."""
    for number in range(start // PIECE, end // PIECE):
        yield blake3(number.to_bytes(8, "big")).digest(length=PIECE)


def high_water_marks(appliance: LiveAppliance) -> dict[int, int]:
    """The most memory (kB) that each web process has ever used, by process id."""
    found = {}
    for pid, command in appliance.processes().items():
        if "gunicorn" in command:
            status = Path(f"/proc/{pid}/status").read_text()
            found[pid] = int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])
    return found


def test_a_recording_of_300_mib_is_cut_goes_on_and_reaches_the_backup(folder: Path) -> None:
    pair = LivePair.below(folder, port=PORT)
    with running(pair.site1, pair.site2):
        pair.start()
        pair.establish_from_shell()
        pair.wait_until_synchronised()
        client = ApiClient(pair.site1)
        document = {"id": SESSION, "started_at": "2026-11-22T09:00:00Z", "representative": "admin",
                    "customer_name": "Ada", "ended_at": "2026-11-22T09:30:00Z"}  # fmt: skip
        assert client.ask("POST", "sessions", document)[0] == 201
        # The first upload warms the process up: what it loads then is no part of what a recording takes.
        warm = f"recordings/{uuid.uuid4()}?session={SESSION}&name=warm.webm"
        for _ in range(8):
            assert client.ask("PUT", warm, b"x" * PIECE)[0] in (201, 409)
        before = high_water_marks(pair.site1)

        key = uuid.uuid4()
        cut_in_the_middle(client, f"/api/v1/recordings/{key}?session={SESSION}&name=long.webm&duration_seconds=1800")
        arrived = wait_for("the cut is noticed", lambda: offset_when_free(client, key), 30)
        assert 0 < arrived <= CUT_AT
        start = arrived // PIECE * PIECE
        rest = (piece[arrived - start :] if n == 0 else piece for n, piece in enumerate(pieces(start, SIZE)))
        status, headers, body = client.ask(
            "PATCH",
            f"recordings/{key}",
            rest,
            Upload_Offset=str(arrived),
            Content_Length=str(SIZE - arrived),
            Content_Type="application/offset+octet-stream",
        )
        assert (status, headers.get("Upload-Offset")) == (204, str(SIZE)), body
        after = high_water_marks(pair.site1)
        grown = {pid: after[pid] - before[pid] for pid in after}
        print(f"arrived before the cut: {arrived >> 20} MiB; memory grew by {grown} kB")
        assert max(grown.values()) < MEMORY_KB

        expected = blake3()
        for piece in pieces(0, SIZE):
            expected.update(piece)
        state = json.loads(client.ask("GET", f"recordings/{key}")[2])
        assert (state["blake3"], state["is_incomplete"]) == (expected.hexdigest(), False)
        assert pair.site2.manage("sync_now").returncode == 0
        digest = expected.hexdigest()
        there = f"{digest[:2]}/{digest[2:]}"
        wait_for("the recording on the backup", lambda: pair.site2.blobs().get(there) == SIZE, 120)
        wait_for("its row", lambda: pair.site2.rows("SELECT 1 FROM appliances_recording WHERE name = 'long.webm'"), 30)

        refused, _, reason = ApiClient(pair.site2).ask("POST", "sessions", document)
        assert refused == 503, reason
        assert json.loads(reason)["primary_url"] == f"{pair.site1.url}/"


def cut_in_the_middle(client: ApiClient, path: str) -> None:
    """Send the first part of the recording, then vanish."""
    connection = client.connect()
    connection.connect()
    connection.putrequest("PUT", path)
    for name, value in {**client.headers, "Content-Length": str(SIZE)}.items():
        connection.putheader(name, value)
    connection.endheaders()
    for piece in pieces(0, CUT_AT):
        connection.send(piece)
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def offset_when_free(client: ApiClient, key: uuid.UUID) -> int:
    """How many bytes have arrived, once the server has noticed that no more come; 0 before."""
    status, headers, _ = client.ask("HEAD", f"recordings/{key}")
    assert status == 200
    busy = client.ask("PATCH", f"recordings/{key}", b"", Upload_Offset=headers["Upload-Offset"],
                      Content_Type="application/offset+octet-stream")[0]  # fmt: skip
    return int(headers["Upload-Offset"]) if busy == 204 else 0
