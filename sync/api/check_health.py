"""`GET /check_health`: 200 or 500 and one short sentence, for load balancers and monitors, without log-in.

It is a middleware so that it stands before redirects, sessions and the database. The text says no more than the
status does: what is wrong is told to those who log in. A full disk alone is named, for whoever has to make room.
Nothing here reads or writes the disk.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from sync import health

PATH = "/check_health"
WELL = b"This appliance is healthy.\n"
UNWELL = b"This appliance is not healthy.\n"
FULL = b"This appliance is not healthy: disk.\n"
WRONG_METHOD = b"Only GET and HEAD are answered here.\n"


def answer(request: HttpRequest) -> HttpResponse:
    """The answer, from the file that the role worker writes; a healthy backup answers 200 like a healthy primary."""
    if request.method not in ("GET", "HEAD"):
        status, text = 405, WRONG_METHOD
    else:
        found = health.read()
        status, text = (200, WELL) if found.is_healthy else (500, FULL if found.topic == health.DISK else UNWELL)
    response = HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")
    response["Content-Length"] = str(len(text))
    response["Cache-Control"] = "no-store"
    response["X-Content-Type-Options"] = "nosniff"
    if status == 405:
        response["Allow"] = "GET, HEAD"
    return response


class CheckHealthMiddleware:
    """Answers `/check_health` and passes on everything else; it must be the first middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info == PATH:
            return answer(request)
        return self.get_response(request)
