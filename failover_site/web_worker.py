"""Gunicorn's threaded worker, with patience only where it costs no thread.

A connection waits in the selector until its TLS handshake and the head of its request are there, so that whoever sends
half of them holds no thread. Only then a thread takes it; from there, a body that stands still is given up.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import ssl
import time
from typing import Any

from gunicorn import http
from gunicorn.http.unreader import SocketUnreader
from gunicorn.sock import ssl_wrap_socket
from gunicorn.workers.gthread import _DEFER, TConn, ThreadWorker

HEAD_SECONDS = 10.0  # from the first byte to the end of the head, with the handshake before the first request
BODY_SECONDS = 10.0  # how long a body may stand still; what has arrived buys more time, at the rate below
BODY_BYTES_A_SECOND = 500
LINGER_SECONDS = 2.0  # for a client to read the end of its answer before the connection is reset
HEAD_END = b"\r\n\r\n"
HEAD_BYTES = 65536  # what is longer is left to gunicorn's parser, which refuses it
READ_BYTES = 8192

# A peer that has lost its power in mid-transfer answers nothing more: its thread is free again after this time. It
# allows a reader to pause for as long, so it is longer than the pauses of a data-sync.
UNANSWERED_SECONDS = 120
KEEPALIVE_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_SECONDS * 1000),
)


class PatientUnreader(SocketUnreader):  # type: ignore[misc]  # gunicorn has no type hints
    """Reads a body as long as it makes progress; one that does not ends as if the client had gone."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        super().__init__(sock)
        self.seconds_left = BODY_SECONDS

    def chunk(self, size_hint: int | None = None) -> bytes:
        """What has arrived, or arrives in time."""
        limit, began = self.sock.gettimeout(), time.monotonic()
        left = max(self.seconds_left, 0.001)
        self.sock.settimeout(left if limit is None else min(left, limit))
        try:
            data: bytes = super().chunk(size_hint)
        except TimeoutError as error:
            raise ConnectionResetError(errno.ECONNRESET, "the request stood still") from error
        finally:
            self.sock.settimeout(limit)
        waited = time.monotonic() - began
        self.seconds_left = min(BODY_SECONDS, left - waited + len(data) / BODY_BYTES_A_SECOND)
        return data


class Connection(TConn):  # type: ignore[misc]  # gunicorn has no type hints
    """A connection that can be brought forward without waiting."""

    sock: Any  # a socket, and after the handshake the TLS socket over it

    def __init__(self, worker: WebWorker, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(worker.cfg, sock, client, server)
        self.worker = worker
        self.secured: ssl.SSLSocket | None = None
        self.deadline = 0.0
        self.expect_head()
        for option in KEEPALIVE_OPTIONS:
            sock.setsockopt(*option)

    def expect_head(self) -> None:
        """The next head has its time from now on."""
        self.deadline = time.monotonic() + HEAD_SECONDS

    def take_head(self) -> None:
        """The head of the request is in the parser's buffer (or all that comes of it).

        Raises:
            ssl.SSLWantReadError: more has to arrive first.
            OSError: nothing will come of this connection.
        """
        self.sock.setblocking(False)
        if not self.initialized:
            self._shake_hands()
        unreader = self.parser.unreader
        head = bytearray(unreader.take_buffered())
        try:
            while HEAD_END not in head and len(head) < HEAD_BYTES:
                if not (piece := self.sock.recv(READ_BYTES)):
                    break
                head += piece
        finally:
            unreader.unread(bytes(head))
        unreader.seconds_left = BODY_SECONDS

    def _shake_hands(self) -> None:
        if self.secured is None:
            self.secured = self.sock = ssl_wrap_socket(self.sock, self.cfg)
        self.secured.do_handshake()
        self.parser = http.get_parser(self.cfg, self.sock, self.client)
        self.parser.unreader = PatientUnreader(self.secured)
        self.initialized = True

    def close(self, graceful: bool = False) -> None:
        """Close; gracefully, the client is given time to read what was sent, which nobody waits for."""
        if graceful:
            try:
                self.sock.setblocking(False)
                self.sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            else:
                self.worker.linger(self)
                return
        super().close()


class WebWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no type hints
    """A worker whose threads serve whole requests only."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lingering: set[Connection] = set()

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection."""
        try:
            sock, client = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        try:
            conn = Connection(self, sock, client, listener.getsockname())
        except OSError:  # gone already
            sock.close()
            return
        self.nr_conns += 1
        self.enqueue_req(conn)

    def on_client_socket_readable(self, conn: Connection, client: socket.socket) -> None:
        """The next request begins on a connection that was kept."""
        conn.expect_head()
        super().on_client_socket_readable(conn, client)

    def handle(self, conn: Connection) -> Any:
        """Serve the request once its head is there; until then, the connection goes back to the selector."""
        try:
            conn.take_head()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return _DEFER
        except OSError as error:
            self.log.debug("Connection given up: %s", error)
            return False
        return super().handle(conn)

    def murder_pending(self) -> None:
        """Close what has not sent a head in time, and what has lingered."""
        now = time.monotonic()
        for conn in [conn for conn in self.pending_conns if conn.deadline <= now]:
            self.pending_conns.remove(conn)
            self._forget(conn)
            self.nr_conns -= 1
            conn.close()
        for conn in [conn for conn in self.lingering if conn.deadline <= now]:
            self._end_linger(conn)

    def linger(self, conn: Connection) -> None:
        """What this connection still sends is thrown away until the client closes it, or the time is up."""
        conn.deadline = time.monotonic() + LINGER_SECONDS
        self.lingering.add(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, lambda _: self._drain(conn))

    def _drain(self, conn: Connection) -> None:
        try:
            if conn.sock.recv(READ_BYTES):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._end_linger(conn)

    def _end_linger(self, conn: Connection) -> None:
        self.lingering.discard(conn)
        self._forget(conn)
        conn.close()

    def _forget(self, conn: Connection) -> None:
        with contextlib.suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)
