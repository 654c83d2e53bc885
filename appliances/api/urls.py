"""Where the session API answers; no slash at the end, as clients write it. Mounted at /api/v1/."""

from django.urls import path

from appliances.api.recordings import OneRecording, Recordings
from appliances.api.sessions import Events, Session, Sessions

app_name = "session-api"

urlpatterns = [
    path("sessions", Sessions.as_view(), name="sessions"),
    path("sessions/<uuid:key>", Session.as_view(), name="session"),
    path("sessions/<uuid:key>/events", Events.as_view(), name="events"),
    path("recordings", Recordings.as_view(), name="recordings"),
    path("recordings/<uuid:key>", OneRecording.as_view(), name="recording"),
]
