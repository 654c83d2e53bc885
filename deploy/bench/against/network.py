"""A slow line, and what TLS itself allows on this machine."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.bench.against.measured import Measured
from tests.sync.boxes import free_port

PIECE = 1 << 20
READ_BYTES = 1 << 18


@contextmanager
def delayed(address: str, port: int, seconds_each_way: float) -> Iterator[int]:
    """The port of a relay to this address that keeps everything back for so long, each way; without delay, `port`.

    The relay listens on 127.0.0.1.
    """
    if not seconds_each_way:
        yield port
        return
    loop, here = asyncio.new_event_loop(), free_port("127.0.0.1")
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    relay = asyncio.run_coroutine_threadsafe(_relay(here, address, port, seconds_each_way), loop).result(10)
    try:
        yield here
    finally:
        loop.call_soon_threadsafe(relay.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _relay(here: int, address: str, port: int, delay: float) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(address, port)
        await asyncio.gather(_pump(reader, there_writer, delay), _pump(there_reader, writer, delay))

    return await asyncio.start_server(serve, "127.0.0.1", here)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def forward() -> None:
        with suppress(OSError):
            while (found := await waiting.get())[1]:
                await asyncio.sleep(max(0.0, found[0] - time.monotonic()))
                writer.write(found[1])
            writer.close()

    sending = asyncio.create_task(forward())
    piece = b"begin"
    while piece:
        try:
            piece = await reader.read(READ_BYTES)
        except OSError:
            piece = b""
        waiting.put_nowait((time.monotonic() + delay, piece))
    await sending


def tls_limit(folder: Path, size: int) -> Measured:
    """How long one TLS connection of loopback takes for so many bytes, from memory to memory."""
    certificate = _certificate(folder)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(certificate)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE

    def send() -> None:
        with listener, server.wrap_socket(listener.accept()[0], server_side=True) as secured:
            piece, left = b"\0" * PIECE, size
            while left:
                secured.sendall(piece[: min(left, PIECE)])
                left -= min(left, PIECE)

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=send)
    thread.start()
    began, buffer, left = time.perf_counter(), bytearray(PIECE), size
    with client.wrap_socket(socket.create_connection(listener.getsockname())) as secured:
        while left:
            left -= secured.recv_into(buffer)
    wall = time.perf_counter() - began
    thread.join()
    return Measured(wall)


def _certificate(folder: Path) -> Path:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = dt.datetime.now(dt.UTC)
    path = folder / "tls.pem"
    signed = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - dt.timedelta(days=1),
        not_valid_after=now + dt.timedelta(days=1),
    ).sign(key, hashes.SHA256())
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    path.write_bytes(pem + signed.public_bytes(serialization.Encoding.PEM))
    return path
