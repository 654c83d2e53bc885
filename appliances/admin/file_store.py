"""The file store: upload, replace, download, delete."""

from __future__ import annotations

import mimetypes
import unicodedata
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from appliances import blobs
from appliances.admin.base import SynchronisedAdmin
from appliances.admin.sites import login_site
from appliances.admin.typed import ModelForm
from appliances.downloads import blob_response
from appliances.models import FileStoreFile

UNKNOWN_TYPE = "application/octet-stream"
TAKEN = "taken_upload"  # on a request: what became of the uploaded bytes, before its transaction


def clean_file_name(name: str) -> str:
    """The name of a file. It is data, never a path; only what would confuse a reader is refused.

    Raises:
        ValidationError: control characters, a slash, or nothing at all.
    """
    name = name.strip()
    if not name:
        raise ValidationError("Enter a name.")
    if any(unicodedata.category(letter) == "Cc" or letter == "/" for letter in name):
        raise ValidationError("A name has no slash and no control characters.")
    return name


def take(upload: UploadedFile[bytes]) -> blobs.StoredBlob | str:
    """The uploaded bytes, in the store; or why they are not."""
    try:
        return blobs.store(upload.chunks(blobs.CHUNK_BYTES))
    except blobs.StoreFull as error:
        return str(error)


class FileForm(ModelForm[FileStoreFile]):
    """A file of the file store, with its content to upload or to replace. `taken`: what became of its bytes."""

    taken: blobs.StoredBlob | str | None = None
    upload = forms.FileField(label="Content", allow_empty_file=True, required=False)

    class Meta:
        model = FileStoreFile
        fields = ["name", "is_public"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_new = self.instance._state.adding
        if "upload" in self.fields:
            self.fields["upload"].required = self.is_new
            if not self.is_new:
                self.fields["upload"].label = "Replace the content"
        if self.is_new and "name" in self.fields:
            self.fields["name"].required = False
            self.fields["name"].help_text = "Left empty: the name of the uploaded file."

    def clean(self) -> dict[str, Any]:
        """The name is given or taken from the upload, whose bytes are in the store."""
        cleaned = super().clean() or {}
        upload = cleaned.get("upload")
        if "name" in cleaned and not self.errors:
            try:
                cleaned["name"] = clean_file_name(cleaned["name"] or (upload.name if upload else ""))
            except ValidationError as error:
                self.add_error("name", error)
        if isinstance(self.taken, str):
            raise ValidationError(self.taken)
        return cleaned

    def save(self, commit: bool = True) -> FileStoreFile:
        """Save, referring to the bytes that are in the store already."""
        if isinstance(self.taken, blobs.StoredBlob):
            self.instance.blob_id, self.instance.size_bytes = self.taken.blob_id, self.taken.size_bytes
        self.instance.content_type = mimetypes.guess_type(self.instance.name)[0] or UNKNOWN_TYPE
        return super().save(commit)


@admin.register(FileStoreFile, site=login_site)
class FileStoreAdmin(SynchronisedAdmin[FileStoreFile]):
    """The file store."""

    form = FileForm
    list_display = ["name", "size", "content_type", "is_public", "created_at", "download_link"]
    list_filter = ["is_public"]
    search_fields = ["name"]
    readonly_fields = ["size", "content_type", "content_hash", "created_at", "download_link"]

    def get_fieldsets(self, request: HttpRequest, obj: FileStoreFile | None = None) -> Any:
        """What is asked for at first, and what is known afterwards."""
        asked = ["name", "is_public"]
        if (obj is None and self.has_add_permission(request)) or self.has_change_permission(request, obj):
            asked.append("upload")
        if obj is None:
            return [(None, {"fields": asked})]
        known = ["size", "content_type", "created_at", "content_hash", "download_link"]
        return [(None, {"fields": asked}), ("Content", {"fields": known})]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The form. What was uploaded goes into the store before its transaction: nobody else can write during that."""
        upload = request.FILES.get("upload") if request.method == "POST" else None
        may = self.has_change_permission if object_id else self.has_add_permission
        if upload is not None and may(request):
            setattr(request, TAKEN, take(upload))
        return super().changeform_view(request, object_id, form_url, extra_context)

    def get_form(
        self, request: HttpRequest, obj: FileStoreFile | None = None, change: bool = False, **kwargs: Any
    ) -> type[FileForm]:
        """The form of this request, which knows what became of the upload."""
        form: type[FileForm] = super().get_form(request, obj, change, **kwargs)  # type: ignore[assignment]
        form.taken = getattr(request, TAKEN, None)
        return form

    @admin.display(description="Size", ordering="size_bytes")
    def size(self, file: FileStoreFile) -> str:
        """The size as people read it."""
        return filesizeformat(file.size_bytes)

    @admin.display(description="Content hash (BLAKE3)")
    def content_hash(self, file: FileStoreFile) -> str:
        """The id of the blob."""
        return file.blob_id

    @admin.display(description="Download")
    def download_link(self, file: FileStoreFile) -> str:
        """The link that saves the file."""
        return format_html('<a href="{}">Download</a>', reverse("login:file-download", args=[file.pk]))

    def get_urls(self) -> list[URLPattern]:
        """The pages of the records, and the download."""
        view = self.admin_site.admin_view(self.download)
        return [path("<uuid:file_id>/download/", view, name="file-download"), *super().get_urls()]

    def download(self, request: HttpRequest, file_id: Any) -> HttpResponseBase:
        """The file, to save."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        file = FileStoreFile.objects.filter(pk=file_id).first()
        if file is None:
            raise Http404("This file is not in the file store.")
        return blob_response(request, blob_id=file.blob_id, name=file.name, content_type=file.content_type)
