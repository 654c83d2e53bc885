"""FakePeer: a second appliance with its own database, files and keys, in a process of its own, without sockets.

It has the interface of `sync.peer.client.PeerClient` and carries real messages to the real answering functions. The
way there can be cut, and what comes over it can be changed.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, Self

SPAWN = multiprocessing.get_context("spawn")
Frames = Iterator[bytes]


class PeerProcess:
    """The process; `call` runs a function of a test module there and gives back what it returns."""

    def __init__(self) -> None:
        self._pipe, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def call(self, function: str, *arguments: Any) -> Any:
        """What `module:function` returned there; what it raised is raised here."""
        self._pipe.send((function, arguments))
        kind, value = self._pipe.recv()
        if kind == "error":
            raise value
        return value

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(10)


class FakePeer:
    """Asks the peer process. `cut_after` frames the way is cut; `change` sees every frame that comes or goes."""

    def __init__(self, process: PeerProcess) -> None:
        self.process = process
        self.cut_after: int | None = None
        self.change: Callable[[str, bytes], bytes] = lambda path, frame: frame
        self.reply: Callable[[Any], Any] = lambda message: message
        self.pushed: Callable[[Any], Any] = lambda message: message
        self.before: Callable[[str], None] = lambda path: None
        self.asked: list[str] = []
        self.frames = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def ask(self, message: Any, reply_type: Any, *, challenge: str | None = None) -> Any:
        from sync.peer import messages

        self._begin(message.path)
        body = self._call("ask", message.path, messages.render(message))
        return self.reply(messages.parse(reply_type, body))

    @contextmanager
    def open_stream(self, message: Any) -> Iterator[Frames]:
        from sync.peer import messages

        self._begin(message.path)
        self._call("open", message.path, messages.render(message))
        yield self._frames(message.path)

    def send_stream(self, message: Any, payloads: Iterable[bytes], reply_type: Any) -> Any:
        from sync.errors import PeerRefused, PeerSilent
        from sync.peer import messages

        self._begin(message.path)
        sent: list[bytes] = []
        try:
            for frame in payloads:
                sent.append(self._passed(message.path, bytes(frame)))
        except PeerSilent:  # what had been sent by then has arrived
            with suppress(PeerRefused):
                self._call("send", message.path, messages.render(message), sent, True)
            raise
        body = self._call("send", message.path, messages.render(message), sent, False)
        return self.pushed(messages.parse(reply_type, body))

    def _begin(self, path: str) -> None:
        self.asked.append(path)
        self.before(path)

    def _frames(self, path: str) -> Frames:
        while (frame := self._call("next")) is not None:
            yield self._passed(path, frame)

    def _passed(self, path: str, frame: bytes) -> bytes:
        from sync.errors import PeerSilent

        self.frames += 1
        if self.cut_after is not None and self.frames > self.cut_after:
            raise PeerSilent("the way to the peer was cut")
        assert len(frame) <= 1024 * 1024
        return self.change(path, frame)

    def _call(self, what: str, *arguments: Any) -> Any:
        from sync.errors import PeerRefused

        answer = self.process.call(f"tests.fakes:answer_{what}", *arguments)
        if isinstance(answer, tuple):
            code, text, remedy = answer
            raise PeerRefused(text, peer_code=code, status=409, remedy=remedy)
        return answer


# --- in the process of the peer ----------------------------------------------------------------------------------

_open: Frames = iter(())


def _serve(pipe: Connection) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        module, _, name = function.partition(":")
        try:
            pipe.send(("value", getattr(importlib.import_module(module), name)(*arguments)))
        except Exception as error:
            pipe.send(("error", RuntimeError(f"{type(error).__name__}: {error}")))


def _refusable(call: Callable[[], Any]) -> Any:
    from sync.errors import SyncError

    try:
        return call()
    except SyncError as error:
        return getattr(error, "reason", error.code), error.message, error.remedy


def _endpoint(path: str) -> Any:
    from sync import peer_views

    return peer_views.ENDPOINTS[path]


def answer_ask(path: str, body: bytes) -> Any:
    from sync.peer import messages

    endpoint = _endpoint(path)
    return _refusable(lambda: messages.render(endpoint.answer(messages.parse(endpoint.message, body))))


def answer_open(path: str, body: bytes) -> Any:
    from sync.peer import messages

    def begin() -> None:
        global _open
        endpoint = _endpoint(path)
        _open = iter(endpoint.answer(messages.parse(endpoint.message, body)))

    return _refusable(begin)


def answer_next() -> Any:
    return _refusable(lambda: next(_open, None))


def answer_send(path: str, body: bytes, frames: list[bytes], is_cut: bool) -> Any:
    from sync.peer import messages

    endpoint = _endpoint(path)
    stream = _until_cut(frames) if is_cut else iter(frames)
    return _refusable(lambda: messages.render(endpoint.answer(messages.parse(endpoint.message, body), stream)))


def _until_cut(frames: list[bytes]) -> Frames:
    from sync.errors import PeerMisbehaved

    yield from frames
    raise PeerMisbehaved("the stream ends without its seal")
