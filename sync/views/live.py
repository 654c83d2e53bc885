"""What the Failover page shows, whole or as the parts that follow the situation while the page is open.

The page polls `live`. Facts come with each answer; controls and the frame only when the situation took another shape,
so that what somebody is typing or about to press stays in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from appliances.admin.sites import login_site
from appliances.choices import Role, SyncStatus
from sync import history
from sync.backup_settings import grades
from sync.models import BrakeStop, StatusEvent
from sync.rules.snapshot import Refusal
from sync.situation import Situation, read
from sync.views import steps, told
from sync.views.common import ESTABLISH, SWITCH_ROLES, may
from sync.views.data_syncs import newest
from sync.views.guard import read_guard

HISTORY_LINES = 30
RUNS_SHOWN = 4
HIGHEST_EVENT = 2**53  # what a browser can have been given; anything above is not ours


def parts(request: HttpRequest, it: Situation) -> dict[str, Any]:
    """The context that the page and its live parts share."""
    newest_event = StatusEvent.objects.order_by("-id").values_list("id", flat=True).first()
    change = it.change or it.recent_change
    stops = list(BrakeStop.of_role(it.role))
    return {
        "it": it,
        "shape": shape(it, stops),
        "newest": newest_event or 0,
        "change": change,
        "change_steps": steps.of_change(change, it) if change else steps.of_operation(it) if it.is_busy else [],
        "progress": it.progress,
        "runs": [run for run in newest(RUNS_SHOWN + 1) if run.status != SyncStatus.RUNNING][:RUNS_SHOWN],
        "stops": stops,
        "is_locked": is_locked(it),
        "grades": grades(it),
        "guard": read_guard(it) if it.role == Role.BACKUP else None,
        "may_switch": may(request, SWITCH_ROLES),
        "may_establish": may(request, ESTABLISH),
    }


def shape(it: Situation, stops: Sequence[BrakeStop]) -> str:
    """What decides which controls there are; equal shapes have the same controls."""
    change = it.change or it.recent_change
    facts = [it.state.state, it.peer.state, it.peer.answers, it.is_peer_new, it.is_busy, it.is_conflict]
    facts += [
        bool(it.progress),
        it.may_serve_again,
        is_locked(it),
        *(f"{stop.fingerprint[:8]}{'a' if stop.allowed_at else ''}" for stop in stops),
    ]
    return "-".join(
        str(fact) for fact in [*facts, change.pk.hex[:8] if change else "", change.status if change else ""]
    )


def is_locked(it: Situation) -> bool:
    """Whether data-syncs are refused because they would overwrite newer settings with older ones."""
    run = it.last_run
    if it.role != Role.BACKUP or run is None or run.code != Refusal.SOURCE_OLDER:
        return False
    return not StatusEvent.objects.filter(role=Role.PRIMARY, at__gt=run.started_at).exists()  # that was another time


@never_cache
@require_GET
def live(request: HttpRequest) -> HttpResponse:
    """The live parts; without a log-in the way to one. The page is reloaded when the relationship came or went."""
    if not login_site.has_permission(request):
        return render(request, "failover/_session_ended.html")
    it = read()
    before = request.GET.get("shape", "")
    if it is None or before == "none":
        response = HttpResponse(status=204)
        if (it is None) != (before == "none"):
            response["HX-Refresh"] = "true"
        return response
    context = parts(request, it)
    context["is_changed"] = before != context["shape"]
    context["lines"] = told.lines(_events_after(request.GET.get("event", "")))
    return render(request, "failover/_poll.html", context)


def _events_after(value: str) -> list[StatusEvent]:
    if not value.isascii() or not value.isdigit() or len(value) > 16 or int(value) > HIGHEST_EVENT:
        return []
    return list(StatusEvent.objects.filter(id__gt=int(value)).order_by("-id")[:HISTORY_LINES])


def latest_lines() -> list[told.Line]:
    """The newest lines of Status History."""
    return told.lines(history.latest(HISTORY_LINES))
