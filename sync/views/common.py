"""What the pages of the pair share: who may use them, and how refusals reach the reader."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from appliances.admin.sites import login_site
from sync.errors import SyncError

SWITCH_ROLES = "appliances.switch_roles"
ESTABLISH = "appliances.establish_relationship"

View = Callable[..., HttpResponse]


def console_page(permission: str = "") -> Callable[[View], View]:
    """The view is a page of /login/: it needs a log-in there, and `permission` if one is named."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if permission and not may(request, permission):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return login_site.admin_view(checked)

    return decorate


def may(request: HttpRequest, permission: str) -> bool:
    """Whether the account has `permission`; a superuser has each."""
    return bool(getattr(request.user, "has_perm", lambda _: False)(permission))


def who(request: HttpRequest) -> str:
    """The account's name as Status History keeps it."""
    return request.user.get_username()


def tell(request: HttpRequest, error: SyncError) -> None:
    """Show a refusal with its remedy on the next page."""
    messages.error(request, "\n".join(part for part in (error.message, error.remedy) if part))


def to_page() -> HttpResponse:
    """Back to the Failover page."""
    return redirect("failover:page")
