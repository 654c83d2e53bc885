"""Settings of the `/login` interface: synchronised ones, and the backup settings, which stay on each appliance."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction

from appliances import secrets
from appliances.choices import RateUnit, SmtpEncryption
from appliances.models.base import Singleton


class EmailConfiguration(Singleton):
    """How this site sends mail. Synchronised: the primary's replaces the backup's."""

    from_address = models.EmailField("From address", blank=True)
    relay_host = models.CharField("SMTP relay server", max_length=253, blank=True)
    relay_port = models.PositiveIntegerField(
        "Port", default=25, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    encryption = models.CharField(
        "Encryption", max_length=10, choices=SmtpEncryption.choices, default=SmtpEncryption.NONE
    )
    username = models.CharField("User name", max_length=200, blank=True)
    sealed_password = models.BinaryField(editable=False, default=bytes)
    admin_contacts = models.CharField(
        "Admin contacts", max_length=2000, blank=True, help_text="E-mail addresses, separated by spaces."
    )

    class Meta:
        verbose_name = verbose_name_plural = "Email configuration"

    def __str__(self) -> str:
        return "Email configuration"

    @property
    def password(self) -> str:
        """The password for the SMTP server, empty if none is set."""
        if not self.sealed_password:
            return ""
        return secrets.unseal(bytes(self.sealed_password), "email_configuration|1|password").decode()

    @password.setter
    def password(self, value: str) -> None:
        self.sealed_password = secrets.seal(value.encode(), "email_configuration|1|password") if value else b""

    @property
    def recipients(self) -> list[str]:
        """The addresses that alerts go to."""
        return self.admin_contacts.split()


class ApiConfiguration(Singleton):
    """Which APIs are open. Synchronised."""

    enable_xml_api = models.BooleanField("Enable XML API", default=True)
    enable_session_api = models.BooleanField(
        "Take in support sessions and recordings",
        default=True,
        help_text="Over /api/v1, by accounts with the permission “May bring in support sessions and recordings”.",
    )

    class Meta:
        verbose_name = verbose_name_plural = "API configuration"

    def __str__(self) -> str:
        return "API configuration"


class RetentionSettings(Singleton):
    """How long sessions and recordings are kept. Synchronised; in force on the serving primary."""

    keep_sessions_days = models.PositiveIntegerField(
        "Keep support sessions for (days)",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(36_500)],
        help_text="Counted from the end of a session, which goes with its event log and its recordings. Empty: for "
        "good.",
    )
    keep_recordings_days = models.PositiveIntegerField(
        "Keep recordings for (days)",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(36_500)],
        help_text="Counted from the beginning of a recording. Empty: as long as its session.",
    )
    max_recordings_gigabytes = models.PositiveIntegerField(
        "Keep recordings up to a total of (GB)",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(10_000_000)],
        help_text="Beyond that the oldest ones go. Empty: no limit.",
    )
    # What was past its time by then may be deleted, however much it is: somebody has agreed to it.
    agreed_at = models.DateTimeField("Deletion agreed to", null=True, editable=False)

    class Meta:
        verbose_name = verbose_name_plural = "Retention"

    def __str__(self) -> str:
        return "Retention"


BYTES_A_SECOND = {RateUnit.KILOBYTES: 1_000, RateUnit.MEGABYTES: 1_000_000, RateUnit.MEGABITS: 125_000}


class BackupSettings(Singleton):
    """Settings in force while this appliance is the backup. Never synchronised: each appliance has its own.

    `pull_alert_after` alone is in force while it is the primary. `announcement` names what the primary has to have
    heard of before this appliance may take over by itself; it is another one after each change that asks more of it.
    """

    enable_backup_operations = models.BooleanField(
        "Enable Backup Operations",
        default=True,
        help_text="Automatic data-syncs and automatic failover while this appliance is the backup. "
        "The primary is probed all the same.",
    )
    data_sync_interval = models.DurationField(
        "Automatic Data-Sync Interval",
        default=dt.timedelta(minutes=15),
        validators=[MinValueValidator(dt.timedelta(minutes=1)), MaxValueValidator(dt.timedelta(days=7))],
        help_text="Time from the start of one data-sync to the start of the next: hh:mm:ss, "
        "from one minute to seven days.",
    )
    bandwidth_limit = models.DecimalField(
        "Data-Sync Bandwidth Limit",
        max_digits=8,
        decimal_places=3,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
        help_text="The most that a data-sync takes of the line; empty or 0: no limit.",
    )
    bandwidth_unit = models.CharField("Unit", max_length=6, choices=RateUnit.choices, default=RateUnit.MEGABYTES)
    enable_automatic_failover = models.BooleanField(
        "Enable Automatic Failover",
        default=False,
        help_text="This appliance becomes primary by itself when the primary has been silent for the whole timeout.",
    )
    primary_timeout = models.DurationField(
        "Primary Site Instance Timeout",
        default=dt.timedelta(minutes=3),
        validators=[MinValueValidator(dt.timedelta(seconds=10)), MaxValueValidator(dt.timedelta(hours=24))],
        help_text="How long the primary must be unreachable before this appliance takes over: hh:mm:ss, "
        "from ten seconds to 24 hours.",
    )
    probe_interval = models.FloatField(
        "Probe Interval", null=True, blank=True, help_text="Seconds; empty: derived from the timeout."
    )
    address_lifetime = models.PositiveSmallIntegerField(
        "Address Lifetime", null=True, blank=True, help_text="Seconds; empty: derived from the timeout."
    )
    isolation_time = models.FloatField(
        "Isolation Timer", null=True, blank=True, help_text="Seconds; empty: derived from the timeout."
    )
    connectivity_test_ips = models.CharField(
        "Network Connectivity Test IPs",
        max_length=400,
        blank=True,
        help_text="Addresses separated by spaces, such as the gateway's. If none of them answers, it is this "
        "appliance that is cut off, and it does not take over.",
    )
    accept_no_test_ips = models.BooleanField(
        "Take over without a connectivity test IP",
        default=False,
        help_text="Without one, a cut line between the two appliances ends with two primaries.",
    )
    auto_resolve = models.BooleanField(
        "Rejoin by itself",
        default=True,
        help_text="An old primary that comes back and holds nothing that the peer lacks becomes its backup by itself.",
    )

    pull_alert_after = models.DurationField(
        "Alert when no backup has pulled data for",
        null=True,
        blank=True,
        validators=[MinValueValidator(dt.timedelta(minutes=1)), MaxValueValidator(dt.timedelta(days=30))],
        help_text="In force while this appliance is the primary. Empty: twice the backup's interval, but at least one "
        "hour.",
    )
    announcement = models.CharField(max_length=32, default="", editable=False)

    class Meta:
        verbose_name = verbose_name_plural = "Backup settings"

    def save(self, *args: Any, **options: Any) -> None:
        """Save, under a new announcement if a primary that has heard of the former settings does not keep to these."""
        with transaction.atomic():
            before = BackupSettings.objects.select_for_update().filter(pk=1).first()
            is_covered = before is not None and self._is_covered_by(before)
            self.announcement = before.announcement if before and is_covered else uuid.uuid4().hex
            if options.get("update_fields") is not None:
                options["update_fields"] = {*options["update_fields"], "announcement"}
            super().save(*args, **options)

    def _is_covered_by(self, before: BackupSettings) -> bool:
        """Whether a primary that keeps to `before` keeps to these: nothing of it has changed but for a longer timeout.

        Whether it watches for being cut off depends on there being a test IP, not on which.
        """
        return self._asked == before._asked and self.primary_timeout >= before.primary_timeout

    @property
    def _asked(self) -> tuple[object, ...]:
        is_armed = self.enable_backup_operations and self.enable_automatic_failover
        return is_armed, bool(self.test_ips), self.probe_interval, self.address_lifetime, self.isolation_time

    @property
    def bandwidth_bytes(self) -> int:
        """The most bytes that a data-sync transfers in a second; 0: no limit."""
        return int((self.bandwidth_limit or 0) * BYTES_A_SECOND[RateUnit(self.bandwidth_unit)])

    @property
    def bandwidth_text(self) -> str:
        """The limit as it was entered, empty for none: "2.5 MB/s"."""
        return f"{self.bandwidth_limit.normalize():f} {self.bandwidth_unit}" if self.bandwidth_limit else ""

    @property
    def test_ips(self) -> list[str]:
        """The connectivity test IPs, as addresses."""
        return self.connectivity_test_ips.split()

    def __str__(self) -> str:
        return "Backup settings"
