"""Accounts and groups."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Field, ManyToManyField, QuerySet
from django.http import HttpRequest

from appliances.admin.base import PER_PAGE, SynchronisedAdmin
from appliances.admin.sites import login_site
from appliances.admin.typed import ModelForm
from appliances.models import Account

# What makes an account mighty is given by those who have it themselves.
MIGHTY_FIELDS = ("is_superuser", "groups", "may_use_command_api")
OWN_ACCOUNT_FIELDS = ("is_active", "is_staff", "is_superuser", "groups", "may_use_command_api")
ASSIGNABLE_APPS = ("appliances", "auth", "sync")


class AccountCreationForm(AdminUserCreationForm):  # type: ignore[type-arg]
    """A new account with its first password, which is validated."""

    class Meta(AdminUserCreationForm.Meta):
        model = Account
        fields = ("username",)


class AccountChangeForm(UserChangeForm):  # type: ignore[type-arg]
    """An account; the password has a page of its own."""

    class Meta(UserChangeForm.Meta):
        model = Account
        fields = "__all__"


@admin.register(Account, site=login_site)
class AccountAdmin(SynchronisedAdmin[Account], UserAdmin):  # type: ignore[type-arg]
    """Accounts of administrators and representatives."""

    form = AccountChangeForm
    add_form = AccountCreationForm
    list_display = ("username", "display_name", "email", "is_active", "is_superuser", "may_use_command_api")
    list_filter = ("is_active", "is_superuser", "may_use_command_api", "groups")
    search_fields = ("username", "display_name", "first_name", "last_name", "email")
    filter_horizontal = ("groups",)
    list_per_page = PER_PAGE
    fieldsets = (
        (None, {"fields": ("username", "password", "display_name", "first_name", "last_name", "email")}),
        (
            "May do",
            {"fields": ("is_active", "is_staff", "is_superuser", "may_use_command_api", "groups")},
        ),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        """The field with the words of the consoles."""
        made = super().formfield_for_dbfield(db_field, request, **kwargs)
        if made is not None and db_field.name == "is_staff":
            made.label = "May log in to /login"
            made.help_text = ""
        elif made is not None and db_field.name == "is_superuser":
            made.label = "Administrator with all rights"
            made.help_text = "May do everything, on /appliance as well."
        return made

    def get_readonly_fields(self, request: HttpRequest, obj: Account | None = None) -> Any:
        """Rights are given by administrators with all rights; nobody takes their own away by accident."""
        fixed = set(super().get_readonly_fields(request, obj))
        if not _is_superuser(request):
            fixed |= set(MIGHTY_FIELDS)
        if obj is not None and obj.pk == request.user.pk:
            fixed |= set(OWN_ACCOUNT_FIELDS)
        return tuple(sorted(fixed))

    def has_change_permission(self, request: HttpRequest, obj: Account | None = None) -> bool:
        """Accounts with all rights are changed by their like only."""
        return super().has_change_permission(request, obj) and _is_within_reach(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Account | None = None) -> bool:
        """Nobody deletes the own account, and accounts with all rights are deleted by their like only."""
        is_own = obj is not None and obj.pk == request.user.pk
        return not is_own and super().has_delete_permission(request, obj) and _is_within_reach(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        """Delete the chosen accounts, if each of them may be deleted."""
        if not all(self.has_delete_permission(request, account) for account in queryset):
            raise PermissionDenied
        super().delete_queryset(request, queryset)

    def get_actions(self, request: HttpRequest) -> Any:
        """No deleting by the dozen: an account is deleted on its own page."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions


def _is_superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


def _is_within_reach(request: HttpRequest, account: Account | None) -> bool:
    return account is None or not account.is_superuser or _is_superuser(request)


class GroupForm(ModelForm[Group]):
    """A group with the permissions that this product knows."""

    class Meta:
        model = Group
        fields = ["name", "permissions"]

    def clean_name(self) -> str:
        """A name that is more than spaces."""
        name: str = self.cleaned_data["name"].strip()
        if not name:
            raise ValidationError("Enter a name.")
        return name


@admin.register(Group, site=login_site)
class AccountGroupAdmin(SynchronisedAdmin[Group], GroupAdmin):
    """Groups of accounts with their permissions."""

    form = GroupForm
    list_display = ("name",)
    search_fields = ("name",)

    def formfield_for_manytomany(
        self, db_field: ManyToManyField[Any, Any], request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        """Only the permissions of pages that exist."""
        if db_field.name == "permissions":
            kwargs["queryset"] = Permission.objects.filter(content_type__app_label__in=ASSIGNABLE_APPS).select_related(
                "content_type"
            )
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Rights are given by administrators with all rights."""
        return super().has_change_permission(request, obj) and _is_superuser(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Rights are given by administrators with all rights."""
        return super().has_add_permission(request) and _is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Rights are taken by administrators with all rights."""
        return super().has_delete_permission(request, obj) and _is_superuser(request)
