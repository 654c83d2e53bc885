"""The mount table of the whole site."""

from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("peer/v1/", include("sync.peer_urls")),
]
