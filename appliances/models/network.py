"""The addresses of this appliance, and which of them move with the role. Never synchronised."""

from __future__ import annotations

import ipaddress

from django.core.validators import RegexValidator
from django.db import models

INTERFACE_NAME = RegexValidator(r"\A[^\s/]{1,15}\Z", "The name of a network interface has 1 to 15 characters.")


class IPConfig(models.Model):
    """One address of this appliance as Networking > IP Configuration lists it.

    `enabled` is what the administrator wants; whether the address is on its interface is asked of the kernel.
    """

    address = models.GenericIPAddressField(
        "IP address", unique=True, error_messages={"unique": "This address is in the list already."}
    )
    prefix_length = models.PositiveSmallIntegerField("Prefix length")
    interface = models.CharField("Interface", max_length=15, validators=[INTERFACE_NAME])
    enabled = models.BooleanField("Enabled", default=True)

    class Meta:
        verbose_name = "IP address"
        verbose_name_plural = "IP configuration"
        ordering = ["interface", "address"]

    def __str__(self) -> str:
        return self.with_prefix

    @property
    def with_prefix(self) -> str:
        """The address as address/prefix."""
        return f"{self.address}/{self.prefix_length}"

    @property
    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        """The network that the address lies in."""
        return ipaddress.ip_network(self.with_prefix, strict=False)


class SharedIP(models.Model):
    """A tick of the Failover page: this address belongs to whichever appliance is primary.

    It stands apart from `IPConfig`, so that it outlives the address there: an appliance that has lost a shared IP from
    its list cannot serve under it, and says so.
    """

    address = models.GenericIPAddressField("Shared IP", unique=True)

    class Meta:
        verbose_name = "Shared IP"
        ordering = ["address"]

    def __str__(self) -> str:
        return self.address
