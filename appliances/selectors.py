"""Reads with names: what exists on this box."""

from __future__ import annotations

from django.conf import settings

from appliances.choices import FolderState
from appliances.models import Appliance, Certificate, FailoverRelationship, Folder, FolderPlace, InterApplianceKey, Site


def this_appliance() -> Appliance:
    """This appliance; its row is made with the configured host name at the first call."""
    appliance, _ = Appliance.objects.get_or_create(pk=1, defaults={"host_name": settings.HOST_NAME})
    return appliance


def site() -> Site:
    """The site; its row is made with the configured public name at the first call."""
    return Site.load(host_name=settings.PUBLIC_HOST_NAME)


def relationship() -> FailoverRelationship | None:
    """The failover relationship, or None while none is established."""
    return FailoverRelationship.objects.filter(pk=1).first()


def inter_appliance_key() -> InterApplianceKey | None:
    """The inter-appliance key, or None while none is set."""
    return InterApplianceKey.objects.filter(pk=1).exclude(key_id="").first()


def default_certificate() -> Certificate | None:
    """The certificate presented on every address that has none of its own."""
    return Certificate.objects.filter(is_default=True).order_by("-created_at").first()


def folder_trouble() -> str:
    """What is wrong with the folders that data-syncs copy, as their latest one found it; empty if nothing is."""
    said = {place.name: place.outcome for place in FolderPlace.objects.all()}
    found = []
    for name in Folder.objects.filter(enabled=True).values_list("name", flat=True):
        outcome = said.get(name, {})
        state = FolderState(outcome["state"]) if outcome.get("state") in FolderState.values else None
        if state is not None and not state.is_good:
            found.append(f"Folder “{name}”: {outcome.get('message') or state.label}")
    return " ".join(found)
