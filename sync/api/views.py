"""`/api/command` and `/api/command.ns`: the XML command API by user name and password.

Application errors are documents with status 200: clients take any other status for a failed connection.
"""

from __future__ import annotations

import logging
from typing import Any
from xml.etree.ElementTree import Element

from django.db import DatabaseError
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from rest_framework.exceptions import APIException, MethodNotAllowed
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from appliances.api.credentials import account_for, may_command
from appliances.models import ApiConfiguration
from sync.api import parameters
from sync.api.commands import COMMANDS
from sync.api.xml import CommandRenderer, error

INVALID_CREDENTIALS = "Invalid credentials: the user name or the password is wrong, or there were too many attempts."
CACHE_CONTROL = "must-revalidate, no-cache, no-store, post-check=0, pre-check=0, private"

log = logging.getLogger(__name__)


class AlwaysXml(BaseContentNegotiation):
    """Whatever a client accepts, it gets XML: old ones send no or odd Accept headers."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """The parser of the body's type, or None."""
        kind = (request.content_type or "").split(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == kind), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """The only renderer."""
        return renderers[0], renderers[0].media_type


@method_decorator(sensitive_post_parameters("password"), name="dispatch")
class CommandView(APIView):
    """Reads the parameters, finds the account, runs the command."""

    parser_classes = (FormParser, MultiPartParser)
    renderer_classes = (CommandRenderer,)
    content_negotiation_class = AlwaysXml
    http_method_names = ("get", "head", "post")

    def get(self, request: Request) -> Response:
        """The answer of the command that `action` names."""
        return Response(self.answer(request))

    post = get

    def answer(self, request: Request) -> Element:
        """The document that answers the request."""
        if not (ApiConfiguration.objects.filter(pk=1).first() or ApiConfiguration()).enable_xml_api:
            return error("The XML API is not enabled on this site.")
        given = self._parameters(request)
        account = account_for(request._request, given.get("username", ""), given.get("password", ""))
        if account is None:
            return error(INVALID_CREDENTIALS)
        command = COMMANDS.get(given.get("action", ""))
        if command is None:
            return error("The parameter action is missing." if not given.get("action") else "The action is not known.")
        if command.changes and request.method == "HEAD":
            raise MethodNotAllowed("HEAD")
        if not command.is_open and not may_command(account):
            return error("This account may not use the command API: it needs the permission and administrator rights.")
        return command.run(account, given, str(request.META.get("REMOTE_ADDR", "")))

    def _parameters(self, request: Request) -> dict[str, str]:
        if len(request.META.get("QUERY_STRING", "")) > parameters.MAX_QUERY_BYTES:
            raise parameters.BadParameters("The query string is too long.")
        if int(request.META.get("CONTENT_LENGTH") or 0) > parameters.MAX_BODY_BYTES:
            raise parameters.BadParameters("The body is too large.")
        return parameters.collect(request.query_params, request.data)

    def handle_exception(self, exc: Exception) -> Response:
        """Every failure as an error document; only a wrong method has a status of its own."""
        if isinstance(exc, MethodNotAllowed):
            return Response(error("Use GET or POST."), status=exc.status_code)
        if isinstance(exc, parameters.BadParameters):
            return Response(error(str(exc)))
        if isinstance(exc, APIException | ValueError | LookupError):
            log.info("command not readable", extra={"why": type(exc).__name__})
            return Response(error("The request could not be read: send the parameters in the URL or as a form."))
        if isinstance(exc, DatabaseError):
            log.warning("command failed", extra={"why": f"{type(exc).__name__}: {exc}"[:300]})
            return Response(error("The database of this appliance does not answer. Try again when it is back."))
        log.error("command failed", exc_info=exc)
        return Response(error("The command failed for an unexpected reason; the log of the appliance says more."))

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        """The headers that clients have always got with these answers."""
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Cache-Control"] = CACHE_CONTROL
        response["X-Content-Type-Options"] = "nosniff"
        del response["Vary"]
        return response
