"""What all views of the session API share: who may ask, on which appliance, and one JSON sentence for every failure."""

from __future__ import annotations

import json
import logging
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import Error as DatabaseTrouble
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, UnreadablePostError
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from appliances import blobs, gate
from appliances.api.credentials import basic, may_bring_in
from appliances.incoming import sessions, uploads
from appliances.incoming.documents import Unusable
from appliances.middleware import RETRY_AS_BACKUP_SECONDS, RETRY_SOON_SECONDS
from appliances.models import Account, ApiConfiguration

MAX_DOCUMENT_BYTES = 16 << 20  # of JSON, which is held in memory
RETRY_BUSY_SECONDS = 5
FORMS = frozenset({"multipart/form-data", "application/x-www-form-urlencoded"})

log = logging.getLogger(__name__)


class Problem(Exception):
    """The request is not done; the client is told so with this status and sentence."""

    def __init__(self, status: int, code: str, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status, self.code, self.headers = status, code, headers
        self.more: dict[str, Any] = {}

    def response(self) -> HttpResponse:
        """The answer."""
        response = JsonResponse({"error": str(self), "code": self.code, **self.more}, status=self.status)
        for name, value in self.headers.items():
            response.headers[name.replace("_", "-")] = value
        return response


class SessionApiView(View):
    """Admits the request, and turns whatever goes wrong into a `Problem`."""

    account: Account

    @classmethod
    def as_view(cls, **initial: Any) -> Any:
        """The view; no browser session gives it rights, so it needs no token of a form."""
        return csrf_exempt(super().as_view(**initial))

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The answer of the method, or of what hindered it."""
        try:
            self.account = _admitted(request)
            response = super().dispatch(request, *args, **kwargs)
        except Exception as error:
            response = _problem(error).response()
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    def allowed(self) -> str:
        """The methods that are answered here, for the header Allow."""
        return ", ".join(name.upper() for name in self.http_method_names if hasattr(self, name))

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """405 and what is answered."""
        allowed = self.allowed()
        raise Problem(405, "method", f"Only {allowed} are answered here.", Allow=allowed)


def document(request: HttpRequest) -> Any:
    """The JSON of the body.

    Raises:
        Problem
    """
    if request.content_type != "application/json":
        raise Problem(415, "content_type", "Send this as application/json.")
    length = content_length(request)
    if length > MAX_DOCUMENT_BYTES:
        raise Problem(413, "too_large", f"A document can have at most {MAX_DOCUMENT_BYTES >> 20} MiB.")
    body = request.read(length)
    if len(body) != length:
        raise Problem(400, "cut", "The request ended before all its bytes had come.")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "json", "The body is no JSON that can be read.") from error


def content_length(request: HttpRequest) -> int:
    """How many bytes the body has.

    Raises:
        Problem: that is not said.
    """
    try:
        return int(request.META.get("CONTENT_LENGTH") or "")
    except ValueError as error:
        raise Problem(411, "length", "Say in Content-Length how many bytes follow.") from error


def _admitted(request: HttpRequest) -> Account:
    # Before anything may look for parameters in the body: a form would be read whole.
    if request.content_type in FORMS:
        raise Problem(415, "content_type", "Send the bytes themselves, not a form (curl: --upload-file).")
    account = basic(request)
    if account is None:
        raise Problem(
            401,
            "credentials",
            "Send the name and password of an account by HTTP Basic; these are wrong, or there were too many attempts.",
            WWW_Authenticate='Basic realm="Support sessions", charset="UTF-8"',
        )
    if not may_bring_in(account):
        raise Problem(403, "permission", "This account lacks the permission to bring in support sessions.")
    if not (ApiConfiguration.objects.filter(pk=1).first() or ApiConfiguration()).enable_session_api:
        raise Problem(403, "disabled", "Taking in sessions is switched off in Management > API Configuration.")
    _only_where_it_serves()
    return account


def _only_where_it_serves() -> None:
    here = gate.read()
    if here.is_serving and (here.is_writable or not here.operation_running):
        return
    if here.primary_url is None or here.operation_running:
        problem = Problem(503, "not_serving", f"{here.sentence} Try again.", Retry_After=str(RETRY_SOON_SECONDS))
    elif here.role == "primary":
        problem = Problem(409, "superseded", f"{here.sentence} Send it to {here.primary_url}.")
    else:
        sentence = f"{here.sentence} Send it to the primary, {here.primary_url}."
        problem = Problem(503, "backup", sentence, Retry_After=str(RETRY_AS_BACKUP_SECONDS))
    problem.more = {"primary_url": here.primary_url}
    raise problem


def _problem(error: Exception) -> Problem:
    busy = {"Retry_After": str(RETRY_BUSY_SECONDS)}
    match error:
        case Problem():
            return error
        case Unusable():
            return Problem(400, "unusable", str(error))
        case sessions.NoSuchSession():
            return Problem(404, "no_session", str(error))
        case sessions.AlreadyThere():
            return Problem(409, "already_there", str(error))
        case uploads.OtherOffset():
            return Problem(409, "offset", str(error), Upload_Offset=str(error.arrived))
        case uploads.Sealed():
            return Problem(409, "sealed", str(error))
        case uploads.Busy():
            return Problem(409, "busy", str(error), **busy)
        case uploads.Gone():
            return Problem(404, "no_upload", str(error))
        case uploads.TooMuch():
            return Problem(416, "too_much", str(error))
        case uploads.Cut() | UnreadablePostError():
            return Problem(400, "cut", "The request ended before all its bytes had come; those that had are kept.")
        case RequestDataTooBig():
            return Problem(413, "too_large", "The request is too large.")
        case blobs.StoreFull():
            return Problem(507, "disk_full", str(error))
        case DatabaseTrouble():
            log.warning("session api: database trouble", exc_info=error)
            return Problem(503, "database", "The database does not answer just now. Try again.", **busy)
        case OSError():
            log.error("session api: disk trouble", exc_info=error)
            return Problem(503, "disk", "The disk of this appliance reports an error; its log says more.", **busy)
    log.error("session api: unexpected", exc_info=error)
    return Problem(503, "unexpected", "This could not be done; the log of the appliance says why.", **busy)
