"""What the peer may ask: every message, under /peer/v1/."""

from django.urls import path, re_path

from sync import peer_views
from sync.peer.establish_messages import CallBack, Hello

app_name = "peer"
urlpatterns = [
    path(Hello.path, peer_views.hello, name="hello"),
    path(CallBack.path, peer_views.call_back, name="call-back"),
    re_path(r"^(?P<name>.*)$", peer_views.message, name="message"),
]
