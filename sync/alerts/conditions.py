"""What the administrators are told of by mail: each condition with the role it belongs to and how to see it.

A look gives the sentence that says what is found, "" where all is well, and None where that cannot be said at this
moment: then nothing begins and nothing ends. After "" "All well again" is mailed: it is given only where that is so.
The words of the mails stand in `templates/emails/<code>.txt`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings

from appliances.choices import ProbeOutcome, Role, State, SyncStatus
from sync import overview, verified
from sync.alerts.sight import Sight
from sync.rules.due import GRANT_ALERT_SECONDS, Hold
from sync.rules.timing import LONGEST_BOOT

BOTH = frozenset({Role.PRIMARY, Role.BACKUP})
PRIMARY = frozenset({Role.PRIMARY})
BACKUP = frozenset({Role.BACKUP})

SOON = Hold(begins=3)  # two or three looks at the peer
SURE = Hold(begins=10)
# What the other appliance, which knows more, tells as well: only if it goes on.
SECOND_HAND = Hold(begins=300)
NAME_FAILURES = 2  # one name look-up may fail by chance

PRODUCT_MISMATCH = "product_mismatch"
PRIMARY_SILENT = "primary_silent"
CUT_OFF = "cut_off"
NO_TEST_IP = "no_test_ip"
TOOK_OVER = "took_over"
BACKUP_SILENT = "backup_silent"
# Who is superseded is no primary in the sense of these, and the peer is none that is its backup.
ENDED_BY_SUPERSEDED = frozenset(
    {TOOK_OVER, "unwell", "not_pulled", "shared_ip_off", "conflict", "not_serving", BACKUP_SILENT}
)


@dataclass(frozen=True)
class Condition:
    """One thing to tell. While it is seen it takes the place of what `replaces` names: that ends without a mail.

    An episode of something that does not `apply` any more lapses: nobody is told that all is well.
    """

    code: str
    roles: frozenset[Role]
    hold: Hold
    look: Callable[[Sight], str | None]
    replaces: frozenset[str] = frozenset()
    applies: Callable[[Sight], bool] = lambda _: True


def _product_mismatch(it: Sight) -> str | None:
    return overview.mismatch(it.known.view) if it.known.said else None


def _primary_silent(it: Sight) -> str | None:
    if it.known.view.outcome != ProbeOutcome.SILENT:
        return "" if it.known.peer_answers or it.known.view.outcome else None
    if it.is_silent and it.is_surely_hearing:
        return it.known.view.detail or "No answer."
    return "" if it.is_deaf else None


def _cut_off(it: Sight) -> str | None:
    if it.known.peer_answers or it.known.view.outcome == ProbeOutcome.REFUSED:
        return ""
    if it.is_silent and it.is_deaf:
        return f"{it.known.view.detail} No answer from {', '.join(it.test_ips)} either."
    return None


def _no_test_ip(it: Sight) -> str | None:
    if it.is_hearing:
        return ""
    if not it.is_deaf:
        return None
    if it.role == Role.BACKUP and not it.known.peer_answers:
        return "" if it.is_silent else None
    return f"No answer from {', '.join(it.test_ips)}."


def _took_over(it: Sight) -> str | None:
    if it.known.is_superseded:
        return None
    if not it.is_without_backup_since_takeover:
        return ""
    seconds = it.known.backup_settings.primary_timeout.total_seconds()
    return f"{it.known.peer_name} was silent for {seconds:.0f} s."


def _backup_off(it: Sight) -> str | None:
    return "" if it.known.backup_operations else "Backup operations are disabled."


def _unwell(it: Sight) -> str | None:
    if it.known.is_superseded:
        return None  # told by itself, and a reason for this
    return "" if it.known.health.is_healthy else it.known.health.message


def _by_name(it: Sight) -> str | None:
    found = it.known.view.by_name
    if not it.known.peer_answers or not found:
        return None
    if found.get("failures", 0) >= NAME_FAILURES:
        return str(found.get("problem"))
    return None if found.get("failures") else ""


def _not_pulled(it: Sight) -> str | None:
    if it.known.is_superseded or it.is_peer_waiting_for_choice:
        return None  # told by itself, and the reason for this
    waited = it.known.now - it.unpulled_since
    if waited <= it.pull_threshold:
        return ""
    return f"No backup has pulled data for {overview.ago(waited)}."


def _shared_ip_off(it: Sight) -> str | None:
    if it.state != State.P_ACTIVE:
        return None
    off = [shared for shared in it.shared_ips if shared.is_listed and not shared.is_held]
    return " ".join(
        f"{shared.address} is not {f'on its interface {shared.interface}' if shared.is_enabled else 'enabled'}."
        for shared in off
    )


def _shared_ip_unlisted(it: Sight) -> str | None:
    return ", ".join(shared.address for shared in it.shared_ips if not shared.is_listed)


def _conflict(it: Sight) -> str | None:
    if it.known.is_conflict:
        return f"Both appliances are {it.role.value}."
    if it.known.is_superseded or it.known.is_peer_superseded:
        return None  # both were primary, and one of them is not backup yet
    return "" if it.known.peer_answers and not it.known.is_same else None


def _superseded(it: Sight) -> str | None:
    if not it.known.is_superseded:
        return ""
    differing = it.known.differing_objects
    differ = f" Their settings differ in {overview.objects(differing)}." if differing else ""
    return f"{it.known.peer_name} has taken the primary role over.{differ}"


def _not_serving(it: Sight) -> str | None:
    if it.known.is_superseded:
        return None
    if it.state != State.P_UNCONFIRMED:
        return ""
    if it.seconds_in_state < LONGEST_BOOT + SURE.begins:
        return None
    if not it.known.health.is_healthy:
        return it.known.health.message
    if it.address_trouble:
        return it.address_trouble
    return "The peer has not confirmed that no other appliance is primary."


def _grant_unanswered(it: Sight) -> str | None:
    if it.state != State.B_YIELDED:
        return ""
    if it.seconds_in_state < GRANT_ALERT_SECONDS:
        return None
    return f"{it.known.peer_name} was to become primary and does not answer."


def _refused(it: Sight) -> str | None:
    match it.known.view.outcome:
        case ProbeOutcome.REFUSED:
            return it.known.view.detail or "It refused the last check."
        case ProbeOutcome.ANSWERED:
            return ""
    return None


def _backup_silent(it: Sight) -> str | None:
    if it.known.peer_answers:
        return ""
    if it.is_without_backup_since_takeover or it.known.is_superseded:
        return None  # told by itself
    return (it.known.view.detail or "No answer.") if it.is_silent and it.known.peer_role == Role.BACKUP else None


def _peer_unwell(it: Sight) -> str | None:
    if not it.known.peer_answers:
        return None
    if it.known.is_peer_superseded:
        return None  # told by itself, and a reason for this
    return it.known.peer_trouble


def _sync_failing(it: Sight) -> str | None:
    known, last = it.known, it.known.last_run
    if not known.peer_answers or not known.backup_operations or overview.mismatch(known.view):
        return None  # told by itself, and the reason for this
    if it.stopped:
        return None  # told by itself, and the reason for this
    has_failed = last is not None and last.status in overview.NOT_DONE
    if has_failed and last is not None and it.last_runs_failed:
        return last.message or last.get_status_display()
    since = known.last_sync_at or it.relationship.established_at
    if known.now - since > 2 * known.interval + overview.LATE_AFTER_MORE:
        return f"The latest good data-sync is too old: {overview.age_of_data(known)}."
    return "" if last is not None and last.status == SyncStatus.SUCCESS else None


def _brake(it: Sight) -> str | None:
    return f"It would delete {' and '.join(it.stopped)}." if it.stopped else ""


def _folder(it: Sight) -> str | None:
    return it.known.folder_trouble


def _corruption(it: Sight) -> str | None:
    return it.corruption


def _lost_files(it: Sight) -> str | None:
    return verified.lost_sentence()


CONDITIONS = (
    Condition(PRODUCT_MISMATCH, BOTH, SOON, _product_mismatch),
    Condition(PRIMARY_SILENT, BACKUP, Hold(begins=0), _primary_silent, frozenset({CUT_OFF})),
    Condition(CUT_OFF, BACKUP, SOON, _cut_off, frozenset({PRIMARY_SILENT, NO_TEST_IP})),
    Condition(NO_TEST_IP, BOTH, SOON, _no_test_ip, frozenset({CUT_OFF}), lambda it: bool(it.test_ips)),
    Condition(
        TOOK_OVER,
        PRIMARY,
        Hold(begins=0),
        _took_over,
        frozenset({PRIMARY_SILENT, CUT_OFF}),
        lambda it: it.taken_over_at is not None,
    ),
    Condition("backup_off", BACKUP, SOON, _backup_off),
    Condition("unwell", BOTH, Hold(begins=20), _unwell),  # a web server that starts takes some seconds
    Condition("by_name", BACKUP, SOON, _by_name, applies=lambda _: settings.LOOK_BY_NAME),
    Condition("not_pulled", PRIMARY, SOON, _not_pulled),
    Condition("shared_ip_off", PRIMARY, SURE, _shared_ip_off),
    Condition("shared_ip_unlisted", BOTH, SOON, _shared_ip_unlisted),
    Condition("conflict", BOTH, SURE, _conflict),
    Condition("superseded", BOTH, SURE, _superseded, ENDED_BY_SUPERSEDED),
    Condition("not_serving", BOTH, SOON, _not_serving),
    Condition("grant_unanswered", BOTH, SOON, _grant_unanswered),
    Condition("refused", BACKUP, SURE, _refused, frozenset({PRIMARY_SILENT, CUT_OFF})),
    Condition("refused", PRIMARY, Hold(begins=120), _refused, frozenset({BACKUP_SILENT})),
    Condition(BACKUP_SILENT, PRIMARY, SECOND_HAND, _backup_silent),
    Condition("peer_unwell", BOTH, SECOND_HAND, _peer_unwell),
    Condition("sync_failing", BACKUP, SURE, _sync_failing),
    Condition("brake", BOTH, SOON, _brake, frozenset({"sync_failing"})),
    Condition("folder", BACKUP, SURE, _folder),
    Condition("corruption", BOTH, SOON, _corruption),
    Condition("lost_files", BOTH, SOON, _lost_files),
)
