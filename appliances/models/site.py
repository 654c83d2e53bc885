"""The site that both appliances can serve."""

from __future__ import annotations

from django.db import models

from appliances.models.base import Singleton


class Site(Singleton):
    """The site: the public name that both appliances share, and what its portal says."""

    host_name = models.CharField(
        "Public host name",
        max_length=253,
        default="support.example.com",
        help_text="The name that users type. It leads to whichever appliance is primary, so it can never be "
        "used to reach one certain appliance.",
    )
    name = models.CharField("Site name", max_length=200, default="Support Portal")
    portal_text = models.TextField("Portal text", blank=True, default="Welcome. How can we help?")

    class Meta:
        verbose_name = verbose_name_plural = "Site configuration"

    def __str__(self) -> str:
        return self.name
