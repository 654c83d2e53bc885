"""PeerClient: ask the peer, and know that it was the peer who answered."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain
from types import TracebackType
from typing import Self, TypeVar

from appliances import selectors
from appliances.choices import EstablishStep
from appliances.services.keys import inter_appliance_secret
from sync import journal
from sync.errors import MessageRefused, PeerMisbehaved, PeerRefused, PeerSilent, PeerUntrusted
from sync.peer import frames, nonces, pins, signing
from sync.peer.accept import channel_of
from sync.peer.connection import CONNECT_SECONDS, IDLE_SECONDS, TOTAL_SECONDS, PinnedConnection, TimeLimits, classified
from sync.peer.messages import (
    MAX_MESSAGE_BYTES,
    Challenge,
    ChallengeRequest,
    Message,
    Refusal,
    Status,
    parse,
    render,
)
from sync.peer.pace import Pace
from sync.peer.signing import JSON_TYPE, STREAM_TYPE, Channel, Signer

MOUNT = "/peer/v1/"
UNTRUSTED_CODES = frozenset({"no_key", "key_differs", "bad_mac"})  # said without proof
WRONG_PARTY_CODES = frozenset({"reflected", "wrong_appliance"})  # said by whoever holds the key

R = TypeVar("R", bound=Message)
T = TypeVar("T")
Payload = bytes | bytearray | memoryview


class PeerClient:
    """Asks the peer over one kept-open connection. One for each flow; not for several threads at once."""

    def __init__(self, connection: PinnedConnection, channel: Channel) -> None:
        self.connection = connection
        self.channel = channel
        self.pace: Pace | None = None  # of the streams
        self._status = 0

    @classmethod
    def to_peer(
        cls, *, timeout: float = TOTAL_SECONDS, connect: float = CONNECT_SECONDS, idle: float = IDLE_SECONDS
    ) -> Self:
        """A client for the peer of the established relationship; it connects at the first question.

        Raises:
            PeerUntrusted: there is no relationship, or no inter-appliance key.
        """
        row, key = selectors.relationship(), inter_appliance_secret()
        if row is None:
            raise PeerUntrusted("There is no failover relationship.")
        if key is None:
            raise PeerUntrusted("This appliance has no inter-appliance key.")
        limits = TimeLimits(connect=min(connect, timeout), total=timeout, idle=idle)
        connection = PinnedConnection(row.peer_host, row.peer_port, pins=row.peer_pins, limits=limits)
        return cls(connection, channel_of(row, key))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next question opens a new one."""
        self.connection.close()

    def ask(self, message: Message, reply_type: type[R], *, challenge: str | None = None) -> R:
        """The peer's reply, proved to be its reply to this message.

        A message that needs a challenge gets one first, unless one is given.

        Raises:
            PeerSilent: no answer; PeerUntrusted: not the peer, or another key; PeerRefused: the peer refused it;
            PeerMisbehaved: an answer that is not of the protocol.
        """
        if message.needs_challenge and challenge is None:
            challenge = self._challenge()
        body = render(message)
        answer = self._exchange(message, body, challenge)
        if isinstance(answer, Refusal) and answer.code == "clock" and answer.challenge:
            answer = self._exchange(message, body, answer.challenge)
        if isinstance(answer, Refusal):
            raise self._refused(answer)
        reply = parse(reply_type, answer)
        if isinstance(reply, Status):
            pins.learn(self.channel.pair_id, reply.pins)
        return reply

    @contextmanager
    def open_stream(self, message: Message) -> Iterator[Iterator[bytes | bytearray]]:
        """Ask for a stream: gives the payloads of its frames, each of at most 1 MiB and with a right hash.

        The last payload has been followed by the closing MAC when the iterator ends by itself: what it gave is the
        peer's then, complete and in order. Errors as of `ask`, also while iterating.
        """
        challenge = self._challenge() if message.needs_challenge else None
        response, envelope_nonce = self._send_question(message, render(message), challenge)
        if response.status != http.HTTPStatus.OK:
            refusal = self._read_refusal(response, message, envelope_nonce)
            if refusal.code != "clock" or not refusal.challenge:
                raise self._refused(refusal)
            response, envelope_nonce = self._send_question(message, render(message), refusal.challenge)
            if response.status != http.HTTPStatus.OK:
                raise self._refused(self._read_refusal(response, message, envelope_nonce))
        self._check(response, message, None, envelope_nonce)
        self.connection.start_stream(self.pace)
        ended = False
        try:
            yield self._payloads(response, envelope_nonce)
            ended = response.isclosed()
        finally:
            if not ended:
                self.close()

    def send_stream(self, message: Message, payloads: Iterable[Payload], reply_type: type[R]) -> R:
        """Send a message with a stream of payloads, each of at most 1 MiB; the peer's reply. Errors as of `ask`."""
        challenge, head, nonce = self._challenge(), render(message), nonces.new_nonce()
        headers = self._sign(message, None, nonce, challenge, stream_head=head)
        seal = signing.seal_of(self.channel.sending_key, "request", nonce)

        def send() -> http.client.HTTPResponse:
            self._connect()
            self.connection.start_stream(self.pace)
            self.connection.request(
                "POST",
                MOUNT + message.path,
                body=frames.write(chain([head], payloads), seal),
                headers={**headers, "Transfer-Encoding": "chunked"},
                encode_chunked=True,
            )
            return self.connection.getresponse()

        answer = self._read_answer(self._guarded(send), message, nonce)
        if isinstance(answer, Refusal):
            raise self._refused(answer)
        return parse(reply_type, answer)

    # --- one question ---------------------------------------------------------------------------------------------

    def _challenge(self) -> str:
        return self.ask(ChallengeRequest(), Challenge).challenge

    def _sign(
        self, message: Message, body: bytes | None, nonce: str, challenge: str | None, *, stream_head: bytes = b""
    ) -> dict[str, str]:
        """The header fields of a message sent now; without a body, a stream that begins with `stream_head`."""
        state = journal.read()
        content_type = STREAM_TYPE if body is None else JSON_TYPE
        headers = Signer(self.channel, term=state.term, role=state.role.value).request(
            method="POST",
            target=MOUNT + message.path,
            content_type=content_type,
            body=body,
            created=time.time(),
            nonce=nonce,
            challenge=challenge,
            stream_head=stream_head,
        )
        return {**headers, "Content-Type": content_type}

    def _exchange(self, message: Message, body: bytes, challenge: str | None) -> bytes | Refusal:
        response, nonce = self._send_question(message, body, challenge)
        return self._read_answer(response, message, nonce)

    def _connect(self) -> bool:
        """Be connected; True where the connection was kept open from before."""
        if self.connection.is_open:
            return True
        self.connection.close()
        self.connection.connect()
        return False

    def _send_question(
        self, message: Message, body: bytes, challenge: str | None
    ) -> tuple[http.client.HTTPResponse, str]:
        """Send a signed question; the response (its head is read) and the nonce of the question.

        A kept-open connection that turns out to be dead is replaced once, where the message may be repeated.
        """
        was_open = False

        def send() -> tuple[http.client.HTTPResponse, str]:
            nonlocal was_open
            was_open = self._connect()
            nonce = nonces.new_nonce()
            headers = self._sign(message, body, nonce, challenge)
            self.connection.start_question(self.connection.limits.total)
            self.connection.request("POST", MOUNT + message.path, body, headers)
            return self.connection.getresponse(), nonce

        try:
            return self._guarded(send)
        except PeerSilent as error:
            if not (was_open and message.may_repeat) or isinstance(error.__cause__, TimeoutError):
                raise
        return self._guarded(send)

    def _guarded(self, call: Callable[[], T]) -> T:
        """The result of a call on the connection; its errors classified, the connection closed after one."""
        try:
            return call()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise classified(error, f"{self.connection.host}:{self.connection.port}") from error

    # --- the answer -----------------------------------------------------------------------------------------------

    def _read_answer(self, response: http.client.HTTPResponse, message: Message, nonce: str) -> bytes | Refusal:
        if response.status != http.HTTPStatus.OK:
            return self._read_refusal(response, message, nonce)
        body = self._body(response)
        self._check(response, message, body, nonce)
        return body

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        body = self._guarded(lambda: response.read(MAX_MESSAGE_BYTES + 1))
        if len(body) > MAX_MESSAGE_BYTES:
            self.close()
            raise PeerMisbehaved(f"The answer is larger than {MAX_MESSAGE_BYTES} bytes.")
        with suppress(OSError, http.client.HTTPException):
            response.read()
        return body

    def _read_refusal(self, response: http.client.HTTPResponse, message: Message, nonce: str) -> Refusal:
        """The refusal in a response that is not 200.

        Where nothing was proved there is no signature: what it says is then only a hint about key and version.
        """
        body = self._body(response)
        self._status = status = response.status
        if "Peer-Mac" in response.headers:
            self._check(response, message, body, nonce)
            return parse(Refusal, body)
        try:
            hint = parse(Refusal, body)
        except PeerMisbehaved as error:
            raise PeerMisbehaved(f"The peer answered with status {status}, unsigned.") from error
        if hint.code in UNTRUSTED_CODES:
            raise PeerUntrusted(hint.message, peer_code=hint.code)
        raise PeerMisbehaved(f"The peer answered with status {status}, unsigned: {hint.code}.")

    def _check(self, response: http.client.HTTPResponse, message: Message, body: bytes | None, nonce: str) -> None:
        try:
            signing.check_response(
                self.channel,
                response.headers,
                nonce=nonce,
                method="POST",
                target=MOUNT + message.path,
                content_type=response.headers.get("Content-Type", ""),
                status=response.status,
                body=body,
            )
        except MessageRefused as error:
            self.close()
            raise PeerUntrusted(error.message) from error

    def _refused(self, refusal: Refusal) -> PeerRefused | PeerUntrusted:
        if refusal.code in WRONG_PARTY_CODES:
            return PeerUntrusted(refusal.message, step=EstablishStep.IDENTITY, peer_code=refusal.code)
        return PeerRefused(refusal.message, peer_code=refusal.code, status=self._status, remedy=refusal.remedy)

    def _payloads(self, response: http.client.HTTPResponse, nonce: str) -> Iterator[bytes | bytearray]:
        def read_exactly(count: int) -> bytearray:
            buffer = bytearray(count)
            view, filled = memoryview(buffer), 0
            while filled < count:
                got = self._guarded(partial(response.readinto, view[filled:]))
                if not got:
                    break
                filled += got
            return buffer if filled == count else buffer[:filled]

        return frames.read(read_exactly, signing.seal_of(self.channel.receiving_key, "response", nonce))
