"""The relationship in the schedules: somebody breaks it, and somebody establishes one again, from either side."""

from __future__ import annotations

from random import Random

from sync import relationship
from tests.simulation.schedules.acts import Stage
from tests.simulation.schedules.appliances import Appliance
from tests.simulation.schedules.truth import stand_of
from tests.simulation.schedules.world import Violation

UNSETTLED_TURNS, TURN_SECONDS = 12, 7.0  # a relationship by half is left within this time


def part(stage: Stage, appliance: Appliance) -> None:
    """Break, confirmed."""

    def act() -> None:
        result = relationship.break_relationship("anna")
        stage.did["a relationship was broken"] += 1
        stage.did["without the peer's knowledge"] += not result.peer_told

    stage.run(appliance, "anna breaks the relationship", act)


def join(stage: Stage, appliance: Appliance) -> None:
    """Establish: this appliance becomes primary."""

    def act() -> None:
        addresses = [f"192.0.2.{one.side + 1}" for one in (stage.world.peer_of(appliance), appliance)]
        relationship.establish(
            peer_host=addresses[0], peer_port=443, reverse_host=addresses[1], reverse_port=443, requested_by="anna"
        )
        stage.did["a relationship was established"] += 1

    stage.run(appliance, "anna establishes a relationship", act)


def anew(stage: Stage, who: Appliance, chance: Random) -> None:
    """The relationship is broken, both are changed alone, and one is established from either side."""
    part(stage, who)
    for one in stage.world.appliances:
        if chance.random() < 0.5:
            stage.change(one, chance)
        if chance.random() < 0.3:
            stage.session(one, chance)
    if chance.random() < 0.8:
        join(stage, chance.choice(stage.world.appliances))


def is_pair(stage: Stage) -> bool:
    """Whether both are in one relationship."""
    one, other = (stand_of(appliance).pair for appliance in stage.world.appliances)
    return one == other != ""


def make_whole(stage: Stage) -> None:
    """A relationship by half ends by itself; then somebody breaks what is left and establishes one.

    Raises:
        Violation: one side stays in a relationship that the other never made durable, or none can be established.
    """
    for _ in range(UNSETTLED_TURNS):
        if is_pair(stage) or not any(map(_is_unconfirmed, stage.world.appliances)):
            break
        stage.turns(TURN_SECONDS)
    if is_pair(stage):
        return
    for appliance in stage.world.appliances:
        if _is_unconfirmed(appliance):
            raise Violation(f"I9: {appliance.name} stays in a relationship that was established by half")
    for appliance in stage.world.appliances:
        if stand_of(appliance).pair:
            part(stage, appliance)
    join(stage, stage.world.appliances[len(stage.truth.said) % 2])
    if not is_pair(stage):
        raise Violation("I9: no relationship can be established between two well appliances")


def _is_unconfirmed(appliance: Appliance) -> bool:
    row = appliance.raw.execute("SELECT is_confirmed FROM appliances_failoverrelationship WHERE id = 1").fetchone()
    return row is not None and not row[0]
