"""The line between the two appliances: a message is carried to the real view of the other one, or is not.

What the product's client sends is exactly what the real connection would send, signed; what comes back is what the
view answers. Between the two a message may be lost, come late, come twice, or be cut off.
"""

from __future__ import annotations

import http.client
import io
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponseBase

from sync import peer_views
from sync.errors import PeerSilent
from sync.peer import establish_messages as em
from sync.peer.connection import TimeLimits
from sync.peer.pace import Pace
from tests.simulation.schedules.appliances import Appliance, here
from tests.simulation.schedules.world import Violation, World

MOUNT = "/peer/v1/"
REFUSED_SECONDS = 0.002
KEPT_MESSAGES = 60
HANDSHAKE = {em.Hello.path: peer_views.hello, em.CallBack.path: peer_views.call_back}

Sent = tuple[Appliance, str, bytes, dict[str, str]]


@dataclass(frozen=True)
class Answer:
    """What a view answered."""

    status: int
    headers: dict[str, str]
    body: bytes


class Line:
    """How the line is at this moment, and what is still on it."""

    # Per direction of asking (the side that asks): "", "silent", "refused", or "answers" (they get lost).
    cut: ClassVar[list[str]] = ["", ""]
    lose, lose_answer, late, truncate, slow = 0.0, 0.0, 0.0, 0.0, 0.0
    waiting: ClassVar[list[Sent]] = []
    seen: ClassVar[list[Sent]] = []
    truncated: ClassVar[int | None] = None

    @classmethod
    def start(cls) -> None:
        """A good line."""
        cls.cut[:] = ["", ""]
        cls.heal()
        cls.waiting.clear()
        cls.seen.clear()

    @classmethod
    def heal(cls) -> None:
        """Nothing is lost any more."""
        cls.cut[:] = ["", ""]
        cls.lose = cls.lose_answer = cls.late = cls.truncate = cls.slow = 0.0


class Response:
    """An answer as `http.client` gives it."""

    def __init__(self, answer: Answer, cut_after: int | None) -> None:
        self.status, self.headers = answer.status, http.client.HTTPMessage()
        for name, value in answer.headers.items():
            self.headers[name] = value
        self._body, self._cut = io.BytesIO(answer.body[:cut_after]), cut_after

    def read(self, count: int = -1) -> bytes:
        """As of `http.client.HTTPResponse`."""
        return self._body.read(count)

    def readinto(self, buffer: Any) -> int:
        """As of `http.client.HTTPResponse`."""
        got = self._body.readinto(buffer)
        if not got and self._cut is not None:
            raise ConnectionResetError("the line was cut")
        return got

    def isclosed(self) -> bool:
        """Whether all was read."""
        return self._cut is None and self._body.tell() == len(self._body.getvalue())


