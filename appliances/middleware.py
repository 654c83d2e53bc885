"""Who may be asked for under which name, what an appliance serves in its role, and how much may be uploaded.

`appliances.access` lists the exemptions.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers

from appliances import access, disk, gate, selectors, settings_lock
from appliances.gate import Gate

GetResponse = Callable[[HttpRequest], HttpResponse]

NAMES_KEPT_SECONDS = 3.0  # a changed name works after this; three queries each time would be too dear
RETRY_SOON_SECONDS = 3  # a swap without a data-sync takes less than a second, confirming a role a few
RETRY_AS_BACKUP_SECONDS = 30
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_ANONYMOUS_BYTES = 1 << 20
MAX_UPLOAD_BYTES = 8 << 30


class HostMiddleware:
    """Answers 400 to requests under a name that is not this appliance's: its own, the site's, or an address of it."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self._names: frozenset[str] = frozenset()
        self._names_until = 0.0

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith(access.OWN_RULES) or self._is_ours(request):
            return self.get_response(request)
        return HttpResponse(
            "This appliance does not answer under the name in this request. Use its host name, its IP address or the "
            "public host name of the site; further names are set by EXTRA_HOST_NAMES.\n",
            content_type="text/plain; charset=utf-8",
            status=400,
        )

    def _is_ours(self, request: HttpRequest) -> bool:
        try:
            name = split_domain_port(request.get_host())[0]
        except DisallowedHost:
            return False
        return name in self._own_names() or _address(name) == _address(_connected_to(request), "")

    def _own_names(self) -> frozenset[str]:
        now = time.monotonic()
        if now >= self._names_until:
            self._names = own_names()
            self._names_until = now + NAMES_KEPT_SECONDS
        return self._names


def own_names() -> frozenset[str]:
    """The names and addresses under which this appliance answers, in lower case."""
    relationship = selectors.relationship()
    names = {
        settings.HOST_NAME,
        selectors.this_appliance().host_name,
        selectors.site().host_name,
        *settings.EXTRA_HOST_NAMES,
        *(name for name in settings.ALLOWED_HOSTS if name != "*"),
        *(listen.rpartition(":")[0] for listen in settings.LISTEN),
    }
    if relationship is not None:
        names.add(_bracketed(relationship.reverse_host))
    return frozenset(name.lower().rstrip(".") for name in names if name)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _connected_to(request: HttpRequest) -> str:
    """The address of this appliance that the client's connection came to, "" where the server does not tell."""
    connection = request.META.get("gunicorn.socket")
    if connection is None:
        return ""
    try:
        name = connection.getsockname()
    except OSError:
        return ""
    return str(name[0]) if isinstance(name, tuple) else ""


def _address(text: str, otherwise: str | None = None) -> str | None:
    """The IP address in one spelling, or `otherwise` where the text is none."""
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return otherwise
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


class UploadLimitMiddleware:
    """Refuses a body that is too large, or that the disk has no room for, before it is read: 413 or 507.

    Needs `request.user`; comes before anything that reads the form.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length = _content_length(request)
        is_small = length <= MAX_ANONYMOUS_BYTES and request.content_type != "multipart/form-data"
        if is_small or request.path_info.startswith(access.OWN_RULES):
            return self.get_response(request)
        if length <= MAX_ANONYMOUS_BYTES and not request.user.is_authenticated:
            return self.get_response(request)
        if not request.user.is_authenticated:
            return refuse(request, 413, "Too much was sent", "Log in first, then upload the file again.")
        if length > MAX_UPLOAD_BYTES:
            return refuse(request, 413, "Too much was sent", f"At most {MAX_UPLOAD_BYTES >> 30} GiB can be uploaded.")
        # A body lies on the disk twice for a moment: as it arrives, and in the store.
        if lack := disk.lacks(2 * length):
            sentence = f"This appliance has no room for the upload: {lack} Nothing was changed; free some space first."
            return refuse(request, 507, "The disk is full", sentence)
        return self.get_response(request)


def _content_length(request: HttpRequest) -> int:
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0


class RoleGateMiddleware:
    """Lets through what this appliance may do in its role.

    1. The portal is served by the serving appliance only; elsewhere 503 and where the primary is.
    2. While everybody is disconnected for a final data-sync, the consoles are for those who may switch roles.
    3. While a role change runs, both consoles refuse writes, but for Cancel.
    4. Synchronised settings are changed on the primary only.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """The refusal, or None to go on."""
        if request.path_info.startswith(access.OWN_RULES):
            return None
        here = gate.of(request)
        if here.is_serving and here.is_writable and not here.operation_running:
            return None
        if not access.is_console(request.path_info):
            return None if here.is_serving else unavailable(request, here)
        if here.refuses_log_ins and not _may_switch_roles(request):
            logout(request)
            return unavailable(request, here)
        if request.method in SAFE_METHODS:
            return None
        return _refused_write(request, here)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """What the database refused because the role was lost since `process_view`; None for anything else."""
        if not settings_lock.is_refused(exception):
            return None
        here = gate.read()
        why = "The two appliances are swapping their roles." if here.operation_running else here.sentence
        return refuse(
            request,
            409,
            "Settings are changed on the primary",
            f"The role of this appliance changed while this was being saved. {why} Nothing was changed.",
            here.primary_url,
        )


def _refused_write(request: HttpRequest, here: Gate) -> HttpResponse | None:
    view_name = request.resolver_match.view_name if request.resolver_match else ""
    if here.operation_running:
        if access.is_one_of(view_name, access.DURING_AN_OPERATION):
            return None
        return refuse(
            request,
            409,
            "A role change is in progress",
            "No other operation is available until it is complete. Nothing was changed.",
        )
    if here.is_writable or access.is_node_local(view_name):
        return None
    return refuse(
        request, 409, "Settings are changed on the primary", f"{here.sentence} Nothing was changed.", here.primary_url
    )


def _may_switch_roles(request: HttpRequest) -> bool:
    return request.user.is_authenticated and request.user.has_perm("appliances.switch_roles")


def unavailable(request: HttpRequest, here: Gate) -> HttpResponse:
    """503: why this appliance does not serve, where the primary is, and when to come back (by itself)."""
    seconds = RETRY_AS_BACKUP_SECONDS if here.primary_url and not here.operation_running else RETRY_SOON_SECONDS
    context = {"gate": here, "host_name": settings.HOST_NAME}
    response = render(request, "portal/unavailable.html", context, status=503)
    response.headers["Retry-After"] = str(seconds)
    response.headers["Refresh"] = str(seconds)
    add_never_cache_headers(response)
    return response


def refuse(
    request: HttpRequest, status: int, title: str, sentence: str, primary_url: str | None = None
) -> HttpResponse:
    """A page that says what was refused and why."""
    context = {
        "status": status,
        "title": title,
        "sentence": sentence,
        "primary_url": primary_url,
        "host_name": settings.HOST_NAME,
    }
    response = render(request, "portal/refused.html", context, status=status)
    add_never_cache_headers(response)
    return response
