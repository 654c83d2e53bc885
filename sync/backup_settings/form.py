"""The form of Backup Settings: what was entered, checked, with a sentence beside the field that says what to do."""

from __future__ import annotations

import datetime as dt
import ipaddress
from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError

from appliances import addresses
from appliances.choices import RateUnit
from appliances.models import BackupSettings
from sync.rules import timing

MOST_TEST_IPS = 8
LEAST_BANDWIDTH = 10_000  # bytes a second; below, even an idle pair could not keep up
MOST_BANDWIDTH = 10_000_000_000
INTERVAL_LIMITS = "Enter a whole number; the interval is from 1 minute to 7 days."
TIMEOUT_LIMITS = "Enter a whole number of seconds from 10 to 86400, which is 24 hours."
SECONDS_LIMITS = "Enter a number of seconds, or leave the field empty."
ALERT_LIMITS = "Enter a whole number of minutes from 1 to 43200, which is 30 days, or leave the field empty."
UNITS = {"minutes": dt.timedelta(minutes=1), "hours": dt.timedelta(hours=1), "days": dt.timedelta(days=1)}
# The field that shows a problem of the times, by the name that `sync.rules.timing` gives it.
FIELD_OF = {
    "timeout": "timeout_seconds",
    "interval": "probe_interval",
    "lifetime": "address_lifetime",
    "isolation": "isolation_time",
}


def _limits(sentence: str) -> dict[str, str]:
    names = ("required", "min_value", "max_value", "invalid", "max_digits", "max_whole_digits")
    return dict.fromkeys(names, sentence)


def _number(placeholder: str = "") -> forms.TextInput:
    """A field for a number that sends what was typed: one of type=number sends nothing for what it cannot read."""
    attributes = {"inputmode": "decimal", "autocomplete": "off"}
    return forms.TextInput(attrs=attributes | ({"placeholder": placeholder} if placeholder else {}))


class BackupSettingsForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """Backup Settings: the interval as a number and a unit, the times as seconds."""

    every = forms.IntegerField(
        label="Automatic Data-Sync Interval",
        widget=_number(),
        min_value=1,
        max_value=10080,
        error_messages=_limits(INTERVAL_LIMITS),
        help_text="From the start of one data-sync to the start of the next, 1 minute to 7 days. An unplanned failover "
        "loses at most what changed in this time and while a data-sync runs.",
    )
    unit = forms.ChoiceField(label="Unit of the interval", choices=[(name, name) for name in UNITS])
    bandwidth_limit = forms.DecimalField(
        label="Data-Sync Bandwidth Limit",
        required=False,
        min_value=Decimal(0),
        max_digits=8,
        decimal_places=3,
        error_messages=_limits("Enter a number such as 2.5, or leave the field empty for no limit."),
        widget=_number("no limit"),
        help_text="The most that data-syncs take of the line, at least 10 kB/s. Empty: no limit. The limit of the "
        "backup counts; a running data-sync follows within 2 seconds.",
    )
    bandwidth_unit = forms.ChoiceField(label="Unit of the limit", choices=RateUnit.choices, required=False)
    timeout_seconds = forms.IntegerField(
        label="Primary Site Instance Timeout",
        widget=_number(),
        min_value=int(timing.MIN_TIMEOUT),
        max_value=int(timing.MAX_TIMEOUT),
        error_messages=_limits(TIMEOUT_LIMITS),
        help_text="How long the primary must be silent before this appliance takes over: from 10 seconds to 24 hours.",
    )
    probe_interval = forms.FloatField(
        label="Probe Interval",
        widget=_number(),
        required=False,
        min_value=timing.SHORTEST_INTERVAL,
        max_value=timing.LONGEST_INTERVAL,
        error_messages=_limits("Enter 1 to 3 seconds, or leave the field empty."),
        help_text="How often the peer is asked, and how long it may take to answer.",
    )
    isolation_time = forms.FloatField(
        label="Isolation Timer",
        widget=_number(),
        required=False,
        min_value=1.0,
        max_value=timing.MAX_TIMEOUT,
        error_messages=_limits(SECONDS_LIMITS),
        help_text="How long a primary that hears neither the peer nor a test IP goes on serving.",
    )
    address_lifetime = forms.IntegerField(
        label="Address Lifetime",
        widget=_number(),
        required=False,
        min_value=timing.SHORTEST_LIFETIME,
        max_value=3600,
        error_messages=_limits("Enter a whole number of seconds, at least 3, or leave the field empty."),
        help_text="A primary that stood still for so long stops serving. This installation takes no address off.",
    )
    pull_alert_minutes = forms.IntegerField(
        label="Alert when no backup has pulled data for",
        required=False,
        min_value=1,
        max_value=43200,
        error_messages=_limits(ALERT_LIMITS),
        widget=_number("automatic"),
        help_text="The admin contacts of Email Configuration get a mail then. Empty: after twice the interval of the "
        "backup, but at least one hour.",
    )

    class Meta:
        model = BackupSettings
        fields = [
            "enable_backup_operations",
            "bandwidth_limit",
            "bandwidth_unit",
            "enable_automatic_failover",
            "probe_interval",
            "address_lifetime",
            "isolation_time",
            "connectivity_test_ips",
            "accept_no_test_ips",
            "auto_resolve",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._times: tuple[float, timing.Entered] | None = None
        self.unusable_times: list[str] = []  # labels of the times that are not drawn: nothing can be read there
        interval = self.instance.data_sync_interval
        unit = next((name for name in reversed(UNITS) if not interval % UNITS[name]), "minutes")
        self.initial = {
            **self.initial,
            "unit": unit,
            "every": max(interval // UNITS[unit], 1),
            "timeout_seconds": int(self.instance.primary_timeout.total_seconds()),
        }
        if self.instance.pull_alert_after is not None:
            self.initial["pull_alert_minutes"] = self.instance.pull_alert_after // UNITS["minutes"]
        if self.instance.bandwidth_limit is not None:
            self.initial["bandwidth_limit"] = f"{self.instance.bandwidth_limit.normalize():f}"

    @property
    def times(self) -> tuple[float, timing.Entered]:
        """The timeout and the other times as entered, whether or not they go together; unusable ones as before."""
        if self._times is None:
            data = getattr(self, "cleaned_data", {})
            found: dict[str, Any] = {name: data.get(field, self.initial.get(field)) for name, field in FIELD_OF.items()}
            timeout = float(found.pop("timeout") or self.initial["timeout_seconds"])
            self._times = timeout, timing.Entered(**found)
        return self._times

    @property
    def own_times(self) -> list[forms.BoundField]:
        """The fields of the times that are usually derived."""
        return [self[name] for name in ("isolation_time", "address_lifetime", "probe_interval")]

    @property
    def has_own_times(self) -> bool:
        """Whether a time that is usually derived was entered, or is wrong."""
        return any(field.value() not in (None, "") or field.errors for field in self.own_times)

    def clean_bandwidth_limit(self) -> Decimal | None:
        """No limit, or one that a data-sync can live with."""
        limit: Decimal | None = self.cleaned_data["bandwidth_limit"]
        return limit or None

    def clean_bandwidth_unit(self) -> str:
        """The unit that was chosen, else the one of before."""
        return self.cleaned_data["bandwidth_unit"] or str(self.instance.bandwidth_unit)

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
        """What the fields say together."""
        data = super().clean() or {}
        self._check_interval(data)
        self._check_bandwidth(data)
        self._check_times(data)
        minutes = data.get("pull_alert_minutes")
        self.instance.pull_alert_after = dt.timedelta(minutes=minutes) if minutes else None
        is_unwatched = not data.get("connectivity_test_ips") and not data.get("accept_no_test_ips")
        if data.get("enable_automatic_failover") and is_unwatched and "connectivity_test_ips" not in self.errors:
            self.add_error(
                "connectivity_test_ips",
                "Automatic failover needs at least one address, or the risk accepted below: without one this appliance "
                "cannot tell a dead primary from its own cut line.",
            )
        return data

    def _check_interval(self, data: dict[str, Any]) -> None:
        if data.get("every") and data.get("unit"):
            interval = data["every"] * UNITS[data["unit"]]
            if interval > dt.timedelta(days=7):
                self.add_error("every", INTERVAL_LIMITS)
            self.instance.data_sync_interval = interval

    def _check_bandwidth(self, data: dict[str, Any]) -> None:
        if not data.get("bandwidth_limit"):
            return
        asked = BackupSettings(bandwidth_limit=data["bandwidth_limit"], bandwidth_unit=data["bandwidth_unit"])
        if asked.bandwidth_bytes < LEAST_BANDWIDTH:
            self.add_error("bandwidth_limit", "Enter at least 10 kB/s, or leave the field empty for no limit.")
        elif asked.bandwidth_bytes > MOST_BANDWIDTH:
            self.add_error("bandwidth_limit", "No line is as fast. Leave the field empty for no limit.")

    def _check_times(self, data: dict[str, Any]) -> None:
        if data.get("timeout_seconds"):
            self.instance.primary_timeout = dt.timedelta(seconds=data["timeout_seconds"])
        self.unusable_times = [str(self.fields[name].label) for name in FIELD_OF.values() if name in self.errors]
        if not self.unusable_times:
            for problem in timing.problems(*self.times):
                self.add_error(FIELD_OF[problem.name], problem.sentence)
