"""The Failover page and what can be pressed on it. Each view parses, calls one function, answers."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from appliances import ip_configuration, selectors, shared_ips
from appliances.choices import Blocker, Role
from appliances.models import BackupSettings
from sync import alerts, relationship, role_changes, tasks
from sync.backup_settings import BackupSettingsForm
from sync.datasync import brake
from sync.errors import EstablishRefused, SyncError
from sync.forms import ChangeForm, EstablishForm, suggested_reverse
from sync.situation import Situation, read
from sync.versions import choose, shown
from sync.views import backup_settings as settings_view
from sync.views import live, steps, told
from sync.views.common import ESTABLISH, SWITCH_ROLES, console_page, may, tell, to_page, who


@console_page()
@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """The Failover page: the pair's situation, or the way to a relationship."""
    it = read()
    if it is None:
        return _set_up(request, EstablishForm(initial=suggested_reverse()))
    return _pair(request, it)


@console_page(ESTABLISH)
@require_POST
@sensitive_post_parameters()
def establish(request: HttpRequest) -> HttpResponse:
    """Establish Relationship: afterwards the pair stands, or the page names the step that failed."""
    if read() is not None:
        messages.info(request, "The relationship is already established.")
        return to_page()
    form = EstablishForm(request.POST)
    if not form.is_valid():
        return _set_up(request, form)
    try:
        made = relationship.establish(**form.cleaned_data, requested_by=who(request))
    except EstablishRefused as error:
        alerts.establish_refused(error)
        tasks.send_alerts()
        return _set_up(request, form, error)
    except SyncError as error:
        tell(request, error)
        return _set_up(request, form)
    messages.success(
        request,
        f"The relationship is established. {made.peer_name} is the backup now. "
        "The first data-sync starts in about a minute.",
    )
    return to_page()


@console_page(SWITCH_ROLES)
@require_POST
def sync_now(request: HttpRequest) -> HttpResponse:
    """Sync Now: a data-sync starts on the backup, whichever appliance this is."""
    try:
        tasks.sync_now(who(request))
        messages.success(request, "A data-sync is starting on the backup. It goes on when you leave this page.")
    except SyncError as error:
        tell(request, error)
    return to_page()


@console_page(ESTABLISH)
@require_POST
def allow_deletion(request: HttpRequest) -> HttpResponse:
    """What the brake has stopped may be deleted, exactly that; a data-sync starts."""
    try:
        found = brake.allow(request.POST.get("fingerprint", ""), who(request))
    except SyncError as error:
        tell(request, error)
        return to_page()
    try:
        tasks.sync_now(who(request))
        messages.success(
            request, f"A data-sync is starting. It may delete {found.what}, and nothing else of that kind."
        )
    except SyncError as error:
        messages.warning(
            request,
            f"Allowed: the next data-sync may delete {found.what}. None could be started now: {error}",
        )
    return to_page()


@console_page(ESTABLISH)
@require_POST
def forbid_deletion(request: HttpRequest) -> HttpResponse:
    """What was allowed to be deleted, and has not been yet, waits again."""
    try:
        found = brake.take_back(request.POST.get("fingerprint", ""), who(request))
        it = read()
        is_late = it is not None and it.progress is not None  # it may have asked already
        late = " The data-sync that is running may still delete them." if is_late else ""
        messages.success(request, f"Taken back: {found.what} wait until somebody allows it again.{late}")
    except SyncError as error:
        tell(request, error)
    return to_page()


@console_page(SWITCH_ROLES)
@require_http_methods(["GET", "POST"])
def change_role(request: HttpRequest) -> HttpResponse:
    """Become Backup or Become Primary: first what will happen, then, confirmed, the change."""
    it = read()
    if it is None or it.is_held:
        return to_page()
    form = ChangeForm(request.POST or request.GET)
    form.is_valid()
    wishes = {name: bool(form.cleaned_data.get(name)) for name in form.fields}
    target = request.POST.get("target", it.target)
    if request.method == "GET" or (_needs_acceptance(it, wishes) and not wishes["accept_loss"]):
        return _confirm(request, it, wishes)
    if target != it.target:
        messages.warning(request, f"The roles have changed meanwhile: this appliance is {it.role.label} now.")
        return to_page()
    try:
        change = role_changes.request(
            Role(target),
            want_final_sync=wishes["want_final_sync"],
            without_peer=wishes["without_peer"] or (target == Role.PRIMARY and wishes["accept_loss"]),
            accepts_loss=not it.peer.answers,
            requested_by=who(request),
        )
        tasks.start_role_change(change)
    except SyncError as error:
        tell(request, error)
    return to_page()


@console_page(SWITCH_ROLES)
@require_http_methods(["GET", "POST"])
def serve_again(request: HttpRequest) -> HttpResponse:
    """Serve Again: a primary that has stopped serving begins a new term, confirmed, while the peer does not answer."""
    it = read()
    if it is None or not it.may_serve_again:
        messages.info(request, "There is no need: this appliance serves, or its peer answers.")
        return to_page()
    form = ChangeForm(request.POST)
    form.is_valid()
    if not form.cleaned_data.get("accept_loss"):
        context = {"title": "Serve Again", "it": it, "was_not_accepted": request.method == "POST"}
        return render(request, "failover/confirm_serve.html", context)
    try:
        change = role_changes.request(Role.PRIMARY, want_final_sync=False, without_peer=True, requested_by=who(request))
        messages.success(request, change.reason)
    except SyncError as error:
        tell(request, error)
    return to_page()


