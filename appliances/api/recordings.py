"""`/api/v1/recordings`: recordings arrive as streams that can be cut and go on.

Whole in one request by PUT, or piece by piece in the protocol of tus.io (1.0.0; extensions: creation,
creation-with-upload, creation-defer-length, expiration, termination). Both meet in one address: HEAD tells how many
bytes have arrived, and PATCH goes on from there.
"""

from __future__ import annotations

import base64
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import http_date

from appliances.api.base import RETRY_BUSY_SECONDS, Problem, SessionApiView, content_length
from appliances.incoming import documents, uploads
from appliances.incoming.documents import RecordingGiven, Unusable
from appliances.incoming.uploads import Arrived
from appliances.models import Recording, SupportSession

PROTOCOL = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,creation-defer-length,expiration,termination"
PIECE = "application/offset+octet-stream"
WHOLE = frozenset({"", PIECE, "application/octet-stream"})
UPLOADS_AT_ONCE = 4  # in one web process; its other threads stay free for pages and for the peer
MAX_DIGITS = 18

_slots = threading.BoundedSemaphore(UPLOADS_AT_ONCE)


class TusView(SessionApiView):
    """Speaks one version of the protocol; a client that names none is welcome."""

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        """The answer, with the version."""
        response = super().dispatch(request, *args, **kwargs)
        response.headers["Tus-Resumable"] = PROTOCOL
        return response

    def options(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        """What this server can."""
        headers = {
            "Allow": self.allowed(),
            "Tus-Version": PROTOCOL,
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(uploads.max_bytes()),
        }
        return HttpResponse(status=204, headers=headers)


class Recordings(TusView):
    """All recordings."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """An upload begins; bytes that come along have arrived."""
        _check_version(request)
        given = documents.recording(_metadata(request), timezone.now())
        _check_session(given)
        length = _header(request, "Upload-Length")
        if length is None and request.headers.get("Upload-Defer-Length") != "1":
            raise Problem(411, "length", "Say in Upload-Length how many bytes the recording has.")
        _check_size(length or 0)
        count = 0
        if request.content_type == PIECE:
            count = content_length(request)
        elif int(request.META.get("CONTENT_LENGTH") or 0):
            raise Problem(415, "content_type", f"Send the bytes as {PIECE}.")
        key = uuid.uuid4()
        uploads.begin(key, given, length, self.account.username)
        arrived = Arrived(0)
        if count or length == 0:
            with _slot():
                arrived = uploads.receive(key, request.read, offset=0, count=count)
        response = HttpResponse(status=201, headers=_progress(key, arrived))
        response.headers["Location"] = request.build_absolute_uri(reverse("session-api:recording", args=[key]))
        return response


class OneRecording(TusView):
    """One recording, arriving or sealed."""

    def put(self, request: HttpRequest, key: uuid.UUID) -> HttpResponse:
        """The whole recording in one request; what had arrived before is given up."""
        content_type = request.content_type or ""
        if content_type not in WHOLE and content_type.partition("/")[0] not in ("audio", "video"):
            raise Problem(415, "content_type", f"Send the recording as audio, video or {sorted(WHOLE)[-1]}.")
        if "Content-Range" in request.headers:
            raise Problem(416, "range", "PUT sends a recording whole; go on with PATCH and Upload-Offset.")
        told = {name: str(value) for name, value in request.GET.items()}
        if content_type not in WHOLE:
            told.setdefault("content_type", content_type)
        given = documents.recording(told, timezone.now())
        _check_session(given)
        count = content_length(request)
        _check_size(count)
        with _slot():
            uploads.begin(key, given, count, self.account.username)
            arrived = uploads.receive(key, request.read, offset=0, count=count)
        return JsonResponse(_sealed(arrived.recording), status=201, headers=_progress(key, arrived))

    def patch(self, request: HttpRequest, key: uuid.UUID) -> HttpResponse:
        """More bytes have arrived: 204; with the last one the recording is sealed."""
        _check_version(request)
        if request.content_type != PIECE:
            raise Problem(415, "content_type", f"Send the bytes as {PIECE}.")
        offset = _header(request, "Upload-Offset")
        if offset is None:
            raise Problem(400, "offset", "Say in Upload-Offset how many bytes came before these.")
        length = _header(request, "Upload-Length")
        _check_size(length or 0)
        with _slot():
            arrived = uploads.receive(key, request.read, offset=offset, count=content_length(request), length=length)
        return HttpResponse(status=204, headers=_progress(key, arrived))

    def head(self, request: HttpRequest, key: uuid.UUID) -> HttpResponse:
        """How many bytes have arrived, and how many there will be."""
        state = _state(key)
        response = HttpResponse(headers={"Upload-Offset": str(state["arrived_bytes"])})
        if state["size_bytes"] is None:
            response.headers["Upload-Defer-Length"] = "1"
        else:
            response.headers["Upload-Length"] = str(state["size_bytes"])
        if not state["is_sealed"]:
            response.headers["Upload-Expires"] = http_date(uploads.expires_at(key).timestamp())
        return response

    def get(self, request: HttpRequest, key: uuid.UUID) -> HttpResponse:
        """The same, and more, as JSON."""
        return JsonResponse(_state(key))

    def delete(self, request: HttpRequest, key: uuid.UUID) -> HttpResponse:
        """The upload is given up; a sealed recording stays."""
        uploads.discard(key)
        return HttpResponse(status=204)


def _state(key: uuid.UUID) -> dict[str, object]:
    uploads.finish(key)
    recording = Recording.objects.filter(pk=key).first()
    if recording is not None:
        return _sealed(recording)
    upload, arrived = uploads.look(key)
    return {"id": str(key), "is_sealed": False, "arrived_bytes": arrived, "size_bytes": upload.length}


def _sealed(recording: Recording | None) -> dict[str, object]:
    assert recording is not None  # with the last byte it is sealed
    return {
        "id": str(recording.pk),
        "is_sealed": True,
        "arrived_bytes": recording.size_bytes,
        "size_bytes": recording.size_bytes,
        "blake3": recording.blob_id,
        "is_incomplete": recording.is_incomplete,
    }


def _progress(key: uuid.UUID, arrived: Arrived) -> dict[str, str]:
    headers = {"Upload-Offset": str(arrived.size_bytes)}
    if arrived.recording is None:
        headers["Upload-Expires"] = http_date(uploads.expires_at(key).timestamp())
    return headers


@contextmanager
def _slot() -> Iterator[None]:
    if not _slots.acquire(blocking=False):
        sentence = "Too many recordings are arriving at once. Try again in some seconds."
        raise Problem(503, "busy", sentence, Retry_After=str(RETRY_BUSY_SECONDS))
    try:
        yield
    finally:
        _slots.release()


def _check_version(request: HttpRequest) -> None:
    if request.headers.get("Tus-Resumable", PROTOCOL) != PROTOCOL:
        raise Problem(412, "version", f"This server speaks tus {PROTOCOL}.", Tus_Version=PROTOCOL)


def _check_size(size_bytes: int) -> None:
    if size_bytes > uploads.max_bytes():
        raise Problem(413, "too_large", f"A recording can have at most {uploads.max_bytes() >> 30} GiB.")


def _check_session(given: RecordingGiven) -> None:
    if not SupportSession.objects.filter(pk=given.session_id).exists():
        raise Problem(404, "no_session", f"There is no session {given.session_id} on this appliance. Send it first.")


def _header(request: HttpRequest, name: str) -> int | None:
    text = request.headers.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > MAX_DIGITS:
        raise Problem(400, "header", f"{name} must be a whole number.")
    return int(text)


def _metadata(request: HttpRequest) -> dict[str, object]:
    """What Upload-Metadata says; `filename` and `filetype` are what clients commonly call two of its parts."""
    found: dict[str, object] = {}
    for pair in filter(None, (part.strip() for part in request.headers.get("Upload-Metadata", "").split(","))):
        name, _, encoded = pair.partition(" ")
        try:
            found[_COMMON_NAMES.get(name, name)] = base64.b64decode(encoded, validate=True).decode()
        except ValueError as error:
            raise Unusable(f"{name[:60]} in Upload-Metadata is not text in base64.") from error
    return found


_COMMON_NAMES = {"filename": "name", "filetype": "content_type"}
