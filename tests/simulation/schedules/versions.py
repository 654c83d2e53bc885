"""Two versions of the settings in the schedules: the choice of a returning primary, and what is restored of a backup.

The page's own functions choose and restore, object by object. What was taken must be on the primary then; what was not,
and what it took the place of, must be in a configuration backup of whoever held it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from appliances.choices import BackupReason, State
from sync import tasks
from sync.datasync import backups
from sync.errors import SyncError
from sync.models import ConfigurationBackup
from sync.versions import choose, compare, primary, shown
from sync.versions.choose import Comparison
from sync.versions.compare import Difference
from sync.versions.objects import Version
from tests.simulation.schedules.acts import Stage
from tests.simulation.schedules.appliances import Appliance, here, on
from tests.simulation.schedules.truth import stand_of
from tests.simulation.schedules.world import Violation

_COUNT = "SELECT count(*) FROM sync_configurationbackup"
SHARES = (0.0, 0.4, 0.7, 1.0)  # of what differs is taken


def rejoin(stage: Stage, appliance: Appliance, chance: Random) -> None:
    """Somebody chooses on the page of a primary that was superseded; its appliance becomes backup."""

    def act() -> None:
        it = choose.present()
        picked, allowed = _picked(it, chance)
        stage.truth.give_up_settings()
        _undisturbed(stage, it, picked, lambda: choose.rejoin(it, picked, "anna", allowed=allowed))
        stage.did["an old primary rejoined"] += 1
        stage.did["with objects of its own"] += bool(picked)
        tasks.sync_now("anna")

    stage.run(appliance, "anna chooses between two versions", act)


def restore(stage: Stage, who: Appliance, chance: Random) -> None:
    """Somebody restores objects of a configuration backup that one of the appliances keeps, `who` if it does.

    Where there is none, one is saved by hand before a setting is changed.
    """
    if not any(one.raw.execute(_COUNT).fetchone()[0] for one in stage.world.appliances):
        stage.run(who, "anna saves a configuration backup", lambda: backups.save(BackupReason.BY_HAND))
        for one in stage.world.appliances:
            stage.change(one, chance)
    with_some = [one for one in (who, stage.world.peer_of(who)) if one.raw.execute(_COUNT).fetchone()[0]]

    def act() -> None:
        kept = list(ConfigurationBackup.objects.order_by("made_at", "pk"))
        backup = chance.choice(kept)
        it = choose.of_backup(backup)
        picked, allowed = _picked(it, chance)
        if picked:
            _undisturbed(stage, it, picked, lambda: choose.restore(it, picked, backup, "anna", allowed=allowed))
            stage.did["objects were restored"] += 1

    if with_some:
        stage.run(with_some[0], "anna restores from a configuration backup", act)


def superseded(stage: Stage, who: Appliance) -> Appliance:
    """The appliance that waits for a choice, or `who`."""
    found = [one for one in stage.world.appliances if stand_of(one).state == State.P_SUPERSEDED]
    return found[0] if found else who


def _picked(it: Comparison, chance: Random) -> tuple[frozenset[str], str]:
    """What is taken over, and the fingerprint of what is agreed to be deleted by that."""
    share = chance.choice(SHARES)
    picked = frozenset(difference.key for difference in it.found if chance.random() < share)
    return picked, choose.deletion(it, picked).fingerprint


def _undisturbed(stage: Stage, it: Comparison, picked: frozenset[str], act: Callable[[], object]) -> None:
    """Do it; where nothing else happened meanwhile, what it promises must be so."""
    armed = stage.world.surprise
    act()
    if stage.world.surprise is armed:
        with stage.world.looking():
            _compare(stage, it, it.taken(picked))


def _compare(stage: Stage, it: Comparison, taken: list[Difference]) -> None:
    holder = here() if it.is_here else stage.world.peer_of(here())
    with on(holder):
        differing = {_name(each) for each in compare.differences(it.mine, primary.own().version)}
        replaced = _kept(BackupReason.TAKE_OVER)
    for each in taken:
        if _name(each) in differing:
            raise Violation(f"I14: {shown.name_of(each)} was chosen, and {holder.name} does not hold it so")
        if not any(_has(version, each, of_mine=False) for version in replaced):
            raise Violation(f"I13: what {holder.name} had of {shown.name_of(each)} is in no configuration backup of it")
    if it.mine_name != "The backup":
        own = _kept(BackupReason.ROLE_CHANGE)
        for each in it.found:
            if not any(_has(version, each, of_mine=True) for version in own):
                raise Violation(f"I13: {shown.name_of(each)} of {here().name} is in no configuration backup of it")
    if not stand_of(holder).is_primary:
        return
    written = " ".join(repr(each.mine.row) for each in taken if each.mine is not None)
    stage.truth.take_over(holder, written)


def _kept(reason: BackupReason) -> list[Version]:
    found = []
    for backup in ConfigurationBackup.objects.filter(reason=reason):
        try:
            found.append(Version(backups.read(backup)))
        except SyncError as error:
            raise Violation(f"I13: a configuration backup of {here().name} cannot be read: {error}") from error
    return found


def _has(version: Version, difference: Difference, *, of_mine: bool) -> bool:
    """Whether a version holds a thing as one side of the difference does, or lacks it as that side does."""
    wanted = difference.mine if of_mine else difference.theirs
    things = version.things[difference.kind.dataset.label]
    if wanted is None:
        return all(thing.name != difference.thing.name for thing in things)
    return any(thing.row == wanted.row and thing.relations == wanted.relations for thing in things)


def _name(difference: Difference) -> tuple[str, str]:
    return difference.kind.dataset.label, difference.thing.name
