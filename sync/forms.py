"""The forms of the Failover and Security pages: what was entered, checked, with a reason beside each field."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError

from appliances import selectors

HOST_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)


class HostField(forms.CharField):
    """A host name or an IP address, without scheme, port or path. A pasted `[v6]` address loses its brackets."""

    def __init__(self, **kwargs: Any) -> None:
        attributes = {"autocapitalize": "none", "autocomplete": "off", "spellcheck": "false"}
        super().__init__(max_length=253, widget=forms.TextInput(attrs=attributes), **kwargs)

    def clean(self, value: Any) -> str:
        """The host in lower case."""
        host: str = str(super().clean(value)).strip().strip("[]").rstrip(".").lower()
        if "/" in host:
            raise ValidationError("Enter only the host name or IP address, without https:// and without a path.")
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            pass
        if ":" in host:
            raise ValidationError("The port belongs in the field beside it.")
        labels = host.split(".")
        if labels[-1].isdigit() or not all(HOST_LABEL.fullmatch(label) for label in labels):
            raise ValidationError("This is neither a host name nor an IP address.")
        if host == selectors.site().host_name.lower():
            raise ValidationError(
                f"{host} is the shared host name of the site: it leads to whichever appliance is primary. "
                "Enter the appliance's own name or IP address."
            )
        return host


def _port(help_text: str) -> forms.IntegerField:
    wrong = "A TLS port is a whole number from 1 to 65535."
    return forms.IntegerField(
        label="TLS port",
        min_value=1,
        max_value=65535,
        initial=443,
        help_text=help_text,
        error_messages={"min_value": wrong, "max_value": wrong, "invalid": wrong},
    )


class EstablishForm(forms.Form):
    """The connection details both ways."""

    peer_host = HostField(
        label="Host name or IP address",
        help_text="The appliance that will become the backup. Its own IP address is best.",
    )
    peer_port = _port("")
    reverse_host = HostField(
        label="Host name or IP address",
        help_text="This appliance, as the backup reaches it. Its own IP address is best.",
    )
    reverse_port = _port("")

    def clean(self) -> dict[str, Any]:
        """Both directions lead to different places."""
        data = super().clean() or {}
        peer = (data.get("peer_host"), data.get("peer_port"))
        if None not in peer and peer == (data.get("reverse_host"), data.get("reverse_port")):
            own = suggested_reverse()
            if peer == (own["reverse_host"], own["reverse_port"]):
                self.add_error("peer_host", "This is the address of this appliance itself. Enter the other's.")
            else:
                self.add_error("reverse_host", "This is the other appliance's address. Enter that of this appliance.")
        return data


class ChangeForm(forms.Form):
    """The boxes beside Become Backup and Become Primary. `accept_loss` is asked for only where something is lost."""

    want_final_sync = forms.BooleanField(required=False)
    without_peer = forms.BooleanField(required=False)
    accept_loss = forms.BooleanField(required=False)


class TypeKeyForm(forms.Form):
    """The inter-appliance key as the other appliance showed it."""

    typed = forms.CharField(
        label="Inter-appliance key",
        max_length=500,
        strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}),
        help_text="Enter the same key on both appliances. Spaces and hyphens "
        "between the groups of a generated key do not matter.",
    )


def suggested_reverse() -> dict[str, Any]:
    """How the backup most likely reaches this appliance: the first own address it listens on, else its host name."""
    host, _, port = str(settings.LISTEN[0] if settings.LISTEN else "").rpartition(":")
    try:
        usable = not ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        usable = False
    return {
        "peer_port": 443 if not port.isdigit() else int(port),
        "reverse_host": host.strip("[]") if usable else selectors.this_appliance().host_name,
        "reverse_port": int(port) if port.isdigit() else 443,
    }
