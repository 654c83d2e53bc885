"""`/api/v1/sessions`: sessions and their event logs."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse, JsonResponse

from appliances.api.base import SessionApiView, document
from appliances.incoming import documents, sessions
from appliances.models import Recording, SessionEvent, SupportSession


class Sessions(SessionApiView):
    """All sessions."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """The session that was sent is kept: 201, or 200 if it was here already."""
        given = documents.session(document(request))
        is_new = sessions.bring_in(given)
        return JsonResponse(_state(given.id), status=201 if is_new else 200)


class Session(SessionApiView):
    """One session."""

    def get(self, request: HttpRequest, key: uuid.UUID) -> HttpResponse:
        """How it stands."""
        return JsonResponse(_state(key))

    def patch(self, request: HttpRequest, key: uuid.UUID) -> HttpResponse:
        """`ended_at`: the session has ended."""
        given = document(request)
        if not isinstance(given, dict) or set(given) != {"ended_at"}:
            raise documents.Unusable("Send an object with ended_at alone; nothing else can be changed.")
        sessions.end(key, documents.moment(given["ended_at"], "ended_at"))
        return JsonResponse(_state(key))


class Events(SessionApiView):
    """The event log of a session."""

    def post(self, request: HttpRequest, key: uuid.UUID) -> HttpResponse:
        """The events that were sent are kept; what was here already is not kept twice."""
        added = sessions.add_events(key, documents.events(document(request)))
        return JsonResponse({**_state(key), "added": added}, status=201 if added else 200)


def _state(key: uuid.UUID) -> dict[str, object]:
    row = SupportSession.objects.filter(pk=key).first()
    if row is None:
        raise sessions.NoSuchSession(f"There is no session {key} on this appliance.")
    return {
        "id": str(row.pk),
        "started_at": row.started_at.isoformat(),
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
        "events": SessionEvent.objects.filter(session_id=key).count(),
        "recordings": [str(pk) for pk in Recording.objects.filter(session_id=key).values_list("pk", flat=True)],
    }
