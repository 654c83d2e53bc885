"""What the records of the consoles share: changed on the serving appliance only, and singletons as one form."""

from __future__ import annotations

from typing import Any, TypeVar

from django.contrib import messages
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from appliances import gate
from appliances.admin.typed import ModelAdmin

M = TypeVar("M", bound=Model)

# Query budgets of the tests count on these.
PER_PAGE = 50


class ForgivingAdmin(ModelAdmin[M]):
    """Pages that answer a number no database can hold like any other that is not there."""

    list_per_page = PER_PAGE
    show_full_result_count = False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list."""
        try:
            return super().changelist_view(request, extra_context)
        except OverflowError:
            return self.back_to_list(request)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The form."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except OverflowError:
            return self.back_to_list(request)

    def back_to_list(self, request: HttpRequest) -> HttpResponse:
        """To the list, which says that what was asked for is not here."""
        self.message_user(request, "What was asked for is not on this appliance.", messages.WARNING)
        name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_changelist"
        return HttpResponseRedirect(reverse(name))


class SynchronisedAdmin(ForgivingAdmin[M]):
    """Records that the primary's copy replaces on the backup: read-only where they may not be changed."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whether the account may, and this appliance may now."""
        return gate.of(request).is_writable and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        """Whether the account may, and this appliance may now."""
        return gate.of(request).is_writable and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        """Whether the account may, and this appliance may now."""
        return gate.of(request).is_writable and super().has_delete_permission(request, obj)

    def has_view_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        """Whoever may change it on the primary may look at it here."""
        may_change = f"{self.opts.app_label}.change_{self.opts.model_name}"
        return super().has_view_permission(request, obj) or request.user.has_perm(may_change)


class SingletonAdmin(SynchronisedAdmin[M]):
    """A table of one row: its entry opens the form, and saving stays on it."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The row is there."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        """The row stays."""
        return False

    def the_row(self) -> M:
        """The row, made when it is not there yet."""
        return self.model.load()  # type: ignore[attr-defined, no-any-return]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The form itself."""
        return HttpResponseRedirect(self._form_url())

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> M | None:
        """The row, whether or not somebody has looked at it before."""
        if object_id == "1":
            row = self.the_row()
            if row._state.adding:  # on a backup to which no data-sync has brought it yet
                return row
        return super().get_object(request, object_id, from_field)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The form with one button."""
        context = {
            "is_singleton": True,
            "show_save_and_continue": False,
            "show_save_and_add_another": False,
            **(extra_context or {}),
        }
        return super().changeform_view(request, object_id, form_url, context)

    def response_change(self, request: HttpRequest, obj: M) -> HttpResponse:
        """Back to the form, which says that it was saved."""
        self.message_user(request, f"{self.opts.verbose_name} saved.")
        return HttpResponseRedirect(self._form_url())

    def _form_url(self) -> str:
        name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_change"
        return reverse(name, args=["1"])


class RecordAdmin(ForgivingAdmin[M]):
    """Append-only rows: looked at, never changed, never deleted."""

    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        """They come from sessions, not from a form."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        """What has happened stays as it was."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        """What has happened stays."""
        return False
