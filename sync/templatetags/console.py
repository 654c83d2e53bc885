"""What every page of the consoles shows of this appliance: its identity, its tabs, moments and sizes."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django import template
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from appliances import selectors
from appliances.admin.tabs import ShownTab, visible_tabs
from appliances.choices import Role, State
from sync import journal
from sync.models import ServedSync, SyncRun
from sync.overview import ago
from sync.peer import identity
from sync.rules.facts import role_of
from sync.situation import Situation, failover_page_of_peer
from sync.situation import read as read_situation

register = template.Library()

# The figures of a data-sync as people call them.
FIGURES = {
    "run": "data-sync",
    "rows_done": "rows received",
    "blobs_done": "files received",
    "bytes_done": "bytes received",
    "blobs_sent": "files sent",
}


@dataclass(frozen=True)
class Frame:
    """The frame of a page: which box, which role, which site, where else one can go."""

    console: str
    host_name: str
    site_name: str
    role: Role
    state: State
    peer_name: str
    peer_url: str
    tabs: tuple[ShownTab, ...]
    sub_tabs: tuple[ShownTab, ...]
    version: str
    favicon: str

    @property
    def chip(self) -> str:
        """The role in a word; one that has been superseded is primary in name alone."""
        return "Superseded" if self.state == State.P_SUPERSEDED else str(self.role.label)

    @property
    def chip_role(self) -> str:
        """The role whose colour the frame has: none for one that does not serve as primary."""
        return Role.NONE.value if self.state == State.P_SUPERSEDED else self.role.value

    @property
    def is_swapping(self) -> bool:
        """Whether this appliance is in the middle of a role change."""
        return self.state in SWAPPING


SWAPPING = frozenset({State.P_DRAINING, State.B_SYNCING, State.B_READY, State.B_YIELDED})


@register.simple_tag(takes_context=True)
def console_frame(context: template.Context) -> Frame:
    """The frame of this request, made once a request."""
    request: HttpRequest = context["request"]
    made = getattr(request, "console_frame", None)
    if made is None:
        try:
            made = _frame(request)
        except DatabaseError:  # the page of an error must not fail for the same reason
            made = Frame("login", settings.HOST_NAME, "", Role.NONE, State.NONE, "", "", (), (), "", "")
        request.console_frame = made  # type: ignore[attr-defined]
    return made


def _frame(request: HttpRequest) -> Frame:
    state = journal.read().state
    role = role_of(state)
    console = "appliance" if request.path.startswith("/appliance/") else "login"
    relationship = selectors.relationship()
    user = getattr(request, "user", None)
    may_see = user is not None and user.is_authenticated and user.is_staff
    path = getattr(request, "tab_path", request.path)
    tabs = visible_tabs(console, role, user, path) if may_see and user is not None else ()
    return Frame(
        console=console,
        host_name=selectors.this_appliance().host_name,
        site_name=selectors.site().name,
        role=role,
        state=state,
        peer_name=relationship.peer_name if relationship else "",
        peer_url=failover_page_of_peer(relationship) if relationship else "",
        tabs=tabs,
        sub_tabs=next((tab.children for tab in tabs if tab.is_current), ()),
        version=settings.PRODUCT_VERSION,
        favicon=static(f"console/favicon-{'none' if state == State.P_SUPERSEDED else role.value}.svg"),
    )


@register.simple_tag
def situation() -> Situation | None:
    """The situation of the pair, or None while no relationship is established."""
    return read_situation()


@register.simple_tag
def product_build() -> str:
    """The product build of this appliance."""
    return identity.product_build()


@register.filter
def when(moment: dt.datetime | None, now: dt.datetime | None = None) -> SafeString | str:
    """A moment as "12 s ago", with the exact time as its tooltip.

    With the `now` of what the page tells, all its ages are of one moment.
    """
    if moment is None:
        return "never"
    exact = timezone.localtime(moment)
    span = (now or timezone.now()) - moment
    text = f"{ago(span)} ago" if span > -dt.timedelta(seconds=1) else f"in {ago(-span)}"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', moment.isoformat(), exact.strftime("%Y-%m-%d %H:%M:%S %Z"), text
    )


@register.filter
def exactly(moment: dt.datetime | None) -> SafeString | str:
    """A moment to the second, in the time zone of the appliance."""
    if moment is None:
        return "never"
    exact = timezone.localtime(moment)
    return format_html('<time datetime="{}">{}</time>', moment.isoformat(), exact.strftime("%Y-%m-%d %H:%M:%S %Z"))


@register.filter
def span(duration: dt.timedelta | None) -> str:
    """A duration as people say it."""
    return "—" if duration is None else ago(duration)


@register.filter
def seconds_span(seconds: float | None) -> str:
    """A number of seconds as people say it."""
    return "—" if seconds is None else ago(dt.timedelta(seconds=seconds))


@register.filter
def brief(seconds: float | None) -> str:
    """As `seconds_span`, with a decimal where it is short: "0.4 s"."""
    return f"{seconds:.1f} s" if seconds is not None and seconds < 10 else seconds_span(seconds)


@register.filter
def took(run: SyncRun | ServedSync) -> str:
    """How long a data-sync took, or takes already."""
    return brief(max(0.0, ((run.finished_at or timezone.now()) - run.started_at).total_seconds()))


@register.filter
def seconds_since(moment: float) -> str:
    """How long a moment in Unix seconds is ago, as people say it."""
    return ago(timezone.now() - dt.datetime.fromtimestamp(moment, dt.UTC))


@register.filter
def size(value: float | None) -> str:
    """A number of bytes in the unit that fits: "12.4 MB"."""
    amount = float(value or 0)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


@register.filter
def short_build(value: str) -> str:
    """The first twelve digits of the digest in a product build, which is enough to compare by eye."""
    return value.rpartition("build-")[2].rstrip(")")[:12]


@register.filter
def words(name: str) -> str:
    """The name of a fact as words: `last_answer_at` is "last answer at"."""
    return FIGURES.get(str(name)) or str(name).replace("_", " ")
