"""While a superseded primary waits: its version is kept, and both appliances know how many objects differ.

Each turn looks whether there is something to count; a worker counts, because that waits for the peer and for the disk.
It compares again only when one of the two heads has moved.
"""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction

from appliances.choices import BackupReason, Role, Severity, State
from appliances.models import BackupSettings
from sync import history, journal, probes, role_changes
from sync.datasync import backups
from sync.errors import SyncError
from sync.models import PeerView
from sync.overview import objects
from sync.rules.facts import Head
from sync.versions import choose

AGAIN_SECONDS = 45.0  # after a comparison that failed, or of which nothing was heard: longer than it takes

log = logging.getLogger(__name__)


def is_due() -> bool:
    """Whether what differs is to be counted: this appliance waits, and the count is not of the present settings.

    What was counted is forgotten once this appliance waits no more.
    """
    known = PeerView.load().differences
    if journal.read().state != State.P_SUPERSEDED:
        if known:
            PeerView.objects.filter(pk=1).update(differences={})
        return False
    return _is_stale(known)


def count_if_due() -> None:
    """Count what differs, if that is due and nobody else has begun to."""
    if journal.read().state != State.P_SUPERSEDED:
        return
    with transaction.atomic():
        PeerView.load()
        view = PeerView.objects.select_for_update().get(pk=1)
        known = dict(view.differences)
        if not _is_stale(known):
            return
        view.differences = known | {"asked": journal.boottime()}
        view.save(update_fields=["differences"])
    heads, peer = _heads(), probes.latest_status()
    try:
        backups.save(BackupReason.ROLE_CHANGE, f"Superseded by {peer.host_name if peer else 'the peer'}")
        found = len(choose.present().found)
    except (SyncError, OSError) as error:
        log.warning("the settings of the two cannot be compared", extra={"why": str(error)})
        return
    # Of the heads that were known when it began: should they be older than what was compared, it is counted once more.
    PeerView.objects.filter(pk=1).update(differences={"heads": heads, "objects": found})
    _tell(known, found, peer.host_name if peer else "the peer")
    if not found:
        _rejoin_if_wanted()


def _is_stale(known: dict[str, Any]) -> bool:
    heads = _heads()
    has_begun = 0 <= journal.boottime() - known.get("asked", -AGAIN_SECONDS) < AGAIN_SECONDS
    return bool(heads) and known.get("heads") != heads and not has_begun


def _heads() -> str:
    """The versions of both, as far as they are known; empty while the peer is not known to serve."""
    peer = probes.latest_status()
    if peer is None or peer.header.state != State.P_ACTIVE:
        return ""
    return f"{_written(journal.read().head)} {_written(peer.header.head)}"


def _tell(known: dict[str, Any], count: int, peer: str) -> None:
    if count and not known.get("objects"):  # told once: the pages follow the count from then on
        history.record(
            "return.waits",
            f"This appliance waits: its settings differ from those of {peer} in {objects(count)}. "
            "Choose on its Failover page which to keep; nothing is overwritten before.",
            severity=Severity.WARNING,
            evidence={"objects": count},
        )


def _rejoin_if_wanted() -> None:
    """The heads differ, but the settings are the same: waiting has no reason."""
    if not BackupSettings.load().auto_resolve:
        return
    try:
        role_changes.request(
            Role.BACKUP, want_final_sync=False, without_peer=False, requested_by="This appliance, with equal settings"
        )
    except SyncError as error:
        log.info("did not rejoin", extra={"why": str(error)})


def _written(head: Head) -> str:
    return f"{head.term}.{head.seq}"
