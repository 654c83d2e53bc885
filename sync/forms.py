"""The forms of the Failover and Security pages: what was entered, checked, with a reason beside each field."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError

from appliances import addresses, selectors
from appliances.models import BackupSettings
from sync.rules import timing

MOST_TEST_IPS = 8
HOST_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)
INTERVAL_LIMITS = "Enter a whole number; the interval is from 1 minute to 7 days."
UNITS = {"minutes": dt.timedelta(minutes=1), "hours": dt.timedelta(hours=1), "days": dt.timedelta(days=1)}


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


class BackupSettingsForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """Backup Settings, the interval as a number and a unit."""

    every = forms.IntegerField(
        label="Automatic Data-Sync Interval",
        min_value=1,
        max_value=10080,
        error_messages=dict.fromkeys(("min_value", "max_value", "invalid"), INTERVAL_LIMITS),
        help_text="How often a data-sync starts. What is lost in an unplanned failover is at most this interval plus "
        "the duration of a data-sync. From 1 minute to 7 days.",
    )
    unit = forms.ChoiceField(label="Unit", choices=[(name, name) for name in UNITS])
    timeout_seconds = forms.IntegerField(
        label="Primary Site Instance Timeout",
        required=False,
        min_value=int(timing.MIN_TIMEOUT),
        max_value=int(timing.MAX_TIMEOUT),
        help_text="Seconds that the primary must be silent before this appliance takes over: from 10 to 86400.",
    )

    class Meta:
        model = BackupSettings
        fields = [
            "enable_backup_operations",
            "enable_automatic_failover",
            "connectivity_test_ips",
            "accept_no_test_ips",
            "auto_resolve",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        interval = self.instance.data_sync_interval
        unit = next((name for name in reversed(UNITS) if not interval % UNITS[name]), "minutes")
        self.fields["unit"].initial, self.fields["every"].initial = unit, max(interval // UNITS[unit], 1)
        self.fields["timeout_seconds"].initial = int(self.instance.primary_timeout.total_seconds())

    def clean_connectivity_test_ips(self) -> str:
        """IP addresses, separated by single spaces, that this appliance may ask."""
        typed: str = self.cleaned_data["connectivity_test_ips"]
        found = []
        for word in typed.replace(",", " ").split():
            try:
                address = ipaddress.ip_address(word)
            except ValueError as error:
                raise ValidationError(f"{word} is not an IP address.") from error
            if why := addresses.refusal(address, allow_loopback=settings.ALLOW_LOOPBACK_TARGETS):
                raise ValidationError(f"{word} cannot be a connectivity test IP: {why}.")
            found.append(str(address))
        if len(found) > MOST_TEST_IPS:
            raise ValidationError(f"At most {MOST_TEST_IPS} addresses.")
        return " ".join(dict.fromkeys(found))

    def clean(self) -> dict[str, Any]:
        """The interval within its limits."""
        data = super().clean() or {}
        if data.get("every") and data.get("unit"):
            interval = data["every"] * UNITS[data["unit"]]
            if interval > dt.timedelta(days=7):
                self.add_error("every", INTERVAL_LIMITS)
            self.instance.data_sync_interval = interval
        if data.get("timeout_seconds"):
            self.instance.primary_timeout = dt.timedelta(seconds=data["timeout_seconds"])
        is_unwatched = not data.get("connectivity_test_ips") and not data.get("accept_no_test_ips")
        if data.get("enable_automatic_failover") and is_unwatched and "connectivity_test_ips" not in self.errors:
            self.add_error(
                "connectivity_test_ips",
                "Automatic failover needs at least one address, or the risk accepted below: without one this appliance "
                "cannot tell a dead primary from its own cut line.",
            )
        return data


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
