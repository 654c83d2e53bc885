"""The portal on `/`: served by the primary only (see `appliances.middleware`)."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from appliances import gate, selectors
from appliances.downloads import blob_response
from appliances.models import FileStoreFile

MAX_FILES = 500  # a longer list is of no use to a visitor


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The site's name, its text, and the public files of the file store."""
    context = {
        "site": selectors.site(),
        "files": FileStoreFile.objects.filter(is_public=True)[:MAX_FILES],
        "gate": gate.of(request),
        "host_name": settings.HOST_NAME,
    }
    response = render(request, "portal/home.html", context)
    # Which appliance answers can change within a second.
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Served-By"] = settings.HOST_NAME
    return response


@require_safe
def download(request: HttpRequest, file_id: uuid.UUID) -> HttpResponseBase:
    """A public file, to save."""
    file = get_object_or_404(FileStoreFile, pk=file_id, is_public=True)
    return blob_response(request, blob_id=file.blob_id, name=file.name, content_type=file.content_type)
