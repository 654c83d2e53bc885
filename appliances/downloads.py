"""A blob as an answer: whole or a range of it, to save or to play in the page (RFC 9110, RFC 6266)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotModified, StreamingHttpResponse
from django.utils.http import content_disposition_header, parse_etags

from appliances import blobs

_RANGE = re.compile(r"bytes=[ \t]*(?P<first>[0-9]*)-(?P<last>[0-9]*)[ \t]*", re.IGNORECASE)
MAX_DIGITS = 19  # of a position; more is larger than any file

# Only these are ever shown by the browser itself; everything else is saved, whatever its row says.
PLAYABLE = frozenset({"audio/wav", "audio/mpeg", "audio/ogg", "audio/webm", "video/webm", "video/mp4", "video/ogg"})


@dataclass(frozen=True)
class Range:
    """The bytes from `start` up to, not including, `end`."""

    start: int
    end: int


class Unsatisfiable(Exception):
    """The range begins behind the end of the content."""


def parse_range(header: str, size: int) -> Range | None:
    """The range that a Range header asks for; None to send everything (no range, several ranges, or not readable).

    Raises:
        Unsatisfiable
    """
    found = _RANGE.fullmatch(header)
    if found is None:
        return None
    first, last = found["first"], found["last"]
    if (not first and not last) or max(len(first), len(last)) > MAX_DIGITS:
        return None
    if not first:
        if int(last) == 0 or size == 0:
            raise Unsatisfiable
        return Range(max(0, size - int(last)), size)
    start, end = int(first), min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return None
    if start >= size:
        raise Unsatisfiable
    return Range(start, end)


def blob_response(
    request: HttpRequest, *, blob_id: str, name: str, content_type: str, inline: bool = False
) -> HttpResponseBase:
    """The blob as an answer: 200, 206, 304, 404 or 416. Saved under `name`, or played when `inline` and playable."""
    try:
        size = blobs.size(blob_id)
    except (blobs.BlobMissing, ValueError):
        return HttpResponse(
            "The content of this file is not on this appliance.\n", content_type="text/plain; charset=utf-8", status=404
        )
    etag = f'"{blob_id}"'
    if etag in parse_etags(request.headers.get("If-None-Match", "")):
        return _dressed(HttpResponseNotModified(), etag)
    plays = inline and content_type in PLAYABLE
    try:
        wanted = _wanted(request, etag, size)
    except Unsatisfiable:
        refusal = HttpResponse(status=416)
        refusal.headers["Content-Range"] = f"bytes */{size}"
        return _dressed(refusal, etag)
    part = wanted or Range(0, size)
    content = () if request.method == "HEAD" else blobs.iterate(blob_id, part.start, part.end)
    response = StreamingHttpResponse(content, status=206 if wanted else 200)
    response.headers["Content-Type"] = content_type if plays else "application/octet-stream"
    response.headers["Content-Length"] = str(part.end - part.start)
    if wanted:
        response.headers["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{size}"
    response.headers["Content-Disposition"] = (
        "inline" if plays else content_disposition_header(True, name) or "attachment"
    )
    return _dressed(response, etag)


def _wanted(request: HttpRequest, etag: str, size: int) -> Range | None:
    asked = request.headers.get("Range", "")
    if not asked or request.method != "GET" or request.headers.get("If-Range", etag) != etag:
        return None
    return parse_range(asked, size)


def _dressed(response: HttpResponseBase, etag: str) -> HttpResponseBase:
    response.headers["ETag"] = etag
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "default-src 'none'; media-src 'self'; sandbox"
    # Who may read it can change: keep it, but ask each time.
    response.headers["Cache-Control"] = "private, no-cache"
    return response
