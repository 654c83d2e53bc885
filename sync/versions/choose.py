"""The two versions of a page, object by object, and what its button does.

`mine` is the version that may be taken from (the settings of this appliance, or a configuration backup), `theirs` the
one that is in force: the primary's, be that the peer or this appliance. What is chosen of `mine` replaces `theirs`.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from appliances import selectors
from appliances.choices import BackupReason, Role, Severity, State
from sync import history, journal, probes, role_changes
from sync.datasync import backups, brake
from sync.errors import ChangeRefused, SyncRefused
from sync.models import ConfigurationBackup
from sync.rules.brake import Removal, stopped
from sync.rules.facts import Header, role_of
from sync.rules.snapshot import Refusal
from sync.versions import compare, merge, primary, shown
from sync.versions.compare import Difference
from sync.versions.objects import Version, kinds

COUNT_SECONDS = 3.0  # a list of backups is not held up for longer than this
NAMED = 8  # objects named in a sentence of Status History; the evidence has all


@dataclass(frozen=True)
class Comparison:
    """Two versions and what differs. `is_here`: the version in force is this appliance's own.

    `mine_name` and `theirs_name` say whose they are; `refusal` why nothing can be chosen now, empty if it can.
    `apart_since` is when the two were equal last, where that is known.
    """

    mine: Version
    theirs: Version
    mine_name: str
    theirs_name: str
    compared: Header
    is_here: bool
    refusal: str
    found: tuple[Difference, ...]
    apart_since: dt.datetime | None = None

    @property
    def stamp(self) -> str:
        """What has to be the same when a choice comes back."""
        return f"{self.compared.own_term}.{self.compared.head.term}.{self.compared.head.seq}"

    def taken(self, chosen: Collection[str]) -> list[Difference]:
        """What is taken over of `mine` when these keys are chosen: with all that they refer to."""
        return merge.with_needed(self.found, chosen)


def present() -> Comparison:
    """The settings of this appliance beside those of its peer; a superseded primary may choose.

    Raises:
        PeerError, SyncRefused: the peer's settings cannot be read.
    """
    theirs = primary.of_peer()
    mine = primary.own()
    refusal = ""
    if role_of(mine.header.state) == Role.BACKUP and theirs.header.head < mine.header.head:
        refusal = (
            f"A data-sync would overwrite what is marked of {_own_name()} with older settings of {_peer_name()}, so "
            f"none is made. If {_own_name()} holds the right ones, make it primary; if {_peer_name()} does, break the "
            f"relationship and establish it again from {_peer_name()}."
        )
    elif mine.header.state != State.P_SUPERSEDED:
        refusal = "There is nothing to decide: this appliance does not wait for a decision."
    elif theirs.header.state != State.P_ACTIVE:
        refusal = f"{_peer_name()} does not serve as primary now. Settle the roles on the Failover page first."
    it = _comparison(mine.version, theirs, (_own_name(), _peer_name()), is_here=False, refusal=refusal)
    said = probes.latest_status()
    if mine.header.state != State.P_SUPERSEDED or said is None or said.last_sync_at is None:
        return it
    return replace(it, apart_since=dt.datetime.fromtimestamp(said.last_sync_at, dt.UTC))


def of_backup(backup: ConfigurationBackup) -> Comparison:
    """A configuration backup beside the settings of the primary, this appliance or its peer.

    Raises:
        PeerError, SyncRefused: the peer's settings cannot be read, or the backup cannot be used.
    """
    kept = Version(backups.read(backup))
    state = journal.read()
    if state.is_writable or state.role == Role.NONE:
        return _comparison(kept, primary.own(), ("The backup", f"{_own_name()} now"), is_here=True, refusal="")
    theirs = primary.of_peer()
    refusal = ""
    if theirs.header.state != State.P_ACTIVE:
        refusal = f"Settings are restored on the primary, and {_peer_name()} does not serve as primary now."
    elif state.state != State.B_IDLE:
        refusal = f"{_own_name()} is {state.state.label.lower()}. Settle the roles on the Failover page first."
    return _comparison(kept, theirs, ("The backup", f"{_peer_name()} now"), is_here=False, refusal=refusal)


@dataclass(frozen=True)
class Deletion:
    """What of a choice deletes much of what is in force: `what` in words, empty if nothing does."""

    what: str
    fingerprint: str


def deletion(it: Comparison, chosen: Collection[str]) -> Deletion:
    """What the brake has to say to this choice."""
    gone = [difference for difference in it.taken(chosen) if difference.mine is None]
    removals = [
        Removal(
            kind.dataset.plural,
            sum(difference.kind is kind for difference in gone),
            len(it.theirs.things[kind.dataset.label]),
        )
        for kind in kinds()
        if kind.dataset.is_named
    ]
    keys = brake.fingerprint_of(difference.key for difference in gone)
    return Deletion(stopped(removals), keys)


def _check_deletion(it: Comparison, chosen: Collection[str], allowed: str) -> None:
    found = deletion(it, chosen)
    if found.what and found.fingerprint != allowed:
        raise SyncRefused(
            Refusal.MASS_DELETION.value,
            f"Nothing was changed: this choice would delete {found.what}.",
            remedy="Look at what will happen once more, and allow exactly that.",
        )


def counts(kept: Iterable[ConfigurationBackup]) -> dict[object, int]:
    """In how many objects each of these differs from the settings in force; those that cannot be compared are left out.

    Raises:
        PeerError, SyncRefused: the settings in force cannot be read.
    """
    state, until = journal.read(), time.monotonic() + COUNT_SECONDS
    is_here = state.is_writable or state.role == Role.NONE
    theirs = (primary.own() if is_here else primary.of_peer()).version
    found: dict[object, int] = {}
    for backup in kept:
        if time.monotonic() > until:
            break
        try:
            found[backup.pk] = len(compare.differences(Version(backups.read(backup)), theirs))
        except SyncRefused:
            continue
    return found


def restore(
    it: Comparison, chosen: Collection[str], backup: ConfigurationBackup, requested_by: str, *, allowed: str = ""
) -> str:
    """The chosen objects are in the settings of the primary as they are in the backup; the sentence about it.

    `allowed` is the fingerprint of a `deletion` that somebody has agreed to.

    Raises:
        SyncRefused, PeerError: nothing was changed.
    """
    taken = _taken(it, chosen)
    _check_deletion(it, chosen, allowed)
    why = f"{requested_by} restored {_named(taken)} from the configuration backup of {backup.made_at:%Y-%m-%d %H:%M}."
    _carry_out(it, taken, requested_by, why)
    if not it.is_here:
        history.record("settings.restored", why, evidence=_evidence(taken, requested_by))
    return why


def rejoin(it: Comparison, chosen: Collection[str], requested_by: str, *, allowed: str = "") -> str:
    """The primary has taken over what was chosen of this appliance, and this appliance is its backup.

    In this order, so that after any interruption pressing again is safe: the settings here are kept as a configuration
    backup; the primary takes over what was chosen, or nothing; this appliance becomes backup. The caller asks for a
    data-sync then. `allowed` as of `restore`.

    Raises:
        SyncRefused, PeerError: the settings of both are as they were; or they are settled, and this appliance still
            waits: then nothing differs any more but what was not chosen.
    """
    taken = _taken(it, chosen)
    _check_deletion(it, chosen, allowed)
    backups.save(BackupReason.ROLE_CHANGE, f"Before {_own_name()} became the backup of {_peer_name()}")
    left = [difference for difference in it.found if difference not in taken]
    why = f"{requested_by} chose {_named(taken)} of {_own_name()} and {_named(left)} of {_peer_name()}."
    _carry_out(it, taken, requested_by, why)
    evidence = {
        "requested_by": requested_by,
        f"from {_own_name()}": ", ".join(map(shown.name_of, taken)) or "nothing",
        f"from {_peer_name()}": ", ".join(map(shown.name_of, left)) or "nothing",
    }
    history.record("return.chosen", why, severity=Severity.WARNING, evidence=evidence)
    role_changes.request(Role.BACKUP, want_final_sync=False, without_peer=False, requested_by=requested_by)
    return why


def _taken(it: Comparison, chosen: Collection[str]) -> list[Difference]:
    if it.refusal:
        raise ChangeRefused(it.refusal)
    unknown = set(chosen) - {difference.key for difference in it.found}
    if unknown:
        raise SyncRefused("changed_meanwhile", "What differs has changed meanwhile.", remedy="Look again and choose.")
    return it.taken(chosen)


def _carry_out(it: Comparison, taken: list[Difference], requested_by: str, why: str) -> None:
    changes = merge.plan(it.mine, it.theirs, taken)
    if not changes:
        return
    if it.is_here:
        primary.take(changes, compared=it.compared, requested_by=requested_by, why=why)
    else:
        primary.send(changes, it.theirs, compared=it.compared, requested_by=requested_by, why=why)


def _comparison(
    mine: Version, theirs: primary.Present, names: tuple[str, str], *, is_here: bool, refusal: str
) -> Comparison:
    found = tuple(compare.differences(mine, theirs.version))
    return Comparison(mine, theirs.version, *names, theirs.header, is_here, refusal, found)


def _named(found: list[Difference]) -> str:
    if not found:
        return "nothing"
    names = [shown.name_of(difference) for difference in found[:NAMED]]
    more = len(found) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _evidence(taken: list[Difference], requested_by: str) -> dict[str, str]:
    return {"requested_by": requested_by, "objects": ", ".join(map(shown.name_of, taken))}


def _own_name() -> str:
    return str(selectors.this_appliance().host_name)


def _peer_name() -> str:
    pair = selectors.relationship()
    return str(pair.peer_name) if pair else "the peer"
