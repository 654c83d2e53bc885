"""Where the command API answers; no slash at the end, as clients write it."""

from django.urls import path

from sync.api.portal_check import portal_check
from sync.api.views import CommandView

urlpatterns = [
    path("command", CommandView.as_view(), name="command"),
    path("portal-check", portal_check, name="portal-check"),
    path("command.ns", CommandView.as_view(), name="command-ns"),
]
