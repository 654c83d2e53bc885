"""Retention: how long sessions and recordings are kept, with a brake before a change deletes anything."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.utils import timezone

from appliances import retention
from appliances.admin.base import SingletonAdmin
from appliances.admin.sites import login_site
from appliances.admin.typed import ModelForm
from appliances.models import RetentionSettings


class RetentionForm(ModelForm[RetentionSettings]):
    """What a change would delete is said first; it is saved only when that is agreed to."""

    agreed = forms.BooleanField(
        label="Delete what is past its time",
        required=False,
        help_text="Needed for a change that deletes something, and where the retention has stopped because it would "
        "delete much at once: it goes on within the hour. What was deleted is in no later data-sync and comes back "
        "from nowhere.",
    )

    class Meta:
        model = RetentionSettings
        fields = ["keep_sessions_days", "keep_recordings_days", "max_recordings_gigabytes"]

    def clean(self) -> dict[str, Any]:
        """Recordings cannot outlive their session; what would be deleted must be agreed to."""
        cleaned = super().clean() or {}
        of_sessions, of_recordings = cleaned.get("keep_sessions_days"), cleaned.get("keep_recordings_days")
        if of_sessions and of_recordings and of_recordings > of_sessions:
            raise ValidationError(
                {"keep_recordings_days": f"A recording goes with its session, which is kept for {of_sessions} days."}
            )
        if self.errors or not self.changed_data or cleaned.get("agreed"):
            return cleaned
        wished = RetentionSettings(**{name: cleaned.get(name) for name in RetentionForm.Meta.fields})
        due = retention.past_time(wished, timezone.now())
        if due:
            raise ValidationError(
                {"agreed": f"Nothing is saved yet: these settings would delete {due}, within the hour. Tick to agree."}
            )
        return cleaned

    def save(self, commit: bool = True) -> RetentionSettings:
        """What is past its time now may go, if that was agreed to; what only goes later is asked about again."""
        if self.cleaned_data.get("agreed"):
            self.instance.agreed_at = timezone.now()
        return super().save(commit)


@admin.register(RetentionSettings, site=login_site)
class RetentionAdmin(SingletonAdmin[RetentionSettings]):
    """How long sessions and recordings are kept."""

    form = RetentionForm
    readonly_fields = ["held", "due"]
    fieldsets = [
        ("Here now", {"fields": ["held", "due"]}),
        (
            "How long they are kept",
            {"fields": ["keep_sessions_days", "keep_recordings_days", "max_recordings_gigabytes", "agreed"]},
        ),
    ]

    def get_fieldsets(self, request: Any, obj: RetentionSettings | None = None) -> Any:
        """Without the tick where nothing can be changed."""
        if self.has_change_permission(request, obj):
            return self.fieldsets
        return [
            (title, {"fields": [name for name in options["fields"] if name != "agreed"]})
            for title, options in self.fieldsets or []
        ]

    @admin.display(description="Held")
    def held(self, rule: RetentionSettings) -> str:
        """How much there is."""
        return str(retention.everything())

    @admin.display(description="Deleted by the next run")
    def due(self, rule: RetentionSettings) -> str:
        """What the saved settings delete within the hour."""
        saved = RetentionSettings.objects.filter(pk=1).first() or RetentionSettings()
        return str(retention.past_time(saved, timezone.now()))
