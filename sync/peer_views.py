"""The answering side of the wire: one door for every message of the peer.

verify -> parse -> call one function -> render -> sign. Without session and without CSRF token: the signature is the
proof. Every refusal is JSON with a code; it is signed wherever the sender has proved to hold the key.
"""

from __future__ import annotations

import hashlib
import http
import io
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from appliances.secrets import SecretUnreadable
from sync import crash, relationship, role_changes, tasks
from sync.datasync import export, failures, repair
from sync.datasync.folders import serve
from sync.errors import EstablishRefused, MessageRefused, PeerMisbehaved, SyncError
from sync.peer import accept, frames, messages, nonces, signing
from sync.peer.accept import ClockRefused, Request, Sender
from sync.peer.establish_messages import KEY_ID_FIELD, MAC_FIELD, CallBack, Confirm, Hello, Received
from sync.peer.messages import MAX_MESSAGE_BYTES, Message, Refusal, parse, render
from sync.peer.signing import JSON_TYPE, STREAM_TYPE
from sync.peer.sync_messages import (
    FolderBegin,
    FolderEnd,
    FolderEntries,
    FolderFiles,
    PullBegin,
    PullBlobs,
    PullDays,
    PullEnd,
    PullFiles,
    PullRows,
    PushAppend,
    PushDeletions,
    PushHeld,
    SettingsAsked,
    SettingsChosen,
)
from sync.versions import primary

LOG_EVERY_SECONDS = 10.0  # one line for each source and reason: a flood of bad messages must not flood the log
LOGGED_SOURCES = 1000

DATABASE_AWAY = (OperationalError, InterfaceError)

log = logging.getLogger(__name__)
_last_logged: dict[tuple[str, str], float] = {}


@dataclass(frozen=True)
class Endpoint:
    """What answers a message: `answer` gets the message (and the payloads of its stream, where it takes one).

    It gives the reply or, where it gives a stream, the payloads. `from_strangers` accepts a sender that holds the key
    but is in no relationship with this appliance yet; `answer` gets the sender too then, and where `needs_sender`.
    """

    message: type[Message]
    answer: Callable[..., Any]
    takes_stream: bool = False
    gives_stream: bool = False
    from_strangers: bool = False
    needs_sender: bool = False


def _answer_challenge(_: messages.ChallengeRequest) -> messages.Challenge:
    return messages.Challenge(nonces.give_challenge())


def by_path(*endpoints: Endpoint) -> dict[str, Endpoint]:
    """The endpoints by the path of their message; each message has one."""
    found = {endpoint.message.path: endpoint for endpoint in endpoints}
    if len(found) != len(endpoints):
        raise ValueError("Two endpoints answer the same message.")
    return found


ENDPOINTS = by_path(
    Endpoint(messages.ChallengeRequest, _answer_challenge),
    Endpoint(messages.Status, role_changes.answer_status),
    Endpoint(messages.SyncWish, tasks.answer_sync_wish),
    Endpoint(messages.SwapWish, tasks.answer_swap_wish),
    Endpoint(messages.HandoverRequest, role_changes.answer_handover),
    Endpoint(messages.Ready, role_changes.answer_ready),
    Endpoint(messages.Grant, role_changes.answer_grant),
    Endpoint(messages.Cancel, role_changes.answer_cancel),
    Endpoint(messages.Demote, role_changes.answer_demote),
    Endpoint(messages.Promote, role_changes.answer_promote),
    Endpoint(messages.EvidenceRequest, role_changes.answer_evidence),
    Endpoint(messages.Break, relationship.answer_break, needs_sender=True),
    Endpoint(Confirm, relationship.answer_confirm, from_strangers=True),
    Endpoint(PullBegin, export.begin),
    Endpoint(PullDays, export.days),
    Endpoint(PullRows, export.rows, gives_stream=True),
    Endpoint(PullBlobs, export.blob_stream, gives_stream=True),
    Endpoint(PullFiles, repair.answer_files, gives_stream=True),
    Endpoint(PushDeletions, export.may_delete, takes_stream=True),
    Endpoint(PushHeld, export.held),
    Endpoint(PushAppend, export.accept, takes_stream=True),
    Endpoint(PullEnd, export.end),
    Endpoint(FolderBegin, serve.begin, gives_stream=True),
    Endpoint(FolderEntries, serve.entries, gives_stream=True),
    Endpoint(FolderFiles, serve.files, gives_stream=True),
    Endpoint(FolderEnd, serve.end),
    Endpoint(SettingsAsked, primary.answer_settings, gives_stream=True),
    Endpoint(SettingsChosen, primary.answer_chosen, takes_stream=True),
)

