"""The answers of the reading commands as documents, in the documented order of elements."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from django.utils import timezone

from appliances import selectors
from appliances.api.credentials import may_command
from appliances.choices import Role
from appliances.models import Account
from sync import health, journal, overview
from sync.api.xml import element, optional
from sync.peer import identity
from sync.verified import lost_sentence

API_VERSION = "1.19.0"  # the documented version whose commands and elements these are
# What an API account may be allowed besides commands; an account with a password is allowed none of it.
OTHER_PERMISSIONS = (
    "perm_reporting_support",
    "perm_reporting_presentation",
    "perm_reporting_license",
    "perm_reporting_archive",
    "perm_real_time_state",
    "perm_ecm",
    "perm_backup",
    "perm_scim",
)


def check_health() -> Element:
    """How this appliance is. `success` tells of this appliance alone: a dead peer does not make it unhealthy.

    Nor do stored files that are damaged on both: they are told in `error_message`, and it goes on serving.
    """
    appliance, found, role = selectors.this_appliance(), health.read(), journal.read().role
    return element(
        "health_check",
        [
            element("appliance", appliance.host_name, {"id": appliance.guid}),
            element("version", identity.product_build()),
            element("success", "1" if found.is_healthy else "0"),
            optional("error_message", lost_sentence() if found.is_healthy else found.message),
            element("failover_role", role),
            *(() if role == Role.NONE else _last_data_sync()),
        ],
    )


def _last_data_sync() -> Iterator[Element | None]:
    last = overview.now().last_sync
    if last is None:
        return
    if last.at is not None:
        at = last.at.astimezone(dt.UTC)
        yield element("last_data_sync_time", at.isoformat(timespec="seconds"), {"ts": str(int(at.timestamp()))})
    yield optional("last_data_sync_status", last.status)


def appliances() -> Element:
    """Both appliances of the pair, this one first."""
    appliance, role = selectors.this_appliance(), journal.read().role
    relationship = selectors.relationship()
    reached_by = relationship.reverse_host if relationship else appliance.host_name
    found = [_appliance(appliance.guid, appliance.host_name, reached_by, role)]
    if relationship is not None:
        role_there = overview.now().peer_role or Role.NONE
        found.append(_appliance(relationship.peer_guid, relationship.peer_name, relationship.peer_host, role_there))
    return element("appliances", found)


def _appliance(guid: str, name: str, reached_by: str, role: str) -> Element:
    offset = timezone.localtime().utcoffset() or dt.timedelta()
    return element(
        "appliance",
        [
            element("name", name),
            element("public_hostname", reached_by),
            element("cluster_role", "single"),
            element("failover_role", role),
            element("accepting_connections", "1"),
            element("timezone_offset", str(int(offset.total_seconds()))),
        ],
        {"id": guid},
    )


def api_information(account: Account) -> Element:
    """What the asking account may do here, and the clock of this appliance."""
    permissions = [("perm_command", "full_access" if may_command(account) else "deny")]
    permissions += [(name, "0") for name in OTHER_PERMISSIONS]
    return element(
        "api_information",
        [
            element("api_version", API_VERSION),
            element("company_name", selectors.site().name),
            element("timestamp", str(int(timezone.now().timestamp()))),
            element("permissions", [element("permission", value, {"name": name}) for name, value in permissions]),
        ],
    )
