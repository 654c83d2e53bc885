"""Shared IPs on the Failover page: which addresses of this appliance belong to whichever appliance is primary."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from appliances.services.network import tick_shared_ips
from sync import history
from sync.situation import read
from sync.views.common import ESTABLISH, console_page, to_page, who


@console_page(ESTABLISH)
@require_POST
def save(request: HttpRequest) -> HttpResponse:
    """The ticks of this appliance are as the form says; the peer has its own."""
    it = read()
    if it is None:
        return to_page()
    try:
        added, removed = tick_shared_ips(request.POST.getlist("address"))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect(reverse("failover:page") + "#shared-ips")
    if added or removed:
        parts = [f"ticked {', '.join(added)}"] if added else []
        parts += [f"no longer ticks {', '.join(removed)}"] if removed else []
        evidence = {"requested_by": who(request)}
        history.record("shared_ips.ticked", f"Shared IPs: {it.this.name} {' and '.join(parts)}.", evidence=evidence)
    messages.success(request, f"The shared IPs of {it.this.name} are saved. Tick the same ones on {it.peer.name}.")
    return redirect(reverse("failover:page") + "#shared-ips")
