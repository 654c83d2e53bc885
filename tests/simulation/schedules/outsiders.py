"""The programs of the site that have a say, in the schedules: a witness, and a fence that switches the other one off.

Both live outside of the two appliances. What an appliance asks for runs beside its turns: the answer is there once so
much simulated time has passed. The product decides when they are asked and what follows.
"""

from __future__ import annotations

from random import Random
from typing import ClassVar

from sync import journal, outside
from tests.simulation.schedules.acts import Stage
from tests.simulation.schedules.appliances import Appliance, here, put
from tests.simulation.schedules.truth import stand_of
from tests.simulation.schedules.world import Violation, World

WITNESS, FENCE = "witness", "fence"


class Site:
    """Whom the witness gave the role, until when; whom the fence switched off, for which term. In true seconds."""

    world: ClassVar[World]
    stage: ClassVar[Stage]
    holder, until = "", 0.0
    fenced: ClassVar[set[tuple[str, int]]] = set()  # who asked, for which term
    without_witness: ClassVar[set[str]] = set()  # who cannot reach it
    is_fence_there = True
    slowness = 0.0

    @classmethod
    def start(cls, stage: Stage, kinds: set[str]) -> None:
        """A schedule begins at a site with these programs."""
        cls.stage, cls.world = stage, stage.world
        cls.holder, cls.until = "", 0.0
        cls.fenced = set()
        cls.mend()
        for appliance in stage.world.appliances:
            appliance.settings["WITNESS_COMMAND"] = WITNESS if WITNESS in kinds else ""
            appliance.settings["FENCING_COMMAND"] = FENCE if FENCE in kinds else ""
        cls.world.took_over = cls.check

    @classmethod
    def mend(cls) -> None:
        """Both answer at once."""
        cls.without_witness = set()
        cls.is_fence_there, cls.slowness = True, 0.0

    @classmethod
    def has_any(cls) -> bool:
        """Whether either is configured."""
        [first, *_] = cls.world.appliances
        return bool(first.settings["WITNESS_COMMAND"] or first.settings["FENCING_COMMAND"])

    @classmethod
    def answer(cls, command: str, told: dict[str, str]) -> bool:
        """What the program says to the appliance that runs it."""
        return cls._grants(int(told["TTL"])) if command == WITNESS else cls._switches_off(int(told["TERM"]))

    @classmethod
    def _grants(cls, ttl: int) -> bool:
        name, now = here().name, cls.world.now
        grants = name not in cls.without_witness and (cls.holder in ("", name) or now >= cls.until)
        if grants:
            cls.holder, cls.until = name, now + ttl
        cls.stage.did["the witness granted" if grants else "the witness refused"] += 1
        return grants

    @classmethod
    def _switches_off(cls, term: int) -> bool:
        if stand_of(here()).is_serving:
            raise Violation(f"I16: {here().name} serves and switches the other one off")
        if not cls.is_fence_there:
            return False
        cls.fenced.add((here().name, term))
        cls.stage.did["the peer was switched off"] += 1
        cls.stage.kill(cls.world.peer_of(here()), power=True)
        return True

    @classmethod
    def check(cls, appliance: Appliance, term: int) -> None:
        """An appliance has just taken over by itself, in this term.

        Raises:
            Violation: somebody who has a say had not agreed, or the other one still serves.
        """
        cls.stage.did["an appliance took over"] += 1
        name, peer, now = appliance.name, cls.world.peer_of(appliance), cls.world.now
        if appliance.settings["WITNESS_COMMAND"]:
            if cls.holder != name or now > cls.until:
                raise Violation(f"I15: {name} took over, and the witness has not given it the role")
            limit, runs = peer.pulse.limit, peer.is_up and now >= peer.stopped_until
            if runs and stand_of(peer).is_serving and limit is not None and now + peer.boot_offset <= limit:
                raise Violation(f"I8: {name} took over with the word of the witness, and {peer.name} goes on serving")
        if appliance.settings["FENCING_COMMAND"] and (name, term) not in cls.fenced:
            raise Violation(f"I16: {name} took over, and the fence has not switched {peer.name} off")


class Errand:
    """Takes the place of `outside.Errand`: a program at work, whose answer comes after simulated seconds."""

    def __init__(self, command: str, seconds: float, environment: dict[str, str]) -> None:
        self.asked = journal.boottime()
        self.thread = self
        self._due = Site.world.now + min(Site.slowness, seconds)
        self._answer = Site.answer(command, environment) and Site.slowness < seconds

    @property
    def answer(self) -> bool | None:
        """As of the real one."""
        return self._answer if Site.world.now >= self._due else None

    def join(self) -> None:
        """Wait for its end."""
        Site.world.pass_time(self._due - Site.world.now)


def _keep(lease: outside.Lease, term: int, ttl: int) -> None:
    """As the thread of the real one, which asks four times in a lifetime: once a turn, if that is due."""
    errand = vars(lease).setdefault("errand", None)
    _hear(lease)
    if errand is None or (errand.answer is not None and journal.boottime() - errand.asked >= ttl / 4):
        put(lease, "errand", outside.ask_witness(term, ttl))
        _hear(lease)


def _hear(lease: outside.Lease) -> None:
    errand = vars(lease)["errand"]
    if errand is not None and errand.answer:
        lease.granted = max(lease.granted, errand.asked)


def install() -> None:
    """From now on."""
    put(outside, "Errand", Errand)
    put(outside.Lease, "keep", _keep)


def trouble(stage: Stage, who: Appliance, chance: Random) -> None:
    """The witness or the fence goes for one of the two, comes back, or becomes slow."""
    Site.without_witness = {one.name for one in stage.world.appliances if chance.random() < 0.4}
    Site.is_fence_there, Site.slowness = chance.random() < 0.5, chance.choice((0.0, 0.0, 1.0, 4.0, 40.0))
    fence, lost = "works" if Site.is_fence_there else "fails", ", ".join(sorted(Site.without_witness)) or "nobody"
    stage.world.note(f"{lost} cannot reach the witness, the fence {fence}; answers take {Site.slowness:.0f} s")
