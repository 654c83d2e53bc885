"""While a superseded primary waits: its version is kept, and both appliances know how many objects differ.

Asked each turn; it compares again only when one of the two heads has moved.
"""

from __future__ import annotations

import logging
from typing import Any

from appliances.choices import BackupReason, Role, Severity, State
from appliances.models import BackupSettings
from sync import history, journal, probes, role_changes
from sync.datasync import backups
from sync.errors import SyncError
from sync.models import PeerView
from sync.overview import objects
from sync.rules.facts import Head
from sync.versions import choose

AGAIN_SECONDS = 15.0  # after a comparison that failed

log = logging.getLogger(__name__)


def count_if_due() -> None:
    """What differs is counted, if this appliance waits and the count is not of the present settings of both."""
    state, known = journal.read(), PeerView.load().differences
    if state.state != State.P_SUPERSEDED:
        if known:
            PeerView.objects.filter(pk=1).update(differences={})
        return
    peer, now = probes.latest_status(), journal.boottime()
    if peer is None or peer.header.state != State.P_ACTIVE:
        return
    heads = f"{_written(state.head)} {_written(peer.header.head)}"
    if known.get("heads") == heads or 0 <= now - known.get("asked", -AGAIN_SECONDS) < AGAIN_SECONDS:
        return
    PeerView.objects.filter(pk=1).update(differences=known | {"asked": now})
    try:
        backups.save(BackupReason.ROLE_CHANGE, f"Superseded by {peer.host_name}")
        it = choose.present()
    except (SyncError, OSError) as error:
        log.warning("the settings of the two cannot be compared", extra={"why": str(error)})
        return
    counted = {"heads": f"{_written(state.head)} {_written(it.compared.head)}", "objects": len(it.found)}
    PeerView.objects.filter(pk=1).update(differences=counted)
    _tell(known, len(it.found), peer.host_name)
    if not it.found:
        _rejoin_if_wanted()


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
