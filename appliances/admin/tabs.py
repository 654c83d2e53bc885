"""The tabs of both consoles as data: what each is called, where it leads, who sees it, and in which role.

A tab whose page is not mounted is not shown, so a page appears in the frame by being mounted under its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, PermissionsMixin
from django.urls import NoReverseMatch, reverse

from appliances.choices import Role

EVERYWHERE = frozenset(Role)
# What the primary's copy replaces at the next data-sync has no place on a backup.
NOT_ON_BACKUP = frozenset({Role.NONE, Role.PRIMARY})


@dataclass(frozen=True)
class Tab:
    """One tab. `permission` is needed to see it ("" for anybody logged in); `children` are its sub-tabs."""

    label: str
    url_name: str = ""
    permission: str = ""
    roles: frozenset[Role] = EVERYWHERE
    children: tuple[Tab, ...] = ()


@dataclass(frozen=True)
class ShownTab:
    """A tab as one request sees it: with its address, and whether it is the current one."""

    label: str
    url: str
    is_current: bool
    children: tuple[ShownTab, ...] = ()


LOGIN_TABS = (
    Tab("Status", "login:index"),
    Tab("My Account", "login:my_account"),
    Tab(
        "Users & Security",
        children=(
            Tab("Accounts", "login:appliances_account_changelist", "appliances.view_account", NOT_ON_BACKUP),
            Tab("Groups", "login:auth_group_changelist", "auth.view_group", NOT_ON_BACKUP),
        ),
    ),
    Tab(
        "Reports",
        children=(
            Tab("Support Sessions", "login:appliances_supportsession_changelist", "appliances.view_supportsession"),
            Tab("Recordings", "login:appliances_recording_changelist", "appliances.view_recording"),
            Tab("Status History", "login:sync_statusevent_changelist", "sync.view_statusevent"),
            Tab("Data-Syncs", "login:sync_syncrun_changelist", "sync.view_syncrun"),
            Tab("Role Changes", "login:sync_rolechange_changelist", "sync.view_rolechange"),
        ),
    ),
    Tab(
        "Public Portals",
        children=(
            Tab(
                "File Store",
                "login:appliances_filestorefile_changelist",
                "appliances.view_filestorefile",
                NOT_ON_BACKUP,
            ),
        ),
    ),
    Tab(
        "Management",
        children=(
            Tab("Software Management", "login:software_management"),
            Tab("Security", "security:key"),
            Tab("Site Configuration", "login:appliances_site_changelist", "appliances.view_site", NOT_ON_BACKUP),
            Tab(
                "Email Configuration",
                "login:appliances_emailconfiguration_changelist",
                "appliances.view_emailconfiguration",
                NOT_ON_BACKUP,
            ),
            Tab("Outbound Events", "login:outbound_events", "", NOT_ON_BACKUP),
            Tab("Cluster", "login:cluster", "", NOT_ON_BACKUP),
            Tab("Failover", "failover:page"),
            Tab(
                "API Configuration",
                "login:appliances_apiconfiguration_changelist",
                "appliances.view_apiconfiguration",
                NOT_ON_BACKUP,
            ),
            Tab(
                "Retention",
                "login:appliances_retentionsettings_changelist",
                "appliances.view_retentionsettings",
                NOT_ON_BACKUP,
            ),
            # On a backup too: each appliance says itself where a folder lies.
            Tab("Folders", "login:appliances_folder_changelist", "appliances.view_folder"),
            Tab("Support", "login:support"),
        ),
    ),
)

APPLIANCE_TABS = (
    Tab("Status", "appliance:index"),
    Tab("My Account", "appliance:my_account"),
    Tab("Networking", children=(Tab("IP Configuration", "appliance:appliances_ipconfig_changelist"),)),
    Tab("Security", children=(Tab("Certificates", "appliance:appliances_certificate_changelist"),)),
    Tab("Support", children=(Tab("Utilities", "appliance:utilities"),)),
)

CONSOLE_TABS = {"login": LOGIN_TABS, "appliance": APPLIANCE_TABS}


def visible_tabs(console: str, role: Role, user: AbstractBaseUser | AnonymousUser, path: str) -> tuple[ShownTab, ...]:
    """The tabs of `console` that `user` may use on an appliance in `role`; the one `path` belongs to is current."""
    found = tuple(shown for tab in CONSOLE_TABS[console] if (shown := _shown(tab, role, user)))
    current = max((url for url in _urls(found) if path.startswith(url)), key=len, default="")
    return tuple(_marked(tab, current, f"/{console}/", path) for tab in found)


def _shown(tab: Tab, role: Role, user: AbstractBaseUser | AnonymousUser) -> ShownTab | None:
    if role not in tab.roles or not _may_see(tab, user):
        return None
    children = tuple(shown for child in tab.children if (shown := _shown(child, role, user)))
    if tab.children:
        return ShownTab(tab.label, children[0].url, False, children) if children else None
    try:
        return ShownTab(tab.label, reverse(tab.url_name), False)
    except NoReverseMatch:
        return None


def _may_see(tab: Tab, user: AbstractBaseUser | AnonymousUser) -> bool:
    if not tab.permission:
        return True
    return isinstance(user, PermissionsMixin) and user.has_perm(tab.permission)


def _urls(tabs: Iterable[ShownTab]) -> Iterable[str]:
    for tab in tabs:
        yield tab.url
        yield from (child.url for child in tab.children)


def _marked(tab: ShownTab, current: str, root: str, path: str) -> ShownTab:
    children = tuple(_marked(child, current, root, path) for child in tab.children)
    here = any(child.is_current for child in children) if children else tab.url == current
    if tab.url == root:
        here = path == root
    return ShownTab(tab.label, tab.url, here, children)
