"""Which pages work where: every exemption of `appliances.middleware` stands here.

Pages are named by the beginning of their URL name (`namespace:name`) or of their path.
"""

from __future__ import annotations

# Paths that answer in every role and under every host name: they prove who asks by themselves, or tell nothing.
# The peer's calls come under the address that the other administrator typed, a load balancer's under any name.
OWN_RULES = ("/peer/", "/api/", "/check_health", "/static/")

# The two consoles; every other path is the portal, which the serving appliance alone shows.
CONSOLES = ("/login", "/appliance")

LOGGING_IN_AND_OUT = ("login:login", "login:logout", "appliance:login", "appliance:logout")

# May be written on any appliance: none of it is synchronised, so the next data-sync overwrites none of it.
NODE_LOCAL = (
    *LOGGING_IN_AND_OUT,
    "failover:",
    "security:",
    "login:appliances_backupsettings_",
    "login:appliances_folder_change",
    "login:appliances_folder_agree",
    "appliance:",
)
# Exceptions from the line above: accounts are synchronised, on whichever console they are changed.
SYNCHRONISED = ("appliance:password_change", "appliance:auth_", "appliance:appliances_account_")

# May be written while a role change holds both consoles. The last two refuse by themselves as long as the peer answers;
# when the peer is gone, they are the way out.
DURING_AN_OPERATION = (*LOGGING_IN_AND_OUT, "failover:cancel", "failover:role-change", "failover:break")


def is_one_of(view_name: str, beginnings: tuple[str, ...]) -> bool:
    """Whether the URL name begins with one of these."""
    return view_name.startswith(beginnings)


def is_node_local(view_name: str) -> bool:
    """Whether what this page writes stays on this appliance."""
    return is_one_of(view_name, NODE_LOCAL) and not is_one_of(view_name, SYNCHRONISED)


def is_console(path: str) -> bool:
    """Whether the path belongs to one of the two consoles."""
    return any(path == console or path.startswith(f"{console}/") for console in CONSOLES)
