"""The two consoles: `/login/` for the administration of the site, `/appliance/` for the machine under it.

Both are Django admin sites with a log-in page of their own. Pages of models are registered here by noun, from the
modules of `appliances.admin`.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path

from appliances import selectors
from appliances.admin.machine import basics, counts


class LogInForm(AdminAuthenticationForm):
    """Name and password, as browsers and password managers expect them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].widget.attrs.update(autocomplete="username", autocapitalize="none", spellcheck="false")
        self.fields["password"].widget.attrs.update(autocomplete="current-password")


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

    def has_permission(self, request: HttpRequest) -> bool:
        """Whether the account may use this console: an administrator with all rights."""
        return bool(super().has_permission(request) and getattr(request.user, "is_superuser", False))

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
