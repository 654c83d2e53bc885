"""The Security page: the inter-appliance key. It shows a fingerprint, never the key again after it was made."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from appliances import key_words, selectors
from appliances.choices import ProbeOutcome
from appliances.services import keys
from sync.forms import TypeKeyForm
from sync.models import PeerView
from sync.views.common import ESTABLISH, console_page, may


@console_page()
@require_http_methods(["GET", "POST"])
@sensitive_post_parameters()
@sensitive_variables()
def key(request: HttpRequest) -> HttpResponse:
    """The key's fingerprint; generate a key, or enter the other appliance's."""
    if request.method == "GET":
        return _render(request, TypeKeyForm())
    if not may(request, ESTABLISH):
        raise PermissionDenied
    if request.POST.get("action") == "generate":
        made = keys.generate_inter_appliance_key()
        keys.set_inter_appliance_key(made)
        return _render(request, TypeKeyForm(), made)
    form = TypeKeyForm(request.POST)
    if form.is_valid():
        try:
            keys.set_inter_appliance_key(form.cleaned_data["typed"])
        except ValidationError as error:
            form.add_error("typed", error)
        else:
            messages.success(request, "The inter-appliance key is set. Compare the words with the other appliance.")
            return redirect("security:key")
    return _render(request, form)


@sensitive_variables()
def _render(request: HttpRequest, form: TypeKeyForm, made: str = "") -> HttpResponse:
    held = selectors.inter_appliance_key()
    context = {
        "title": "Security",
        "form": form,
        "made": made,
        "held": held,
        "words": key_words.words(held.key_id).split("-") if held else [],
        "peer_key": _peer_key(),
        "relationship": selectors.relationship(),
        "may_establish": may(request, ESTABLISH),
    }
    response = render(request, "security/key.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _peer_key() -> str:
    """Whether the peer holds the same key: "same" when it answered last, "differs" when it refused for the key."""
    view = PeerView.objects.filter(pk=1).first()
    if selectors.relationship() is None or view is None:
        return "unknown"
    if view.outcome == ProbeOutcome.ANSWERED:
        return "same"
    return "differs" if view.outcome == ProbeOutcome.REFUSED and view.code == "key_differs" else "unknown"
