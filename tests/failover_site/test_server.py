"""The web server as it runs, with two threads: what slow and half clients may do to the others."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.live import insecure_context, wait_for
from tests.sync.boxes import ROOT, Box

THREADS = 2
ANSWER_SECONDS = 15.0
LARGE_BYTES = 24 * 1024 * 1024
ANSWERED = (200, 500)  # no worker reports the health here
SLOW_SECONDS = 14.0  # longer than a request may stand still

MAKE_FILE = f"""
import io
from appliances import blobs
from appliances.models import FileStoreFile
stored = blobs.store(io.BytesIO(bytes({LARGE_BYTES})))
file = FileStoreFile.objects.create(name="large", blob_id=stored.blob_id, size_bytes=stored.size_bytes, is_public=True)
result = str(file.pk)
"""


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """An appliance whose web server is the product's, with one worker of two threads."""
    made = Box(tmp_path_factory.mktemp("web"), "127.0.0.1", name="site1.example.com")
    command = [sys.executable, "-m", "gunicorn", "-c", "python:failover_site.server"]
    command += ["--workers", "1", "--threads", str(THREADS)]
    made.web = subprocess.Popen(command, env=made.environment, cwd=ROOT, stdout=made.log, stderr=made.log)
    try:
        wait_for("the web server answers", lambda: made._answers(), 60)
        yield made
    finally:
        made.close()


def connect(box: Box) -> socket.socket:
    return socket.create_connection((box.address, box.port), ANSWER_SECONDS)


def secured(box: Box) -> ssl.SSLSocket:
    return insecure_context().wrap_socket(connect(box))


def check_health(box: Box) -> int:
    """The status of /check_health."""
    client = http.client.HTTPSConnection(box.address, box.port, timeout=ANSWER_SECONDS, context=insecure_context())
    try:
        client.request("GET", "/check_health")
        return client.getresponse().status
    finally:
        client.close()


def half_handshake(box: Box) -> socket.socket:
    connection = connect(box)
    connection.sendall(b"\x16")
    return connection


def half_head(box: Box) -> socket.socket:
    connection = secured(box)
    connection.sendall(b"GET /check_health HTTP/1.1\r\nHost: ")
    return connection


def half_body(box: Box) -> socket.socket:
    connection = secured(box)
    head = b"POST /api/command HTTP/1.1\r\nHost: site1.example.com\r\nContent-Length: 5000\r\n"
    connection.sendall(head + b"Content-Type: application/x-www-form-urlencoded\r\n\r\naction=")
    return connection


def not_closed_by_the_client(box: Box) -> socket.socket:
    connection = secured(box)
    connection.sendall(b"GET /check_health HTTP/1.0\r\n\r\n")
    return connection


@pytest.mark.parametrize("begin", [half_handshake, half_head, half_body, not_closed_by_the_client])
def test_as_many_half_requests_as_there_are_threads_stop_nobody(
    box: Box, begin: Callable[[Box], socket.socket]
) -> None:
    with ExitStack() as open_ones:
        for _ in range(THREADS):
            open_ones.enter_context(begin(box))
        time.sleep(0.5)
        began = time.monotonic()
        assert check_health(box) in ANSWERED
        assert time.monotonic() - began < ANSWER_SECONDS


@pytest.mark.parametrize("begin", [half_handshake, half_head, half_body])
def test_a_half_request_is_given_up(box: Box, begin: Callable[[Box], socket.socket]) -> None:
    with begin(box) as connection:
        connection.settimeout(20)
        try:
            while connection.recv(1000):
                pass
        except ConnectionError:
            pass


def test_requests_on_a_kept_connection_and_in_pieces_are_answered(box: Box) -> None:
    with secured(box) as connection:
        for _ in range(3):
            for piece in (b"GET /check_he", b"alth HTTP/1.1\r\nHost: site1", b".example.com\r\n\r\n"):
                connection.sendall(piece)
                time.sleep(0.2)
            response = http.client.HTTPResponse(connection)
            response.begin()
            response.read()
            assert response.status in ANSWERED


def test_pipelined_requests_are_answered_in_turn(box: Box) -> None:
    with secured(box) as connection:
        request = b"GET /check_health HTTP/1.1\r\nHost: site1.example.com\r\n"
        connection.sendall(request + b"\r\n" + request + b"Connection: close\r\n\r\n")
        received = b""
        while piece := connection.recv(10_000):
            received += piece
    assert received.count(b"HTTP/1.1 ") == 2


@pytest.mark.slow
def test_slow_transfers_that_make_progress_come_to_their_end(box: Box) -> None:
    file_id = box.run(MAKE_FILE)

    def download() -> int:
        with secured(box) as connection:
            connection.sendall(f"GET /files/{file_id}/ HTTP/1.0\r\nHost: site1.example.com\r\n\r\n".encode())
            received, began = 0, time.monotonic()
            while piece := connection.recv(65536):
                received += len(piece)
                ahead = received / LARGE_BYTES * SLOW_SECONDS - (time.monotonic() - began)
                time.sleep(max(ahead, 0))
            return received

    def upload() -> bytes:
        with secured(box) as connection:
            body = b"action=get_api_info&x=" + b"y" * 20_000
            head = f"POST /api/command HTTP/1.0\r\nHost: site1.example.com\r\nContent-Length: {len(body)}\r\n"
            connection.sendall(head.encode() + b"Content-Type: application/x-www-form-urlencoded\r\n\r\n")
            pieces = 20
            for at in range(pieces):
                size = -(-len(body) // pieces)
                connection.sendall(body[at * size : (at + 1) * size])
                time.sleep(SLOW_SECONDS / pieces)
            return connection.recv(100)

    with ThreadPoolExecutor(2) as threads:
        downloaded, uploaded = threads.submit(download), threads.submit(upload)
        assert downloaded.result(60) > LARGE_BYTES
        assert uploaded.result(60).startswith(b"HTTP/1.0 200")


def test_a_peer_without_power_does_not_hold_a_thread_for_ever(box: Box) -> None:
    def timers() -> list[str]:
        shown = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        return [fields[5][:2] for fields in shown if fields[2].endswith(f":{port:04X}")]

    with half_body(box) as connection:
        port = connection.getsockname()[1]
        wait_for("the keep-alive timer of the accepted connection runs", lambda: timers() == ["02"], 5)
