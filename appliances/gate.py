"""What this appliance may do at this moment, for pages and commands: serve, write, or point to the primary.

The role is known one layer above (`sync`); settings.ROLE_GATE names the function that tells it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import cast

from django.conf import settings
from django.http import HttpRequest
from django.utils.module_loading import import_string

from appliances.choices import Role

_ATTRIBUTE = "_role_gate"


@dataclass(frozen=True)
class Gate:
    """The role of this appliance as pages need it.

    `is_serving`: portal and log-ins of everybody; `is_writable`: synchronised settings may be changed here;
    `operation_running`: a role change holds both consoles; `refuses_log_ins`: users are disconnected until the final
    data-sync is done; `primary_url`: where the primary is, when that is the peer; `sentence`: why this appliance does
    not serve, for people ("" while it serves).
    """

    role: Role
    is_serving: bool
    is_writable: bool
    operation_running: bool = False
    refuses_log_ins: bool = False
    primary_url: str | None = None
    sentence: str = ""


@cache
def _reader(dotted_path: str) -> Callable[[], Gate]:
    return cast("Callable[[], Gate]", import_string(dotted_path))


def read() -> Gate:
    """The role of this appliance at this moment."""
    return _reader(settings.ROLE_GATE)()


def of(request: HttpRequest) -> Gate:
    """The role of this appliance as this request met it; read once for each request."""
    held = getattr(request, _ATTRIBUTE, None)
    if held is None:
        held = read()
        setattr(request, _ATTRIBUTE, held)
    return cast(Gate, held)
