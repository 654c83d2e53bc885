"""What is answered when something went wrong that no view has foreseen."""

from __future__ import annotations

import logging
import sys
import time

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.utils.cache import add_never_cache_headers
from django.views.defaults import server_error

from appliances import disk
from appliances.middleware import refuse

RETRY_SECONDS = 10
LOG_EVERY_SECONDS = 10.0  # every request fails while the database is away

log = logging.getLogger(__name__)
_last_logged = [-LOG_EVERY_SECONDS]


def full(request: HttpRequest) -> HttpResponse:
    """507: the disk filled up while this was being done."""
    sentence = "The disk of this appliance is full. Nothing was changed; free some space, then try again."
    return refuse(request, 507, "The disk is full", sentence)


def went_wrong(request: HttpRequest) -> HttpResponse:
    """The page for an exception: 503 where the database does not answer, 507 where the disk is full, else 500."""
    error = sys.exc_info()[1]
    if isinstance(error, OSError) and error.errno in disk.FULL:
        return full(request)
    if not isinstance(error, OperationalError | InterfaceError):
        return server_error(request)
    if time.monotonic() - _last_logged[0] >= LOG_EVERY_SECONDS:
        _last_logged[0] = time.monotonic()
        log.error("database does not answer", extra={"path": request.path[:100], "why": str(error)[:300]})
    # Without the request: who is logged in stands in the database.
    response = HttpResponse(loader.get_template("database_away.html").render({}), status=503)
    response.headers["Retry-After"] = str(RETRY_SECONDS)
    add_never_cache_headers(response)
    response._has_been_logged = True  # type: ignore[attr-defined]  # Django would add a traceback for each request
    return response