class Connection:
    """Takes the place of `sync.peer.connection.PinnedConnection`."""

    world: ClassVar[World]
    shown: ClassVar[list[str]] = []  # the pin of each side's certificate

    def __init__(self, host: str, port: int, *, pins: Collection[str] | None, limits: TimeLimits) -> None:
        self.host, self.port, self.pins, self.limits = host, port, pins, limits
        self.is_open, self.seen_pin = False, ""
        self._seconds = limits.total
        self._sent: Sent | None = None

    def close(self) -> None:
        """Nothing can be asked over it any more."""
        self.is_open = False

    def connect(self) -> None:
        """Open the connection.

        Raises:
            PeerSilent: nobody answers there.
        """
        world = self.world
        world.event()
        peer = world.peer_of(here())
        how = Line.cut[here().side]
        if how == "refused" or (not peer.is_up and peer.is_process_only):
            world.pass_time(REFUSED_SECONDS)
            raise PeerSilent(f"{self.host}:{self.port}: the connection was refused; nothing listens there.")
        if how == "silent" or not peer.is_up:
            world.pass_time(self.limits.connect)
            raise PeerSilent(f"{self.host}:{self.port}: no answer in time.")
        self.is_open, self.seen_pin = True, self.shown[peer.side]

    def start_question(self, seconds: float) -> None:
        """From now on everything ends within this time."""
        self._seconds = seconds

    def start_stream(self, pace: Pace | None = None) -> None:
        """From now on each piece has its own time; the pace of a limited line changes nothing that is looked at."""
        self._seconds = self.limits.idle

    def request(
        self,
        method: str,
        target: str,
        body: bytes | Iterable[bytes],
        headers: dict[str, str],
        encode_chunked: bool = False,
    ) -> None:
        """Send a question; it leaves with `getresponse`."""
        content = body if isinstance(body, bytes) else b"".join(body)
        self._sent = (here(), target, content, headers)

    def getresponse(self) -> Response:
        """The answer to what was sent.

        Raises:
            TimeoutError, ConnectionResetError: as the real connection.
        """
        world, sent = self.world, self._sent
        assert sent is not None
        if here().database.in_atomic_block:
            raise Violation(f"{sent[1]} is sent within a transaction: the whole appliance waits for the peer")
        world.look()
        world.event()
        answer = self._carry(world, sent)
        world.look()
        world.event()
        cut = None
        if Line.truncate and len(answer.body) > 1 and world.chance.random() < Line.truncate:
            cut = world.chance.randrange(len(answer.body))
            world.note(f"   the answer to {sent[1]} is cut off")
            if answer.headers.get("Content-Type") == "application/json":
                raise self._broken()
        return Response(answer, cut)

    def _carry(self, world: World, sent: Sent) -> Answer:
        chance, peer, how = world.chance.random, world.peer_of(sent[0]), Line.cut[sent[0].side]
        name = sent[1].removeprefix(MOUNT)
        if world.now < peer.stopped_until:
            if chance() < 0.5:
                Line.waiting.append(sent)
            raise self._silent(world, f"{name}: the peer is stopped")
        if how in ("silent", "refused") or chance() < Line.lose:
            raise self._silent(world, f"{name} is lost")
        if chance() < Line.late:
            Line.waiting.append(sent)
            raise self._silent(world, f"{name} is late")
        if chance() < Line.slow:
            world.pass_time(self._seconds * 0.8)
        answer = deliver(world, sent)
        if answer is None:
            raise self._broken()
        if how == "answers" or chance() < Line.lose_answer:
            raise self._silent(world, f"the answer to {name} is lost")
        return answer

    def _silent(self, world: World, what: str) -> TimeoutError:
        world.note(f"   {what}")
        world.pass_time(self._seconds)
        self.is_open = False
        return TimeoutError("the time for the answer is over")

    def _broken(self) -> ConnectionResetError:
        self.is_open = False
        return ConnectionResetError("the line was cut")


def deliver(world: World, sent: Sent) -> Answer | None:
    """The real view of the other appliance answers; None if it dies over it."""
    asking, target, content, headers = sent
    peer = world.peer_of(asking)
    if len(Line.seen) < KEPT_MESSAGES or world.chance.random() < 0.2:
        Line.seen.append(sent)
        del Line.seen[:-KEPT_MESSAGES]
    name = target.removeprefix(MOUNT)
    answer = world.run(peer, f"   answers {name}", lambda: _view(target, name, content, headers))
    assert answer is None or isinstance(answer, Answer)
    return answer


def _view(target: str, name: str, content: bytes, headers: dict[str, str]) -> Answer:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": target,
        "QUERY_STRING": "",
        "SERVER_NAME": here().name,
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.9",
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(content),
        "CONTENT_TYPE": headers["Content-Type"],
    }
    if headers.get("Transfer-Encoding") != "chunked":
        environ["CONTENT_LENGTH"] = str(len(content))
    environ |= {
        f"HTTP_{key.upper().replace('-', '_')}": value for key, value in headers.items() if key != "Content-Type"
    }
    request = WSGIRequest(environ)
    door = HANDSHAKE.get(name)
    response: HttpResponseBase = door(request) if door else peer_views.message(request, name)
    body = b"".join(response.streaming_content) if response.streaming else response.content  # type: ignore[attr-defined]
    return Answer(response.status_code, dict(response.items()), body)