# What a peer may say that has not made the relationship durable itself; all else proves that it has.
SAID_WHILE_UNDECIDED = (messages.ChallengeRequest, messages.Break, Confirm)


@csrf_exempt
def message(request: HttpRequest, name: str) -> HttpResponseBase:
    """The door for the messages of an established pair."""
    endpoint = ENDPOINTS.get(name)
    if endpoint is None:
        return _plain(Refusal("unknown_message", f"There is no message “{name}”."), http.HTTPStatus.NOT_FOUND)
    if request.method != "POST":
        return _plain(Refusal("not_allowed", "Messages are sent by POST."), http.HTTPStatus.METHOD_NOT_ALLOWED)
    sender: Sender | None = None
    try:
        body = None if endpoint.takes_stream else _body(request)
        sender = accept.prove(_as_received(request, body))
        if endpoint.from_strangers:
            accept.check_receiver(sender)
        else:
            accept.check_pair(sender)
        accept.check_freshness(sender, needs_challenge=endpoint.message.needs_challenge)
        if endpoint.message not in SAID_WHILE_UNDECIDED:
            relationship.note_sign_of_life(sender.channel.pair_id)
        return _answered(request, endpoint, sender, body)
    except Exception as error:
        return _refused(request, sender, error)


def _answered(request: HttpRequest, endpoint: Endpoint, sender: Sender, body: bytes | None) -> HttpResponseBase:
    if body is None:
        payloads = _payloads(request, sender)
        head = bytes(next(payloads, b""))
        if sender.envelope.body != f"{signing.STREAM}:{hashlib.sha256(head).hexdigest()}":
            raise MessageRefused("bad_stream", "The stream does not begin with the signed message.", status=400)
        answer = endpoint.answer(parse(endpoint.message, head), payloads)
    elif endpoint.from_strangers or endpoint.needs_sender:
        answer = endpoint.answer(parse(endpoint.message, body), sender)
    else:
        answer = endpoint.answer(parse(endpoint.message, body))
    crash.point(f"answer.{endpoint.message.__name__}")
    if endpoint.gives_stream:
        return _stream(request, sender, answer)
    return _signed(request, sender, render(answer), http.HTTPStatus.OK)


@csrf_exempt
def hello(request: HttpRequest) -> HttpResponseBase:
    """The door for the first message of an appliance that wants to be the peer."""
    return _handshake(request, Hello.path, lambda received: relationship.answer_hello(received, _source(request)))


@csrf_exempt
def call_back(request: HttpRequest) -> HttpResponseBase:
    """The door for the call back of the appliance that this one has just said hello to."""
    return _handshake(request, CallBack.path, relationship.answer_call_back)


def _handshake(
    request: HttpRequest, name: str, answer: Callable[[Received], tuple[int, bytes, str]]
) -> HttpResponseBase:
    if request.method != "POST":
        return _plain(Refusal("not_allowed", f"{name} is sent by POST."), http.HTTPStatus.METHOD_NOT_ALLOWED)
    try:
        key_id, mac = request.headers.get(KEY_ID_FIELD), request.headers.get(MAC_FIELD)
        status, body, mac = answer(Received(_body(request), key_id or "", mac or ""))
    except Exception as error:
        return _refused(request, None, error)
    return HttpResponse(body, status=status, content_type=JSON_TYPE, headers={MAC_FIELD: mac})


# --- in ---------------------------------------------------------------------------------------------------------


