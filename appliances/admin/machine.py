"""What the Status pages of the two consoles tell about this machine and its content."""

from __future__ import annotations

import datetime as dt
import platform
import shutil
import time
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Sum
from django.utils import timezone

from appliances import selectors
from appliances.host.interfaces import Interface, interfaces
from appliances.models import Account, FileStoreFile, Recording, SupportSession


@dataclass(frozen=True)
class Counts:
    """How much the site holds."""

    accounts: int
    files: int
    files_bytes: int
    sessions: int
    recordings: int
    recordings_bytes: int
    latest_session_at: dt.datetime | None


@dataclass(frozen=True)
class Basics:
    """The machine: who it is, its addresses, its disk."""

    host_name: str
    appliance_id: str
    in_service_since: dt.datetime
    system: str
    up_since: dt.datetime | None
    listening_on: tuple[str, ...]
    interfaces: tuple[Interface, ...]
    disk_total_bytes: int
    disk_used_bytes: int
    disk_free_bytes: int

    @property
    def disk_is_short(self) -> bool:
        """Whether less than a tenth of the disk is free."""
        return self.disk_free_bytes * 10 < self.disk_total_bytes


def counts() -> Counts:
    """How much the site holds, counted now."""
    files = FileStoreFile.objects.aggregate(total=Sum("size_bytes"))["total"] or 0
    recordings = Recording.objects.aggregate(total=Sum("size_bytes"))["total"] or 0
    latest = SupportSession.objects.order_by("-started_at").values_list("started_at", flat=True).first()
    return Counts(
        accounts=Account.objects.filter(is_active=True).count(),
        files=FileStoreFile.objects.count(),
        files_bytes=files,
        sessions=SupportSession.objects.count(),
        recordings=Recording.objects.count(),
        recordings_bytes=recordings,
        latest_session_at=latest,
    )


def basics() -> Basics:
    """The machine as the operating system describes it now."""
    appliance = selectors.this_appliance()
    disk = shutil.disk_usage(settings.DATA_DIR)
    return Basics(
        host_name=appliance.host_name,
        appliance_id=appliance.guid,
        in_service_since=appliance.created_at,
        system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        up_since=timezone.now() - dt.timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME)),
        listening_on=tuple(settings.LISTEN),
        interfaces=interfaces(),
        disk_total_bytes=disk.total,
        disk_used_bytes=disk.used,
        disk_free_bytes=disk.free,
    )
