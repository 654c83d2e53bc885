"""The brake: what would delete much of what is here stops, and goes on only when somebody has allowed exactly that.

What stopped stands in the database with the fingerprint of what it would delete. Allowed, the next attempt that would
delete the same goes on; one that would delete anything else asks again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from blake3 import blake3
from django.db import transaction
from django.utils import timezone

from appliances.choices import BrakeSubject, Severity
from sync import history
from sync.datasync.refusals import refused
from sync.errors import SyncRefused
from sync.models import BrakeStop
from sync.rules import brake
from sync.rules.brake import Removal
from sync.rules.snapshot import Refusal

NAMED = 20  # things named on the page
SHORT_BYTES = 8  # of the hash of a key


def check(
    subject: BrakeSubject,
    removals: Iterable[Removal],
    doomed: Iterable[str],
    names: Sequence[str] = (),
    *,
    refusal: Refusal = Refusal.MASS_DELETION,
) -> None:
    """Raises SyncRefused (`refusal`) if so much would be deleted, unless that was allowed, or more of the same.

    `doomed` tells what is deleted: a key for each thing; `names` are those that the page shows.
    """
    listed = list(removals)
    what = brake.stopped(listed)
    if not what:
        clear(subject)
        return
    keys = sorted(doomed)
    if _is_allowed(subject, keys):
        return
    stop(subject, fingerprint_of(keys), what, names, keys)
    raise refused(refusal, f"It would delete {what}.")


def _is_allowed(subject: BrakeSubject, keys: Sequence[str]) -> bool:
    """Whether all of this was allowed: the whole, or what a data-sync that was cut left of it."""
    allowed = BrakeStop.objects.filter(subject=subject, allowed_at__isnull=False).first()
    if allowed is None:
        return False
    held = bytes(allowed.doomed)
    return _short(keys) <= {held[at : at + SHORT_BYTES] for at in range(0, len(held), SHORT_BYTES)}


def _short(keys: Iterable[str]) -> set[bytes]:
    return {blake3(key.encode()).digest(length=SHORT_BYTES) for key in keys}


def stop(
    subject: BrakeSubject, fingerprint: str, what: str, names: Sequence[str] = (), keys: Iterable[str] = ()
) -> None:
    """What would delete this waits for somebody; told once for each fingerprint."""
    fields: dict[str, object] = {"fingerprint": fingerprint, "what": what[:500], "names": list(names[:NAMED])}
    fields["doomed"] = b"".join(sorted(_short(keys)))
    fields |= {"stopped_at": timezone.now(), "allowed_at": None, "allowed_by": ""}
    with transaction.atomic():
        found, is_new = BrakeStop.objects.select_for_update().get_or_create(subject=subject, defaults=fields)
        if not is_new and found.fingerprint == fingerprint:  # waits already, or was allowed since it was looked at
            BrakeStop.objects.filter(subject=subject).update(what=fields["what"], names=fields["names"])
            return
        if not is_new:
            BrakeStop.objects.filter(subject=subject).update(**fields)
        history.record(
            "brake.stopped",
            f"{BrakeSubject(subject).label} stopped before anything was deleted: it would delete {what}.",
            severity=Severity.WARNING,
            evidence={"names": list(names[:NAMED])},
        )


def fingerprint_of(doomed: Iterable[str]) -> str:
    """The fingerprint of what would be deleted, in whatever order it comes."""
    return blake3("\n".join(sorted(doomed)).encode()).hexdigest()


def allow(fingerprint: str, allowed_by: str) -> BrakeStop:
    """What stopped may delete exactly that.

    Raises:
        SyncRefused: nothing with this fingerprint waits any more.
    """
    with transaction.atomic():
        asked = BrakeStop.objects.select_for_update().filter(fingerprint=fingerprint, allowed_at=None)
        found = asked.first()
        # What stops meanwhile puts another fingerprint on the row: that one is not allowed with it.
        if found is None or not asked.update(allowed_at=timezone.now(), allowed_by=allowed_by[:200]):
            raise SyncRefused(
                "changed_meanwhile",
                "What waited has changed meanwhile, so nothing was allowed.",
                remedy="Look again at what would be deleted now.",
            )
        history.record(
            "brake.allowed",
            f"{allowed_by} allowed {found.get_subject_display().lower()} to delete {found.what}.",
            severity=Severity.WARNING,
            evidence={"names": found.names},
        )
    return found


def take_back(fingerprint: str, taken_by: str) -> BrakeStop:
    """What was allowed, and has not been deleted yet, waits again.

    Raises:
        SyncRefused: nothing with this fingerprint is allowed any more.
    """
    with transaction.atomic():
        allowed = BrakeStop.objects.select_for_update().filter(fingerprint=fingerprint, allowed_at__isnull=False)
        found = allowed.first()
        if found is None or not allowed.update(allowed_at=None, allowed_by=""):
            raise SyncRefused(
                "changed_meanwhile",
                "This deletion was done, or taken back, meanwhile.",
                remedy="Look at Status History and at Data-Syncs.",
            )
        history.record(
            "brake.taken_back",
            f"{taken_by} took back the leave of {found.get_subject_display().lower()} to delete {found.what}.",
            evidence={"names": found.names},
        )
    return found


def clear(*subjects: BrakeSubject) -> None:
    """Nothing waits of these any more, and what was allowed is done."""
    BrakeStop.objects.filter(subject__in=subjects).delete()
