"""Where the command API answers; no slash at the end, as clients write it."""

from django.urls import path

from sync.api.views import CommandView

urlpatterns = [
    path("command", CommandView.as_view(), name="command"),
    path("command.ns", CommandView.as_view(), name="command-ns"),
]
