"""The recommended settings of the normal primary and of the normal backup, and where this appliance differs.

The normal primary is the founding primary: the appliance on which the relationship was established. Each appliance has
its own settings, in force while it is the backup: for the normal primary that is the time of maintenance.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from appliances.models import BackupSettings
from sync.models import SyncRun
from sync.overview import ago

A_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Advice:
    """One row: what is recommended, what is set here, and why. `differs`: what is set here is not what is advised."""

    setting: str
    primary: str
    backup: str
    here: str
    reason: str
    differs: bool = False


def advice(chosen: BackupSettings, *, is_normal_primary: bool, last_run: SyncRun | None) -> list[Advice]:
    """The rows for this appliance with the settings `chosen`, saved or not."""
    wanted = not is_normal_primary
    operations, automatic = chosen.enable_backup_operations, chosen.enable_automatic_failover
    return [
        Advice(
            "Enable Backup Operations",
            "Off",
            "On",
            _on(operations),
            "Data-syncs and automatic failover by the normal primary get in the way of maintenance; those by the "
            "normal backup are what protects the site.",
            operations != wanted,
        ),
        _interval(chosen, is_normal_primary),
        _bandwidth(chosen, last_run),
        Advice(
            "Enable Automatic Failover",
            "Off",
            "On with a shared IP, else your choice",
            _on(automatic),
            "A take-over without a last data-sync loses what came after the previous one. The normal primary, in "
            "maintenance, should not risk that.",
            automatic and is_normal_primary,
        ),
        Advice(
            "Primary Site Instance Timeout",
            "Does not matter",
            "Your choice",
            ago(chosen.primary_timeout),
            "Short: less time without service. Long: no take-over for a restart or a short fault of the network.",
        ),
    ]


def _interval(chosen: BackupSettings, is_normal_primary: bool) -> Advice:
    every = chosen.data_sync_interval
    return Advice(
        "Automatic Data-Sync Interval",
        "Does not matter",
        "Your choice, at least daily",
        ago(every),
        "The rarer the data-syncs, the more an unplanned failover loses.",
        not is_normal_primary and every > A_DAY,
    )


def _bandwidth(chosen: BackupSettings, last_run: SyncRun | None) -> Advice:
    took = last_run.finished_at - last_run.started_at if last_run and last_run.finished_at else None
    is_slow = took is not None and took > chosen.data_sync_interval
    reason = "Any limit will do with which a data-sync ends before the next one is due. The backup's counts."
    if took is not None and is_slow:
        reason = f"The last data-sync took {ago(took)}, longer than the interval: raise the limit or the interval."
    return Advice(
        "Data-Sync Bandwidth Limit", "Your choice", "Your choice", chosen.bandwidth_text or "no limit", reason, is_slow
    )


def _on(value: bool) -> str:
    return "On" if value else "Off"
