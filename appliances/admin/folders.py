"""Management > Folders: the administrator's own folders that data-syncs copy, and where they lie on this appliance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from appliances import beneath, gate
from appliances.admin.base import SynchronisedAdmin
from appliances.admin.sites import login_site
from appliances.admin.typed import ModelForm
from appliances.choices import FolderState
from appliances.models import Folder, FolderPlace

MOST_FOLDERS = 50
SETTINGS = ("name", "mode", "include", "exclude", "enabled")
TONES = {
    FolderState.EQUAL: "good",
    FolderState.COPIED: "good",
    FolderState.PARTLY: "warn",
    FolderState.HELD: "warn",
    FolderState.NO_PLACE: "warn",
    FolderState.FAILED: "bad",
}


@dataclass(frozen=True)
class Line:
    """One folder as the page shows it; `problem`: why its path cannot be used on this appliance now."""

    folder: Folder
    place: FolderPlace
    problem: str

    @property
    def state(self) -> FolderState | None:
        """How its latest data-sync ended."""
        said = self.place.outcome.get("state")
        return FolderState(said) if said in FolderState.values else None

    @property
    def tone(self) -> str:
        """How loud that is."""
        return TONES[self.state] if self.state else ""

    @property
    def is_agreed(self) -> bool:
        """Whether the deletions that wait have been agreed to."""
        return bool(self.place.agreed) and self.place.agreed == self.place.outcome.get("held_fingerprint")

    @property
    def more_reported(self) -> int:
        """How many reported paths are counted only."""
        return int(self.place.outcome.get("reported_count", 0)) - len(self.place.outcome.get("reported", []))


class FolderForm(ModelForm[Folder]):
    """The rules, which both appliances share, and the path on this one."""

    path = forms.CharField(
        label="Path on this appliance",
        required=False,
        max_length=1000,
        widget=forms.TextInput(attrs={"class": "vTextField", "autocomplete": "off", "spellcheck": "false"}),
    )

    class Meta:
        model = Folder
        fields = list(SETTINGS)
        widgets = {
            name: forms.Textarea(attrs={"class": "vLargeTextField", "rows": 4, "spellcheck": "false"})
            for name in ("include", "exclude")
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        place = FolderPlace.objects.filter(name=self.instance.name).first() if self.instance.pk else None
        self.fields["path"].initial = place.path if place else ""

    def clean_name(self) -> str:
        """A name; the path on each appliance goes by it, so it stays."""
        name: str = self.cleaned_data["name"].strip()
        if self.instance.pk and name != self.instance.name:
            raise ValidationError("The name stays: the other appliance finds its path by it. Add another folder.")
        return name

    def clean_include(self) -> str:
        """Patterns within the folder."""
        return clean_patterns(self.cleaned_data["include"])

    def clean_exclude(self) -> str:
        """Patterns within the folder."""
        return clean_patterns(self.cleaned_data["exclude"])

    def clean_path(self) -> str:
        """A folder that is there and may be used, apart from every other one."""
        given: str = self.cleaned_data["path"].strip()
        if not given:
            return ""
        where = str(Path(given))
        if problem := beneath.place_problem(where):
            raise ValidationError(problem)
        names = Folder.objects.exclude(pk=self.instance.pk).values_list("name", flat=True)
        for other in FolderPlace.objects.filter(name__in=names).exclude(path=""):
            if Path(where).is_relative_to(other.path) or Path(other.path).is_relative_to(where):
                raise ValidationError(f"{where} and {other.path} of the folder “{other.name}” lie within each other.")
        return where

    def clean(self) -> dict[str, Any]:
        """Not too many of them."""
        cleaned = super().clean() or {}
        if not self.instance.pk and Folder.objects.count() >= MOST_FOLDERS:
            raise ValidationError(f"There are at most {MOST_FOLDERS} folders. Delete one first.")
        return cleaned


def clean_patterns(text: str) -> str:
    """The patterns, one a line.

    Raises:
        ValidationError: one that leads out of the folder.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        if line.startswith("/") or ".." in line.split("/") or "\0" in line:
            raise ValidationError(f"“{line}”: patterns stay within the folder: no “/” at the beginning, no “..”.")
    return "\n".join(lines)


