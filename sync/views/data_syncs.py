"""The data-syncs of this appliance, pulled and served, with their figures; and how its stored files are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from operator import attrgetter

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from appliances.choices import SyncStatus
from sync import history
from sync.datasync import scrub
from sync.models import DamagedFile, ServedSync, SyncRun
from sync.situation import read
from sync.views import chart
from sync.views.chart import Run
from sync.views.common import SWITCH_ROLES, console_page, may, to_page, who

PAGE_ROWS = 20
FILES_SHOWN = 20
HOURS = {"6": "6 hours", "24": "Day", "168": "Week", "720": "Month"}
NOTHING = Q(rows_done=0, blobs_done=0, rows_sent=0, blobs_sent=0, status=SyncStatus.SUCCESS)


@console_page()
@require_GET
def data_syncs(request: HttpRequest) -> HttpResponse:
    """What each data-sync brought, how long it took and how it ended; the newest first."""
    it = read()
    if it is None:
        return to_page()
    hours = request.GET.get("hours", "")
    hours = hours if hours in HOURS else "24"
    only_moved = request.GET.get("only") == "moved"
    number = request.GET.get("page", "")
    page = (
        min(int(number), history.KEEP // PAGE_ROWS) if number.isascii() and number.isdigit() and len(number) < 5 else 0
    )
    rows = newest((page + 1) * PAGE_ROWS + 1, only_moved=only_moved)
    context = {
        "title": "Data-syncs",
        "it": it,
        "rows": rows[page * PAGE_ROWS : (page + 1) * PAGE_ROWS],
        "page": page,
        "has_more": len(rows) > (page + 1) * PAGE_ROWS,
        "only_moved": only_moved,
        "hours": hours,
        "all_hours": HOURS.items(),
        "chart": _chart(it.now, int(hours)),
        "damaged": DamagedFile.objects.all()[:FILES_SHOWN],
        "may_switch": may(request, SWITCH_ROLES),
    }
    return render(request, "failover/data_syncs.html", context)


@console_page(SWITCH_ROLES)
@require_POST
def verify_files(request: HttpRequest) -> HttpResponse:
    """Verify Now: every stored file is read again, from the next few seconds on."""
    scrub.want()
    history.record("verify_files", f"{who(request)} had all stored files verified.")
    messages.success(request, "All stored files are read again, from the next few seconds on.")
    return redirect("failover:data-syncs")


def newest(count: int, *, only_moved: bool = False) -> list[Run]:
    """The newest data-syncs, pulled or served; those that brought nothing are left out where only others count."""
    pulled = SyncRun.objects.exclude(NOTHING if only_moved else Q(pk=None)).order_by("-started_at")
    served = ServedSync.objects.exclude(NOTHING if only_moved else Q(pk=None)).order_by("-started_at")
    runs: list[Run] = [*pulled[:count], *served[:count]]
    return sorted(runs, key=attrgetter("started_at"), reverse=True)[:count]


def _chart(now: dt.datetime, hours: int) -> chart.Chart:
    since = now - dt.timedelta(hours=hours)
    kinds: Sequence[QuerySet[SyncRun] | QuerySet[ServedSync]] = (SyncRun.objects.all(), ServedSync.objects.all())
    runs: list[Run] = []
    before: list[Run] = []
    for kind in kinds:
        runs += kind.filter(started_at__gte=since).exclude(status=SyncStatus.RUNNING)
        before += kind.filter(started_at__lt=since, status=SyncStatus.SUCCESS).order_by("-started_at")[:1]
    runs.sort(key=attrgetter("started_at"))
    return chart.draw(runs, max(before, key=attrgetter("started_at"), default=None), now, hours)