def _body(request: HttpRequest) -> bytes:
    """The whole body, at most MAX_MESSAGE_BYTES."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_MESSAGE_BYTES:
        raise MessageRefused("too_large", f"A message has at most {MAX_MESSAGE_BYTES} bytes.", status=413)
    body = request.read(MAX_MESSAGE_BYTES + 1)
    if len(body) > MAX_MESSAGE_BYTES:
        raise MessageRefused("too_large", f"A message has at most {MAX_MESSAGE_BYTES} bytes.", status=413)
    return body


def _as_received(request: HttpRequest, body: bytes | None) -> Request:
    return Request(
        headers=request.headers,
        method=request.method or "",
        target=request.get_full_path(),
        content_type=request.headers.get("Content-Type") or "",
        body=body,
    )


def _payloads(request: HttpRequest, sender: Sender) -> Iterator[bytes | bytearray]:
    # A streamed body has no Content-Length, without which Django's request reads nothing; the server's input ends
    # where the body ends.
    source: io.BufferedIOBase = request.META["wsgi.input"]

    def read_exactly(count: int) -> bytes:
        pieces, missing = [], count
        while missing and (piece := source.read(missing)):
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    seal = signing.seal_of(sender.channel.receiving_key, "request", sender.envelope.nonce)
    return frames.read(read_exactly, seal)


# --- out --------------------------------------------------------------------------------------------------------


def _signed(request: HttpRequest, sender: Sender, body: bytes, status: int) -> HttpResponse:
    headers = sender.signer().response(
        asked=sender.envelope,
        method=request.method or "",
        target=request.get_full_path(),
        content_type=JSON_TYPE,
        status=status,
        body=body,
        created=time.time(),
    )
    return HttpResponse(body, status=status, content_type=JSON_TYPE, headers=headers)


def _stream(request: HttpRequest, sender: Sender, payloads: Iterable[bytes]) -> StreamingHttpResponse:
    """A signed stream. The first payload is made here, so that an early refusal is still a refusal."""
    rest = iter(payloads)
    first = list(_take_one(rest))
    headers = sender.signer().response(
        asked=sender.envelope,
        method=request.method or "",
        target=request.get_full_path(),
        content_type=STREAM_TYPE,
        status=http.HTTPStatus.OK,
        body=None,
        created=time.time(),
    )
    seal = signing.seal_of(sender.channel.sending_key, "response", sender.envelope.nonce)
    return StreamingHttpResponse(frames.write(chain(first, rest), seal), content_type=STREAM_TYPE, headers=headers)


def _take_one(payloads: Iterator[bytes]) -> Iterator[bytes]:
    for payload in payloads:
        yield payload
        return


def _refused(request: HttpRequest, sender: Sender | None, error: Exception) -> HttpResponse:
    """The refusal that an error means, signed where the sender is known; an unexpected error is logged."""
    refusal, status = _refusal_of(error)
    if isinstance(error, DATABASE_AWAY) or status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        _log_failure("peer message failed", request, error)
    elif _may_log(_source(request), refusal.code):
        log.warning(
            "peer message refused",
            extra={"path": request.path[:100], "source": _source(request), "code": refusal.code},
        )
    if sender is None:
        return _plain(refusal, status)
    try:
        return _signed(request, sender, render(refusal), status)
    except Exception as second:
        _log_failure("peer refusal not signed", request, second)
        return _plain(refusal, status)


def _log_failure(event: str, request: HttpRequest, error: Exception) -> None:
    path = request.path[:100]
    if isinstance(error, DATABASE_AWAY):  # the health of this appliance says it too
        log.warning(event, extra={"path": path, "why": str(error)[:300]})
    else:
        log.error(event, exc_info=error, extra={"path": path})


def _refusal_of(error: Exception) -> tuple[Refusal, int]:
    if isinstance(error, ClockRefused):
        return Refusal(error.reason, error.message, challenge=error.challenge), error.status
    if isinstance(error, MessageRefused):
        return Refusal(error.reason, error.message), error.status
    if isinstance(error, EstablishRefused):
        return Refusal(error.code, error.message, error.remedy, error.step.value), error.http_status
    if isinstance(error, PeerMisbehaved):
        return Refusal("bad_message", error.message), http.HTTPStatus.BAD_REQUEST
    if isinstance(error, SyncError):
        return Refusal(getattr(error, "reason", error.code), error.message, error.remedy), error.http_status
    if isinstance(error, SecretUnreadable):
        return Refusal("no_key", "The peer cannot open its inter-appliance key."), http.HTTPStatus.FORBIDDEN
    if isinstance(error, OSError | DatabaseError | InterfaceError):
        failed = failures.not_stored(error, "the peer")
        if failed.reason in (failures.DISK_FULL, failures.DISK_ERROR):
            return Refusal(f"peer_{failed.reason}", failed.message, failed.remedy), failed.http_status
    if isinstance(error, OperationalError | InterfaceError):
        return Refusal("no_database", "The database of the peer does not answer."), http.HTTPStatus.SERVICE_UNAVAILABLE
    return Refusal("internal_error", "The peer failed to answer; its log says why."), 500


def _plain(refusal: Refusal, status: int) -> HttpResponse:
    return HttpResponse(render(replace(refusal, challenge=None)), status=status, content_type=JSON_TYPE)


def _source(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))[:45]


def _may_log(source: str, code: str) -> bool:
    now = time.monotonic()
    if now - _last_logged.get((source, code), -LOG_EVERY_SECONDS) < LOG_EVERY_SECONDS:
        return False
    if len(_last_logged) >= LOGGED_SOURCES:
        _last_logged.clear()
    _last_logged[source, code] = now
    return True
