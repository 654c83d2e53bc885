"""Backup Settings on the Failover page: saved, and checked while somebody types. See `sync.backup_settings`."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from appliances.choices import Role
from appliances.models import BackupSettings
from sync import probes
from sync.backup_settings import BackupSettingsForm, advice, draw
from sync.backup_settings.drawing import in_words
from sync.situation import Situation, read
from sync.views.common import ESTABLISH, console_page, to_page


@console_page(ESTABLISH)
@never_cache
@require_GET
def check(request: HttpRequest) -> HttpResponse:
    """The drawing and the table for what is entered and not yet saved."""
    it = read()
    if it is None:
        return to_page()
    form = BackupSettingsForm(request.GET, instance=BackupSettings.load())
    form.is_valid()
    return render(request, "failover/_settings_beside.html", beside(it, form))


def beside(it: Situation, form: BackupSettingsForm) -> dict[str, Any]:
    """What stands beside the form: the drawing of the times, and the recommended settings."""
    is_normal_primary = it.relationship.is_founding_primary
    return {
        "it": it,
        "drawing": draw(*form.times),
        "not_drawn": form.unusable_times,
        "in_force": in_force(it),
        "is_normal_primary": is_normal_primary,
        "advice": advice(form.instance, is_normal_primary=is_normal_primary, last_run=it.last_good_run),
    }


def in_force(it: Situation) -> str:
    """Which times hold at this moment; the form says only which are wished for while this appliance is the backup."""
    if it.role == Role.PRIMARY:
        if probes.acknowledged().timeout is None:
            return f"At this moment {it.peer.name} does not take over by itself."
        gone = in_words(probes.times().surely_gone)
        return (
            f"At this moment, as primary, {it.this.name} keeps to the times of {it.peer.name}: "
            f"cut off from everything, it stops within {gone}."
        )
    if not it.backup_settings.enable_automatic_failover:
        return ""
    if probes.is_acknowledged(probes.times()):
        return f"{it.peer.name} has acknowledged the saved times."
    return f"{it.peer.name} has not acknowledged the saved times yet: no take-over before it has."
