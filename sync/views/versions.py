"""Two versions of the settings side by side: the choice of the returning primary, and configuration backups.

Whoever chooses writes settings of every kind, accounts too, so all of it needs the right to manage the pair.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.text import capfirst
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from appliances import selectors
from appliances.choices import BackupReason
from sync import history, tasks
from sync.datasync import backups as kept_backups
from sync.errors import NotStored, SyncError
from sync.models import ConfigurationBackup
from sync.versions import choose, shown
from sync.versions.choose import Comparison
from sync.versions.compare import Difference
from sync.views.common import ESTABLISH, console_page, tell, to_page, who
from sync.views.steps import Step

SHOWN = 300  # objects on one page; one choice stands for all others
PICK = "pick:"
MINE, THEIRS = "mine", "theirs"


@console_page(ESTABLISH)
@never_cache
@require_http_methods(["GET", "POST"])
def differences(request: HttpRequest) -> HttpResponse:
    """What differs between the two; while this appliance waits as superseded primary, the choice."""
    try:
        it = choose.present()
        picked = _picked(request, it) if request.method == "POST" else None
        if picked is None:
            return _page(request, it, None)
        if "confirmed" not in request.POST:
            return _confirm(request, it, picked, None)
        choose.rejoin(it, picked, who(request), allowed=request.POST.get("allow", ""))
        name = selectors.this_appliance().host_name
        messages.success(request, f"{name} is the backup now. The version it had is kept as a configuration backup.")
        tasks.sync_now(who(request))
    except OSError as error:
        tell(request, _not_stored(error))
    except SyncError as error:
        tell(request, error)
    return to_page()


@console_page(ESTABLISH)
@never_cache
@require_http_methods(["GET", "POST"])
def backups(request: HttpRequest) -> HttpResponse:
    """The configuration backups that this appliance keeps; one more is saved on request."""
    if request.method == "POST":
        try:
            made = kept_backups.save(BackupReason.BY_HAND, f"by {who(request)}")
            history.record("settings.saved", f"{who(request)} saved a configuration backup.")
            messages.success(request, f"The settings are saved as a configuration backup ({made.rows} rows).")
        except OSError as error:
            tell(request, _not_stored(error))
        except SyncError as error:
            tell(request, error)
        return redirect("failover:backups")
    listed = list(ConfigurationBackup.objects.all())
    counted, problem = _counts(listed)
    rows = [(backup, counted.get(backup.pk)) for backup in listed]
    context = {
        "title": "Configuration Backups",
        "rows": rows,
        "problem": problem,
        "keep": kept_backups.KEEP,
    }
    return render(request, "failover/backups.html", context)


@console_page(ESTABLISH)
@never_cache
@require_http_methods(["GET", "POST"])
def backup(request: HttpRequest, key: uuid.UUID) -> HttpResponse:
    """One configuration backup beside the settings in force; what is chosen of it is restored on the primary."""
    row = get_object_or_404(ConfigurationBackup, pk=key)
    try:
        it = choose.of_backup(row)
        if request.method == "GET":
            return _page(request, it, row)
        picked = _picked(request, it)
        if not picked:
            if picked is not None:
                messages.info(request, "Nothing is chosen to be restored.")
            return redirect("failover:backup", key=key)
        if "confirmed" not in request.POST:
            return _confirm(request, it, picked, row)
        allowed = request.POST.get("allow", "")
        messages.success(request, choose.restore(it, picked, row, who(request), allowed=allowed))
    except OSError as error:
        tell(request, _not_stored(error))
    except SyncError as error:
        tell(request, error)
    return redirect("failover:backups")


def _counts(listed: list[ConfigurationBackup]) -> tuple[dict[object, int], str]:
    try:
        return choose.counts(listed), ""
    except SyncError as error:
        return {}, f"They cannot be compared with the settings in force. {error}"


def _picked(request: HttpRequest, it: Comparison) -> frozenset[str] | None:
    """The keys of what the form takes of `mine`; None, with a message, if that is not clear.

    It is not if something was left open, or if the form was about another state of the settings.
    """
    if request.POST.get("stamp") != it.stamp:
        messages.warning(
            request, "The settings of the primary were changed meanwhile. Look again and choose once more."
        )
        return None
    keys = [difference.key for difference in it.found]
    all_of = request.POST.get("all")
    rest = request.POST.get("rest", "")
    picks = {key: all_of or request.POST.get(f"{PICK}{key}", rest) for key in keys}
    missing = sum(pick not in (MINE, THEIRS) for pick in picks.values())
    if missing:
        messages.error(request, f"Choose a version for each object: {missing} of {len(keys)} are still open.")
        return None
    return frozenset(key for key, pick in picks.items() if pick == MINE)


def _page(request: HttpRequest, it: Comparison, row: ConfigurationBackup | None) -> HttpResponse:
    items = shown.shown(it.found[:SHOWN], it.apart_since)
    posted = {key.removeprefix(PICK): str(value) for key, value in request.POST.items() if key.startswith(PICK)}
    default = THEIRS if row is not None else ""
    context: dict[str, Any] = {
        "title": "Restore Settings" if row else "Differences",
        "it": it,
        "backup": row,
        "groups": _grouped(items, posted, default),
        "count": len(it.found),
        "beyond": max(len(it.found) - SHOWN, 0),
        "may_choose": not it.refusal,
        "default": default,
    }
    return render(request, "failover/differences.html", context)


def _grouped(
    items: Iterable[shown.ShownDifference], posted: dict[str, str], default: str
) -> list[tuple[str, list[tuple[shown.ShownDifference, str]]]]:
    groups: dict[str, list[tuple[shown.ShownDifference, str]]] = {}
    for item in items:
        picked = posted.get(item.key, default)
        kind = item.difference.kind
        title = "Settings" if kind.is_single else capfirst(str(kind.dataset.model._meta.verbose_name_plural))
        groups.setdefault(title, []).append((item, picked))
    return list(groups.items())


def _confirm(
    request: HttpRequest, it: Comparison, picked: frozenset[str], row: ConfigurationBackup | None
) -> HttpResponse:
    taken = it.taken(picked)
    along = [difference for difference in taken if difference.key not in picked]
    left = [difference for difference in it.found if difference not in taken]
    context = {
        "title": "Restore Settings" if row else "Choose the Settings",
        "it": it,
        "backup": row,
        "taken": _lines([difference for difference in taken if difference not in along]),
        "along": _lines(along),
        "left": _lines(left),
        "taken_count": len(taken),
        "deletion": choose.deletion(it, picked),
        **_sides(it, picked),
        "steps": _steps(it, len(taken), row),
    }
    return render(request, "failover/confirm_choice.html", context)


def _sides(it: Comparison, picked: frozenset[str]) -> dict[str, Any]:
    """The choice as the form repeats it: one side is `rest`, the shorter other one by name; a form has 2000 fields."""
    others = [difference.key for difference in it.found if difference.key not in picked]
    if len(others) < len(picked):
        return {"rest": MINE, "pick": THEIRS, "picks": others}
    return {"rest": THEIRS, "pick": MINE, "picks": sorted(picked)}


def _lines(found: list[Difference]) -> list[tuple[str, str]]:
    """Each object with what becomes of it."""
    said = {(True, True): "", (True, False): "added", (False, True): "removed"}
    return [(shown.name_of(each), said.get((each.mine is not None, each.theirs is not None), "")) for each in found]


def _steps(it: Comparison, count: int, row: ConfigurationBackup | None) -> list[Step]:
    primary = it.theirs_name.removesuffix(" now")
    objects = "one object" if count == 1 else f"{count} objects"
    if row is not None:
        return [
            Step("The present settings are kept", f"As a configuration backup of {primary}.", "todo"),
            Step(f"{primary} takes over {objects}", "As one change: wholly, or not at all.", "todo"),
        ]
    taking = Step(
        f"{primary} takes over {objects}", "As one change: wholly, or not at all. It goes on serving.", "todo"
    )
    keeping = Step("Both versions are kept", "As configuration backups; each object can be restored later.", "todo")
    if not count:
        kept = f"The version of {it.mine_name} is kept"
        keeping = Step(kept, "As a configuration backup; each object can be restored later.", "todo")
    return [
        keeping,
        *([taking] if count else []),
        Step(f"{it.mine_name} becomes Backup", f"{primary} stays primary.", "todo"),
        Step("A data-sync starts", "Then both hold the same. Sessions, logs and recordings of both are kept.", "todo"),
    ]


def _not_stored(error: OSError) -> NotStored:
    return NotStored(f"The configuration backup could not be written, so nothing was changed: {error.strerror}.")
