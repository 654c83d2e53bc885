"""Host names and addresses that people type."""

from __future__ import annotations

import ipaddress
import re

from django.core.exceptions import ValidationError

MAX_LENGTH = 253
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")


def is_address(value: str) -> bool:
    """Whether it is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def clean_host_name(value: str) -> str:
    """The host name in lower case without a final dot.

    Raises:
        ValidationError: not a host name (an IP address is none).
    """
    name = value.strip().lower().removesuffix(".")
    labels = name.split(".")
    if not name or len(name) > MAX_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValidationError("Enter a host name such as support.example.com: letters, digits, hyphens and dots.")
    if labels[-1].isdigit() or is_address(name):
        raise ValidationError("Enter a host name, not an IP address.")
    return name


def clean_host(value: str) -> str:
    """The host name (as `clean_host_name`) or IP address.

    Raises:
        ValidationError: neither of the two.
    """
    return str(ipaddress.ip_address(value.strip())) if is_address(value.strip()) else clean_host_name(value)
