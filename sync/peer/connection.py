"""One TLS connection to the peer: the right address, the right key, and no call that waits for ever.

The peer's certificate may be self-issued, so it is not verified against authorities: its public key is compared with
the pins *before a byte is sent* (`sync/README.md`, Security of the wire). There are no redirects and no proxies.
"""

from __future__ import annotations

import hmac
import http.client
import select
import socket
import ssl
import time
from collections.abc import Collection
from dataclasses import dataclass

from appliances import addresses
from appliances.certificates import spki_pin_of_der
from appliances.choices import EstablishStep
from sync.errors import PeerMisbehaved, PeerSilent, PeerUntrusted
from sync.peer.pace import Pace

CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 5.0
IDLE_SECONDS = 30.0  # a stream may last hours, but not stand still
# On the wire, TLS 1.3 adds 22 bytes to each 16 KiB (RFC 8446, 5.2), TCP and IP at least 52 to what travels at once.
WIRE_SHARE = 1.005


@dataclass(frozen=True)
class TimeLimits:
    """Seconds: to connect with TLS, for one question and its answer, and for each piece of a stream."""

    connect: float = CONNECT_SECONDS
    total: float = TOTAL_SECONDS
    idle: float = IDLE_SECONDS


class _DeadlineSocket(ssl.SSLSocket):
    """A TLS socket whose every read and write ends by one deadline: a peer that drips bytes cannot stretch it."""

    deadline: float | None = None
    idle_seconds: float = IDLE_SECONDS
    pace: Pace | None = None

    def _allowed(self, wanted: int) -> int:
        """How many of `wanted` bytes may be moved now: what belongs to a stream waits for the pace."""
        return wanted if self.pace is None or self.deadline is not None else self.pace.allow(wanted)

    def _moved(self, count: int) -> None:
        if self.pace is not None and self.deadline is None:
            self.pace.moved(round(count * WIRE_SHARE))

    def _arm(self) -> None:
        left = self.idle_seconds if self.deadline is None else self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for the answer is over")
        if left != self.gettimeout():  # setting it is a call of the system, for each 16 KiB of a stream
            self.settimeout(left)

    def recv_into(self, buffer, nbytes=None, flags=0):  # type: ignore[no-untyped-def]
        """As of `ssl.SSLSocket`, by the deadline and at the pace."""
        count = self._allowed(nbytes or len(buffer))
        self._arm()
        got = super().recv_into(buffer, count, flags)
        self._moved(got)
        return got

    def send(self, data, flags=0):  # type: ignore[no-untyped-def]
        """As of `ssl.SSLSocket`, by the deadline and at the pace: perhaps only the first part."""
        count = self._allowed(len(data))
        self._arm()
        sent = super().send(data if count >= len(data) else data[:count], flags)
        self._moved(sent)
        return sent


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the pin takes the place of an authority
    context.sslsocket_class = _DeadlineSocket
    return context


class PinnedConnection(http.client.HTTPSConnection):
    """An HTTPS connection to an address of the allowed ranges that presents one of the pinned keys.

    `pins=None` accepts any key, for the one question that establishes a relationship: it is bound to the key seen
    (`seen_pin`) by its MAC.
    """

    def __init__(self, host: str, port: int, *, pins: Collection[str] | None, limits: TimeLimits) -> None:
        self._tls = _context()
        super().__init__(host, port, context=self._tls)
        self.pins = pins
        self.limits = limits
        self.seen_pin = ""
        self._secured: ssl.SSLSocket | None = None

    def connect(self) -> None:
        """Open the connection and compare the key; nothing of ours is sent before.

        Raises:
            PeerSilent: nobody answers there.
            PeerUntrusted: not TLS, another key, or an address that may not be connected to.
        """
        deadline = time.monotonic() + self.limits.connect
        plain = self._open(deadline)
        try:
            plain.settimeout(max(deadline - time.monotonic(), 0.001))
            name = self.host if any(letter.isalpha() for letter in self.host) and ":" not in self.host else None
            secured = self._tls.wrap_socket(plain, server_hostname=name)
        except (TimeoutError, ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            plain.close()
            raise PeerSilent(
                f"{self._where} takes the connection, but does not answer.", step=EstablishStep.TLS
            ) from error
        except (ssl.SSLError, OSError) as error:
            plain.close()
            raise PeerUntrusted(
                f"{self._where} does not speak TLS as an appliance does.", step=EstablishStep.TLS
            ) from error
        self._check_pin(secured)
        self.sock = self._secured = secured

    def start_question(self, seconds: float) -> None:
        """From now on, everything on this connection ends within this time."""
        self._socket.deadline = time.monotonic() + seconds

    def start_stream(self, pace: Pace | None = None) -> None:
        """From now on, each piece has its own time, and all of them together keep to the pace."""
        self._socket.deadline = None
        self._socket.pace = pace
        self._socket.idle_seconds = self.limits.idle

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that may be used again: open, and with nothing unexpected to read on it."""
        if self.sock is None:
            return False
        try:
            readable, _, _ = select.select([self.sock], [], [], 0)
        except (OSError, ValueError):
            return False
        return not readable

    @property
    def _socket(self) -> _DeadlineSocket:
        """That of the last connection: where an answer is the last one on it, `sock` is None before it was read."""
        assert isinstance(self._secured, _DeadlineSocket)
        return self._secured

    @property
    def _where(self) -> str:
        return f"{self.host}:{self.port}"

    def _open(self, deadline: float) -> socket.socket:
        try:
            targets = addresses.resolve(self.host, self.port, seconds=self.limits.connect)
        except addresses.AddressRefused as error:
            raise PeerUntrusted(str(error), step=EstablishStep.FORM) from error
        except (addresses.NameUnknown, TimeoutError) as error:
            raise PeerSilent(str(error), step=EstablishStep.NAME_LOOKUP) from error
        problem: OSError | None = None
        for target in targets:
            plain = socket.socket(target.family, socket.SOCK_STREAM)
            try:
                plain.settimeout(max(deadline - time.monotonic(), 0.001))
                plain.connect((target.address, target.port))
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                plain.close()
                problem = error
            else:
                return plain
        raise PeerSilent(f"{self._where}: {_in_words(problem)}.", step=EstablishStep.TCP) from problem

    def _check_pin(self, secured: ssl.SSLSocket) -> None:
        der = secured.getpeercert(binary_form=True)
        try:
            self.seen_pin = spki_pin_of_der(der) if der else ""
        except ValueError:
            self.seen_pin = ""
        trusted = self.pins is None or any(hmac.compare_digest(self.seen_pin, pin) for pin in self.pins)
        if not self.seen_pin or not trusted:
            secured.close()
            raise PeerUntrusted(
                f"{self._where} presents another certificate than the appliance that is expected there.",
                step=EstablishStep.TLS,
            )


def _in_words(error: OSError | None) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused; nothing listens there"
    return f"cannot be reached ({(error.strerror or '').lower() if error else ''})"


def classified(error: Exception, where: str) -> PeerSilent | PeerMisbehaved:
    """What an error of an open connection means: silence, or an answer that is not HTTP."""
    if isinstance(error, TimeoutError):
        return PeerSilent(f"{where} did not answer in time.")
    if isinstance(error, http.client.RemoteDisconnected | http.client.IncompleteRead | OSError):
        return PeerSilent(f"{where} broke the connection off.")
    return PeerMisbehaved(f"{where} answered something that is not HTTP.")
