"""The portal, mounted at `/`."""

from django.urls import path

from appliances.views import portal

app_name = "portal"

urlpatterns = [
    path("", portal.home, name="home"),
    path("files/<uuid:file_id>/", portal.download, name="download"),
]
