"""The parameters of a command: from the query string and the body, in any order, each at most once."""

from __future__ import annotations

from collections.abc import Mapping

from django.http import QueryDict

KNOWN = ("action", "username", "password", "role", "data_sync_first", "force")
MAX_BODY_BYTES = 64 * 1024
MAX_QUERY_BYTES = 16 * 1024


class BadParameters(Exception):
    """The parameters cannot be used; the text says which and why."""


def collect(query: QueryDict, body: object) -> dict[str, str]:
    """The known parameters that were given; others are left aside, as clients send some of their own.

    Raises:
        BadParameters: one was given more than once, or as a file.
    """
    found: dict[str, str] = {}
    for source in (query, body):
        if not isinstance(source, QueryDict):
            continue
        for name in KNOWN:
            for value in source.getlist(name):
                if name in found:
                    raise BadParameters(f"The parameter {name} was given more than once.")
                if not isinstance(value, str):
                    raise BadParameters(f"The parameter {name} must be a text.")
                found[name] = value
    return found


def switch(parameters: Mapping[str, str], name: str) -> bool:
    """A parameter that is 1 or 0; absent or empty means 0.

    Raises:
        BadParameters: it is something else.
    """
    value = parameters.get(name, "")
    if value not in ("", "0", "1"):
        raise BadParameters(f"The parameter {name} must be 1 or 0.")
    return value == "1"
