"""The mount table of the whole site."""

from django.urls import URLPattern, URLResolver, include, path

from appliances.admin.sites import appliance_site, login_site

handler500 = "appliances.views.errors.went_wrong"
urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", include("appliances.api.urls")),
    path("api/", include("sync.api.urls")),
    path("peer/v1/", include("sync.peer_urls")),
    path("login/management/", include("sync.urls")),
    path("login/", login_site.urls),
    path("appliance/", appliance_site.urls),
    path("", include("appliances.urls")),
]
