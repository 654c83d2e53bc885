"""The two consoles: `/login/` for the administration of the site, `/appliance/` for the machine under it.

Both are Django admin sites with a log-in page of their own. Pages of models are registered here by noun, from the
modules of `appliances.admin`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path

from appliances import selectors
from appliances.admin.machine import basics, counts

LOGGED_IN_HERE = "appliance_console"  # the key in the session that a log-in at /appliance/ leaves


class LogInForm(AdminAuthenticationForm):
    """Name and password, as browsers and password managers expect them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].widget.attrs.update(autocomplete="username", autocapitalize="none", spellcheck="false")
        self.fields["password"].widget.attrs.update(autocomplete="current-password")


class ApplianceLogInForm(LogInForm):
    """Only an account with all rights logs in to the machine."""

    def confirm_login_allowed(self, user: Any) -> None:
        """Nothing, where the account is an administrator with all rights.

        Raises:
            ValidationError: it is not; the text is the same as for a wrong password.
        """
        super().confirm_login_allowed(user)
        if not user.is_superuser:
            raise self.get_invalid_login_error()


class Console(AdminSite):
    """What both consoles share: own templates, no side bar, no catch-all before pages mounted later."""

    enable_nav_sidebar = False
    login_form = LogInForm
    site_title = "Console"
    password_change_template = "console/password_change.html"  # noqa: S105  (a path)
    password_change_done_template = "console/password_change_done.html"  # noqa: S105  (a path)

    def get_urls(self) -> list[URLResolver | URLPattern]:
        """Django's pages, and the account page of whoever is logged in."""
        own = [path("my-account/", self.admin_view(self.my_account), name="my_account")]
        return [*own, *super().get_urls()]

    def my_account(self, request: HttpRequest) -> HttpResponse:
        """Who is logged in here, and the way to another password."""
        request.current_app = self.name
        context = {**self.each_context(request), "title": "My Account", "account": request.user}
        return TemplateResponse(request, "console/my_account.html", context)


class LoginSite(Console):
    """The `/login/` console."""

    site_header = "Administration"
    login_template = "console/log_in.html"

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Status: the product, this appliance's role, and what the site holds."""
        request.current_app = self.name
        context = {
            **self.each_context(request),
            "title": "Status",
            "site_row": selectors.site(),
            "counts": counts(),
            "product": settings.PRODUCT,
            "product_version": settings.PRODUCT_VERSION,
            **(extra_context or {}),
        }
        return TemplateResponse(request, "console/login_status.html", context)


class ApplianceSite(Console):
    """The `/appliance/` console: for administrators of the machine only."""

    site_header = "Appliance"
    login_template = "console/appliance_log_in.html"
    login_form = ApplianceLogInForm

    def has_permission(self, request: HttpRequest) -> bool:
        """Whether an administrator with all rights has logged in here: a log-in at `/login/` is not enough."""
        is_administrator = super().has_permission(request) and getattr(request.user, "is_superuser", False)
        return bool(is_administrator and request.session.get(LOGGED_IN_HERE) == str(request.user.pk))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The log-in page; whoever logs in by it may use this console as long as the session lasts."""
        response: HttpResponse = super().login(request, extra_context)
        if request.method == "POST" and response.status_code == HTTPStatus.FOUND and request.user.is_authenticated:
            request.session[LOGGED_IN_HERE] = str(request.user.pk)
        return response

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Status: the basics of this machine."""
        request.current_app = self.name
        context = {
            **self.each_context(request),
            "title": "Status",
            "basics": basics(),
            "product_version": settings.PRODUCT_VERSION,
            **(extra_context or {}),
        }
        return TemplateResponse(request, "console/appliance_status.html", context)


login_site = LoginSite(name="login")
appliance_site = ApplianceSite(name="appliance")
