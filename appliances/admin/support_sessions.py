"""Support sessions with their event logs, and recordings: looked at, searched, played, downloaded."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from appliances.admin.base import RecordAdmin
from appliances.admin.sites import login_site
from appliances.downloads import PLAYABLE, blob_response
from appliances.models import Recording, SessionEvent, SupportSession

EVENTS_PER_PAGE = 500
MAX_RECORDINGS_SHOWN = 100


@admin.register(SupportSession, site=login_site)
class SupportSessionAdmin(RecordAdmin[SupportSession]):
    """Support sessions."""

    list_display = ["started_at", "customer_name", "subject", "account_name", "length"]
    list_display_links = ["started_at", "customer_name"]
    search_fields = ["customer_name", "subject", "account_name"]
    date_hierarchy = "started_at"
    list_filter = ["started_at"]

    @admin.display(description="Length")
    def length(self, session: SupportSession) -> str:
        """How long it took."""
        return _length(session)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The session with its event log and its recordings."""
        session = self.get_object(request, unquote(object_id))
        if session is None:
            return self.back_to_list(request)
        if not self.has_view_permission(request, session):
            raise PermissionDenied
        events = Paginator(SessionEvent.objects.filter(session_id=session.pk).order_by("at", "id"), EVENTS_PER_PAGE)
        may_see_recordings = request.user.has_perm("appliances.view_recording")
        recordings = Recording.objects.filter(session_id=session.pk) if may_see_recordings else Recording.objects.none()
        context = {
            **self.admin_site.each_context(request),
            "title": str(session),
            "opts": self.opts,
            "original": session,
            "session": session,
            "length": _length(session),
            "events": events.get_page(request.GET.get("page")),
            "recordings": recordings[:MAX_RECORDINGS_SHOWN],
            **(extra_context or {}),
        }
        return TemplateResponse(request, "support_sessions/session.html", context)


def _length(session: SupportSession) -> str:
    if session.ended_at is None:
        return "not ended"
    return str(session.ended_at - session.started_at).partition(".")[0]


@admin.register(Recording, site=login_site)
class RecordingAdmin(RecordAdmin[Recording]):
    """Recordings."""

    list_display = ["name", "started_at", "duration", "size", "is_incomplete", "download_link"]
    search_fields = ["name"]
    date_hierarchy = "started_at"
    list_filter = ["started_at", "is_incomplete"]

    @admin.display(description="Size", ordering="size_bytes")
    def size(self, recording: Recording) -> str:
        """The size as people read it."""
        return filesizeformat(recording.size_bytes)

    @admin.display(description="Download")
    def download_link(self, recording: Recording) -> str:
        """The link that saves the recording."""
        return format_html('<a href="{}">Download</a>', reverse("login:recording-content", args=[recording.pk]))

    def get_urls(self) -> list[URLPattern]:
        """The pages of the records, and the content."""
        view = self.admin_site.admin_view(self.content)
        return [path("<uuid:recording_id>/content/", view, name="recording-content"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The recording with its player."""
        recording = self.get_object(request, unquote(object_id))
        if recording is None:
            return self.back_to_list(request)
        if not self.has_view_permission(request, recording):
            raise PermissionDenied
        content_url = reverse("login:recording-content", args=[recording.pk])
        context = {
            **self.admin_site.each_context(request),
            "title": recording.name,
            "opts": self.opts,
            "original": recording,
            "recording": recording,
            "session": SupportSession.objects.filter(pk=recording.session_id).first(),
            "content_url": content_url,
            "player": _player(recording),
            "play_url": f"{content_url}?{urlencode({'play': 1})}",
            **(extra_context or {}),
        }
        return TemplateResponse(request, "support_sessions/recording.html", context)

    def content(self, request: HttpRequest, recording_id: Any) -> HttpResponseBase:
        """The bytes: to save, or with `?play=1` for the player of the page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        recording = Recording.objects.filter(pk=recording_id).first()
        if recording is None:
            raise Http404("This recording is not on this appliance.")
        return blob_response(
            request,
            blob_id=recording.blob_id,
            name=recording.name,
            content_type=recording.content_type,
            inline="play" in request.GET,
        )


def _player(recording: Recording) -> str:
    """Which element of the page plays it: audio, video or none."""
    return recording.content_type.partition("/")[0] if recording.content_type in PLAYABLE else ""