@admin.register(Folder, site=login_site)
class FolderAdmin(SynchronisedAdmin[Folder]):
    """The rules are changed on the primary; the path of this appliance on either."""

    form = FolderForm
    actions = None

    def get_urls(self) -> list[URLPattern]:
        """The pages of the records, and the agreement to deletions."""
        view = self.admin_site.admin_view(require_POST(self.agree))
        return [path("<int:pk>/agree/", view, name="appliances_folder_agree"), *super().get_urls()]

    def has_change_permission(self, request: HttpRequest, obj: Folder | None = None) -> bool:
        """Whether the account may: the path is changed on either appliance."""
        return bool(request.user.has_perm("appliances.change_folder"))

    def get_fieldsets(self, request: HttpRequest, obj: Folder | None = None) -> Any:
        """The path first: it is what each appliance asks for."""
        rules = {"fields": list(SETTINGS), "description": self._of_the_rules(request)}
        return [("This appliance", {"fields": ["path"]}), ("Both appliances", rules)]

    def get_readonly_fields(self, request: HttpRequest, obj: Folder | None = None) -> Any:
        """The rules come from the primary."""
        return () if gate.of(request).is_writable else SETTINGS

    def _of_the_rules(self, request: HttpRequest) -> str:
        if gate.of(request).is_writable:
            return "These go to the backup with the next data-sync."
        return "These are changed on the primary."

    def get_form(self, request: HttpRequest, obj: Folder | None = None, change: bool = False, **kwargs: Any) -> Any:
        """The form, which says where a folder may lie."""
        form = super().get_form(request, obj, change, **kwargs)
        roots = ", ".join(map(str, beneath.allowed_roots()))
        form.base_fields[
            "path"
        ].help_text = f"Below {roots}. It must be there. Each appliance has its own; without one, nothing is copied."
        return form

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The folders, each with its path here and how its latest data-sync ended."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        places = {place.name: place for place in FolderPlace.objects.all()}
        lines = []
        for folder in Folder.objects.all():
            place = places.get(folder.name) or FolderPlace(name=folder.name)
            lines.append(Line(folder, place, beneath.place_problem(place.path) if place.path else ""))
        context = {
            **self.admin_site.each_context(request),
            "title": "Folders",
            "lines": lines,
            "may_add": self.has_add_permission(request),
            "may_change": self.has_change_permission(request),
            "is_backup": gate.of(request).role == "backup",
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "console/folders.html", context)

    def save_model(self, request: HttpRequest, obj: Folder, form: Any, change: bool) -> None:
        """The rules where they may be changed, and the path of this appliance."""
        if gate.of(request).is_writable:
            super().save_model(request, obj, form, change)
        if "path" in form.cleaned_data:
            FolderPlace.objects.update_or_create(name=obj.name, defaults={"path": form.cleaned_data["path"]})

    def delete_model(self, request: HttpRequest, obj: Folder) -> None:
        """The files stay on both appliances."""
        FolderPlace.objects.filter(name=obj.name).delete()
        super().delete_model(request, obj)

    def agree(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The deletions that wait may be made by the next data-sync, once, and no more than these."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        folder = Folder.objects.filter(pk=pk).first()
        place = FolderPlace.objects.filter(name=folder.name).first() if folder else None
        held = place.outcome.get("held_fingerprint") if place else ""
        if place is None or not held or held != request.POST.get("held"):
            self.message_user(request, "Other deletions wait by now. Nothing was agreed to.", messages.WARNING)
        else:
            FolderPlace.objects.filter(pk=place.pk).update(agreed=held)
            self.message_user(
                request,
                f"The next data-sync deletes {place.outcome['held']} files of “{place.name}” on this appliance, and "
                f"replaces {place.outcome.get('held_replaced', 0)}.",
            )
        return HttpResponseRedirect(reverse("login:appliances_folder_changelist"))
