"""A schedule: what happens, drawn from one seed, in a safety phase; then everything is mended and the pair must heal.

Each step has its own source of chance, made of the seed and its number. So a step can be left out (`without`) and the
others stay what they were: that is how a failing schedule is made short.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from random import Random

from appliances.choices import Role
from tests.simulation.schedules import outsiders, pairing, versions
from tests.simulation.schedules.acts import Stage
from tests.simulation.schedules.appliances import Appliance, here
from tests.simulation.schedules.healing import heal
from tests.simulation.schedules.network import Line
from tests.simulation.schedules.outsiders import FENCE, WITNESS, Site
from tests.simulation.schedules.seams import Outage
from tests.simulation.schedules.templates import Pair
from tests.simulation.schedules.truth import Truth, stand_of
from tests.simulation.schedules.world import Surprise, Violation, World

STEPS, STEPS_IN_FOCUS = (3, 10), (5, 14)  # at least, at most
FOCUSED = 3  # times as often as otherwise happens what is in the focus
SURPRISES, SURPRISES_IN_FOCUS = 0.35, 0.8  # of the steps have one
TIMEOUT = dt.timedelta(seconds=30)  # of automatic failover
SITES_WITH = 0.25  # of the schedules have a witness, and as many a fence
# Events until a surprise: most acts have some dozens, a data-sync that moves something about 650.
LONGEST_WAITS = (250, 250, 800)
AT_EDGES, AT_EDGES_IN_FOCUS = 0.25, 0.5  # of the surprises come at one
MOST_EDGES = 80  # until a surprise at one: such a data-sync has about 60

Draw = Callable[[Stage, Appliance, Random], None]


@dataclass
class Outcome:
    """How a schedule went."""

    seed: int
    violation: str = ""
    trace: list[str] = field(default_factory=list)
    steps: int = 0
    ticks: int = 0
    events: int = 0
    did: Counter[str] = field(default_factory=Counter)


def _press(stage: Stage, who: Appliance, chance: Random) -> None:
    target = chance.choice((Role.PRIMARY, Role.BACKUP))
    stage.press(who, target, final=chance.random() < 0.6, force=chance.random() < 0.15)
    if chance.random() < 0.85:
        _works(stage)


def _planned(stage: Stage, who: Appliance, chance: Random) -> None:
    stage.press(who, chance.choice((Role.PRIMARY, Role.BACKUP)), final=True, force=False)
    if chance.random() < 0.85:
        _works(stage)


def _works(stage: Stage) -> None:
    for appliance in stage.world.appliances:
        stage.work(appliance)


def _sync(stage: Stage, who: Appliance, chance: Random) -> None:
    stage.sync_now(who)
    _works(stage)


def _turns(stage: Stage, who: Appliance, chance: Random) -> None:
    stage.turns(chance.choice((1.0, 3.1, 5.1, 7.0)), works=chance.random() < 0.8)


def _one_turn(stage: Stage, who: Appliance, chance: Random) -> None:
    stage.world.pass_time(chance.choice((0.5, 1.0, 3.1, 6.0)))
    stage.turn(who)


def _long_wait(stage: Stage, who: Appliance, chance: Random) -> None:
    stage.world.pass_time(chance.choice((25.0, 70.0, 130.0, 400.0)))
    stage.turns(0.0)


def _day(stage: Stage, who: Appliance, chance: Random) -> None:
    stage.world.pass_time(chance.choice((3600.0, 25 * 3600.0)))
    stage.tidy(who)


def _auto(stage: Stage, who: Appliance, chance: Random) -> None:
    stage.wish(
        who,
        enable_automatic_failover=chance.random() < 0.8,
        connectivity_test_ips=chance.choice(("192.0.2.254", "192.0.2.254", "")),
        accept_no_test_ips=chance.random() < 0.3,
        primary_timeout=TIMEOUT,
    )
    stage.turns(3.1)


def _silence(stage: Stage, who: Appliance, chance: Random) -> None:
    """The time of an automatic failover: turns of both, or of the one that is left, for longer than its timeout."""
    if stage.is_armed:
        for _ in range(chance.randrange(3, 8)):
            stage.turns(7.0)


def _power(stage: Stage, who: Appliance, chance: Random) -> None:
    if who.is_up:
        stage.kill(who, power=chance.random() < 0.5)
    else:
        stage.boot(who)


def _start(stage: Stage, who: Appliance, chance: Random) -> None:
    for appliance in stage.world.appliances:
        stage.boot(appliance)


def _cut(stage: Stage, who: Appliance, chance: Random) -> None:
    how = chance.choice(("silent", "silent", "refused", "answers"))
    if chance.random() < 0.5:
        Line.cut[:] = [how, how]
    else:
        Line.cut[who.side] = how
    stage.world.note(f"the line: A asks {Line.cut[0] or 'well'}, B asks {Line.cut[1] or 'well'}")


def _mend(stage: Stage, who: Appliance, chance: Random) -> None:
    Line.cut[:] = ["", ""]
    stage.world.note("the line is mended")


def _clock(stage: Stage, who: Appliance, chance: Random) -> None:
    who.wall_skew += chance.choice((-86400.0, -3600.0, -90.0, 90.0, 3600.0, 86400.0))
    stage.world.note(f"the wall clock of {who.name} is wrong by {who.wall_skew:.0f} s")


def _stop(stage: Stage, who: Appliance, chance: Random) -> None:
    stage.stop_for(who, chance.choice((4.0, 15.0, 60.0)), sleeps=chance.random() < 0.3)


def _gateway(stage: Stage, who: Appliance, chance: Random) -> None:
    who.test_ips_answer = not who.test_ips_answer
    stage.world.note(f"the test IP {'answers' if who.test_ips_answer else 'does not answer'} {who.name}")


def _full(stage: Stage, who: Appliance, chance: Random) -> None:
    stage.refuse_writes(chance.choice((1, 2, 5)), database=chance.random() < 0.5)


def _by_role(stage: Stage, who: Appliance, role: Role) -> Appliance:
    """The appliance that has this role, or `who` where both or none have."""
    found = [one for one in stage.world.appliances if stand_of(one).is_primary == (role == Role.PRIMARY)]
    return found[0] if len(found) == 1 else who


def _at_primary(act: Draw) -> Draw:
    """Clients mostly find the primary."""

    def draw(stage: Stage, who: Appliance, chance: Random) -> None:
        act(stage, _by_role(stage, who, Role.PRIMARY) if chance.random() < 0.85 else who, chance)

    return draw


def _split(stage: Stage, who: Appliance, chance: Random) -> None:
    """The line is cut, and somebody makes the backup primary."""
    Line.cut[:] = ["silent", "silent"]
    stage.world.note("the line is cut")
    stage.press(_by_role(stage, who, Role.BACKUP), Role.PRIMARY, final=False, force=False)


def _return(stage: Stage, who: Appliance, chance: Random) -> None:
    """Both have been primary and have settings of their own; the old one comes back, and somebody chooses."""
    old = _by_role(stage, who, Role.PRIMARY)
    new = stage.world.peer_of(old)
    stage.change(old, chance)
    _split(stage, new, chance)
    for one in (old, new):
        if chance.random() < 0.7:
            stage.change(one, chance)
    _mend(stage, who, chance)
    for _ in range(2):
        stage.turns(7.0)
    versions.rejoin(stage, versions.superseded(stage, old), chance)
    _works(stage)


def _sent_again(stage: Stage, who: Appliance, chance: Random) -> None:
    """A client was sending when the line was cut; it finds the new primary and sends all of it again."""
    old = _by_role(stage, who, Role.PRIMARY)
    new = stage.world.peer_of(old)
    stage.session(old, chance)
    _split(stage, new, chance)
    for _ in range(2):
        stage.turns(7.0)
    stage.send_again(new, chance)
    _mend(stage, who, chance)
    for _ in range(2):
        stage.turns(7.0)
    versions.rejoin(stage, versions.superseded(stage, old), chance)
    _works(stage)


def _deaf(stage: Stage, primary: Appliance) -> None:
    """The primary lives, but hears neither the peer nor the witness."""
    Line.cut[:], Site.without_witness, Site.slowness = ["silent", "silent"], {primary.name}, 0.0
    stage.world.note(f"{primary.name} is cut off from the peer and the witness")


def _death(stage: Stage, who: Appliance, chance: Random) -> None:
    """The primary dies, or nobody reaches it, and the backup takes over by itself."""
    backup, primary = _by_role(stage, who, Role.BACKUP), _by_role(stage, who, Role.PRIMARY)
    stage.wish(backup, enable_automatic_failover=True, connectivity_test_ips="192.0.2.254", primary_timeout=TIMEOUT)
    for _ in range(2):
        stage.turns(3.1)
    if Site.has_any() and chance.random() < 0.6:
        outsiders.trouble(stage, who, chance)
    if Site.has_any() and chance.random() < 0.4:
        _deaf(stage, primary)
    elif chance.random() < 0.5:
        stage.kill(primary, power=chance.random() < 0.5)
    else:
        _cut(stage, primary, chance)
        primary.test_ips_answer = chance.random() < 0.5
    for _ in range(6):
        stage.turns(7.0)


ALWAYS: dict[str, tuple[int, Draw]] = {
    "turns": (10, _turns),
    "one turn": (4, _one_turn),
    "long wait": (2, _long_wait),
    "start": (3, _start),
    "mend": (2, _mend),
    "sync": (4, _sync),
}
# Each of these is off in half of the schedules.
SOMETIMES: dict[str, tuple[int, Draw]] = {
    "change": (9, _at_primary(lambda stage, who, chance: stage.change(who, chance))),
    "session": (5, _at_primary(lambda stage, who, chance: stage.session(who, chance))),
    "send again": (2, _at_primary(lambda stage, who, chance: stage.send_again(who, chance))),
    "moves": (2, _sent_again),
    "split": (3, _split),
    "death": (3, _death),
    "return": (2, _return),
    "choose": (2, lambda stage, who, chance: versions.rejoin(stage, versions.superseded(stage, who), chance)),
    "restore": (3, versions.restore),
    "break": (1, lambda stage, who, chance: pairing.part(stage, who)),
    "anew": (1, pairing.anew),
    "establish": (2, lambda stage, who, chance: pairing.join(stage, who)),
    "planned": (7, _planned),
    "press": (5, _press),
    "cancel": (2, lambda stage, who, chance: stage.cancel(who)),
    "fix": (2, lambda stage, who, chance: stage.fix(who)),
    "auto": (3, _auto),
    "silence": (3, _silence),
    "day": (1, _day),
    "wishes": (
        1,
        lambda stage, who, chance: stage.wish(
            who, auto_resolve=chance.random() < 0.5, enable_backup_operations=chance.random() < 0.7
        ),
    ),
}
FAULTS: dict[str, tuple[int, Draw]] = {
    "trouble": (2, outsiders.trouble),
    "power": (4, _power),
    "cut": (4, _cut),
    "clock": (1, _clock),
    "stop": (2, _stop),
    "gateway": (2, _gateway),
    "full": (1, _full),
    "late": (3, lambda stage, who, chance: stage.post_late(chance)),
    "again": (2, lambda stage, who, chance: stage.post_again(chance)),
}


KINDS = ("kill", "power", "turn", "change", "swap", "full", "cut", "tidy")


class Schedule:
    """One schedule of one seed."""

    def __init__(
        self,
        world: World,
        pairs: tuple[Pair, Pair],
        seed: int,
        without: Collection[int] = (),
        focus: Collection[str] = (),
    ) -> None:
        self.world, self.seed, self.without, self.focus = world, seed, frozenset(without), frozenset(focus)
        self._begin(pairs)

    def _begin(self, pairs: tuple[Pair, Pair]) -> None:
        chance = Random(f"{self.seed}")
        self.world.start(f"{self.seed} bytes")
        Line.start()
        Outage.database = Outage.files = 0
        pair = pairs[chance.random() < 0.85]
        for appliance, database in zip(self.world.appliances, pair.databases, strict=True):
            appliance.fill(database)
        self.stage = Stage(self.world, Truth(self.world))
        self.world.look = self.stage.truth.look
        configured = {kind for kind in (WITNESS, FENCE) if kind in self.focus or chance.random() < SITES_WITH}
        Site.start(self.stage, configured & self.focus if self.focus else configured)
        chosen = ALWAYS | {name: one for name, one in (SOMETIMES | FAULTS).items() if self._is_on(name, chance)}
        self.acts = {name: one[1] for name, one in chosen.items()}
        self.weights = [one[0] * (FOCUSED if name in self.focus else 1) for name, one in chosen.items()]
        self.names = list(self.acts)
        self.kinds = [name for name in KINDS if self._is_on(f"surprise {name}", chance)]
        self.steps = chance.randint(*(STEPS_IN_FOCUS if self.focus else STEPS))
        for name in ("lose", "lose_answer", "late", "truncate", "slow"):
            setattr(Line, name, chance.choice((0.0, 0.0, 0.05, 0.2)))

    def _is_on(self, name: str, chance: Random) -> bool:
        """Whether this happens in the schedule: half of all there is, or what is in the focus."""
        return name in self.focus if self.focus else chance.random() < 0.5

    def run(self) -> Outcome:
        """Both phases; the violation that ended it, if one did."""
        outcome = Outcome(self.seed, trace=self.world.trace)
        try:
            self.stage.truth.start()
            for number in range(self.steps):
                if number not in self.without:
                    self._step(number)
                    outcome.steps += 1
            self.world.surprise = None
            outcome.ticks = heal(self.stage)
        except Violation as violation:
            outcome.violation = str(violation)
        except Exception as error:
            place = error.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else ""
            outcome.violation = f"an error came out: {error!r} at {where}"
        outcome.trace, outcome.events, outcome.did = list(self.world.trace), self.world.events, self.stage.did
        return outcome

    def _step(self, number: int) -> None:
        chance = Random(f"{self.seed} {number}")
        self.world.chance.seed(f"{self.seed} {number} bytes")
        [name] = chance.choices(self.names, self.weights)
        who = self.world.appliances[chance.random() < 0.5]
        self.world.note(f"--- {number}: {name}")
        rate = SURPRISES_IN_FOCUS if self.focus else SURPRISES
        self.world.surprise = self._surprise(chance) if self.kinds and chance.random() < rate else None
        self.acts[name](self.stage, who, chance)
        self.stage.truth.look_closely()

    def _surprise(self, chance: Random) -> Surprise:
        """Something that happens in the middle of the step, on whichever appliance is at work then."""
        kind, stage = chance.choice(self.kinds), self.stage
        at_edges = chance.random() < (AT_EDGES_IN_FOCUS if self.focus else AT_EDGES)
        longest = chance.choice(LONGEST_WAITS)
        longest = MOST_EDGES if at_edges else longest
        is_soon = not at_edges and chance.random() < 0.5
        after = int(longest ** chance.random()) if is_soon else chance.randrange(1, longest)
        whoever = self.world.appliances[chance.random() < 0.5]
        happen: dict[str, Callable[[], None]] = {
            "kill": lambda: stage.kill(_running(self.world), power=False),
            "power": lambda: stage.kill(_running(self.world), power=True),
            "turn": lambda: stage.turn(whoever),
            "change": lambda: stage.change(_by_role(stage, whoever, Role.PRIMARY), chance),
            "swap": lambda: _planned(stage, whoever, chance),
            "tidy": lambda: stage.tidy(whoever),
            "full": lambda: stage.refuse_writes(1, database=chance.random() < 0.5),
            "cut": lambda: _cut(stage, whoever, chance),
        }
        dies = kind in ("kill", "power", "full")
        return Surprise(after, kind, happen[kind], between_transactions=not dies, at_edges=at_edges)


def _running(world: World) -> Appliance:
    return here()