@console_page(SWITCH_ROLES)
@require_POST
def cancel(request: HttpRequest) -> HttpResponse:
    """Cancel the running role change, while that is still possible."""
    try:
        role_changes.cancel(who(request))
        messages.success(request, "The role change is cancelled. The roles are as they were.")
    except SyncError as error:
        tell(request, error)
    return to_page()


@console_page(SWITCH_ROLES)
@require_http_methods(["GET", "POST"])
def fix(request: HttpRequest) -> HttpResponse:
    """Fix This Error: first the evidence and what will happen, then, confirmed, one primary and one backup."""
    it = read()
    if it is None:
        return to_page()
    try:
        if request.method == "GET":
            proposal = role_changes.propose()
            both = [it.this, it.peer]
            winner, loser = both if proposal.stays_here else reversed(both)
            context = {
                "title": "Fix This Error",
                "boxes": both,
                "winner": winner.name,
                "loser": loser.name,
                "it": it,
                "proposal": proposal,
                "names": [box.name for box in both],
                "rows": told.evidence(proposal),
                "replaced": _replaced(),
            }
            return render(request, "failover/confirm_fix.html", context)
        change = role_changes.fix(who(request))
        messages.success(request, f"The conflict is resolved. {change.reason}")
        tasks.sync_now(who(request))
    except SyncError as error:
        tell(request, error)
    return to_page()


@console_page(ESTABLISH)
@require_http_methods(["GET", "POST"])
def break_relationship(request: HttpRequest) -> HttpResponse:
    """Break Failover Relationships: first what will happen, then, confirmed, the end of the relationship."""
    it = read()
    if it is None or it.is_held:
        return to_page()
    if request.method == "GET":
        return render(request, "failover/confirm_break.html", {"title": "Break Failover Relationships", "it": it})
    try:
        result = relationship.break_relationship(who(request))
        (messages.success if result.peer_told else messages.warning)(request, result.sentence)
    except SyncError as error:
        tell(request, error)
    return to_page()


@console_page(ESTABLISH)
@require_POST
def backup_settings(request: HttpRequest) -> HttpResponse:
    """Backup Settings of this appliance, which count while it is the backup."""
    it = read()
    form = BackupSettingsForm(request.POST, instance=BackupSettings.load())
    if form.is_valid():
        form.save()
        messages.success(request, "The backup settings of this appliance are saved.")
        return to_page()
    return _pair(request, it, form) if it else to_page()


def _pair(request: HttpRequest, it: Situation, settings_form: BackupSettingsForm | None = None) -> HttpResponse:
    form = settings_form or BackupSettingsForm(instance=BackupSettings.load())
    context = {
        "title": "Failover",
        **live.parts(request, it),
        "lines": live.latest_lines(),
        "shared_choices": shared_ips.choices(ip_configuration.unique_addresses() or ()),
        "blocker": Blocker.NO_NETWORK_RIGHTS,
        "settings_form": form,
        **settings_view.beside(it, form),
        "settings_open": settings_form is not None,
    }
    return render(request, "failover/page.html", context)


def _set_up(request: HttpRequest, form: EstablishForm, error: EstablishRefused | None = None) -> HttpResponse:
    context = {
        "title": "Failover",
        "form": form,
        "refused": error,
        "steps": steps.of_establish(error) if error else [],
        "has_key": selectors.inter_appliance_key() is not None,
        "shared_host_name": selectors.site().host_name,
        "may_establish": may(request, ESTABLISH),
        "lines": live.latest_lines(),
    }
    return render(request, "failover/set_up.html", context)


def _replaced() -> list[str] | None:
    """The objects in which the settings of the two differ, by name; None if the peer's cannot be read now."""
    try:
        return [shown.name_of(difference) for difference in choose.present().found]
    except SyncError:
        return None


def _needs_acceptance(it: Situation, wishes: dict[str, bool]) -> bool:
    return bool(not it.peer.answers and steps.loss(it, want_final_sync=wishes["want_final_sync"]))


def _confirm(request: HttpRequest, it: Situation, wishes: dict[str, bool]) -> HttpResponse:
    is_pointless = it.role == Role.PRIMARY and not it.peer.answers and not wishes["without_peer"]
    context = {
        "title": f"Become {it.target.label}",
        "it": it,
        "wishes": wishes,
        "steps": steps.preview(it, want_final_sync=wishes["want_final_sync"], without_peer=wishes["without_peer"])
        + ([] if is_pointless else steps.by_hand(it)),
        "loss": steps.loss(it, want_final_sync=wishes["want_final_sync"]),
        "needs_acceptance": _needs_acceptance(it, wishes),
        "was_not_accepted": request.method == "POST",
        "is_pointless": is_pointless,
        "folder_trouble": it.folder_trouble if it.peer.answers and it.is_unequal else "",
    }
    return render(request, "failover/confirm_change.html", context)
