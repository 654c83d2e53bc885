"""`GET /api/portal-check`: the keeper of this appliance asks whether its own web server works, down to the database."""

from __future__ import annotations

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from sync import health, portal


@require_GET
def portal_check(request: HttpRequest) -> HttpResponse:
    """200 with the signed answer if the database takes writes, 503 if not; 404 to everybody else."""
    signed = portal.answer(request.headers.get("X-Token", ""))
    if signed is None:
        return HttpResponse(status=404)
    try:
        problem = health.database_problem()
    except DatabaseError:
        problem = "The database does not answer."
    return HttpResponse(problem or signed, status=503 if problem else 200, content_type="text/plain")
