"""What a schedule begins with: two paired appliances, as establishing leaves them or after their first data-sync."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from django.core.management import call_command
from django.utils import timezone

from appliances import secrets, selectors
from appliances.choices import SyncTrigger
from appliances.models import Account, BackupSettings, EmailConfiguration, FailoverRelationship, InterApplianceKey
from appliances.models.relationship import KEY_LABEL
from appliances.services.certificates import ensure_default_certificate, own_pins
from appliances.services.keys import key_id
from sync import act, journal
from sync.datasync import pull
from sync.models import ConfigurationBackup
from sync.rules.events import Establish
from tests.simulation.schedules.appliances import Appliance, on
from tests.simulation.schedules.network import Connection
from tests.simulation.schedules.world import World

KEY = b"the inter-appliance key of both!"
PAIR_ID = "ab" * 16


@dataclass(frozen=True)
class Pair:
    """The two databases of a beginning."""

    databases: tuple[sqlite3.Connection, sqlite3.Connection]


def _copy(appliance: Appliance) -> sqlite3.Connection:
    copy = sqlite3.connect(":memory:")
    appliance.raw.backup(copy)
    return copy


def make(world: World, root: Path) -> tuple[Pair, Pair]:
    """A pair that was just established, and the same after its first data-sync."""
    world.start("template")
    pins = []
    for appliance in world.appliances:
        appliance.fill(sqlite3.connect(":memory:"))
        with on(appliance):
            call_command("migrate", verbosity=0)
            ensure_default_certificate()
            secret = secrets.seal(KEY, KEY_LABEL)
            InterApplianceKey.objects.create(pk=1, sealed_key=secret, key_id=key_id(KEY), set_at=timezone.now())
            BackupSettings.load()
            selectors.site()
            selectors.this_appliance()
            journal.read()
            pins.append(own_pins())
    Connection.shown = [own[0] for own in pins]
    for appliance in world.appliances:
        _establish(world, appliance, pins)
    new = Pair((_copy(world.appliances[0]), _copy(world.appliances[1])))
    for appliance, database in zip(world.appliances, new.databases, strict=True):
        appliance.fill(database)
    with on(world.appliances[1]):
        pull.pull_data(SyncTrigger.FIRST)
        ConfigurationBackup.objects.all().delete()  # schedules begin with empty folders
    return new, Pair((_copy(world.appliances[0]), _copy(world.appliances[1])))


def _establish(world: World, appliance: Appliance, pins: list[list[str]]) -> None:
    guids = []
    for one in world.appliances:
        with on(one):
            guids.append(selectors.this_appliance().guid)
    other = 1 - appliance.side
    with on(appliance):
        FailoverRelationship.objects.create(
            pk=1,
            pair_id=PAIR_ID,
            peer_guid=guids[other],
            peer_name=f"{'ab'[other]}.example.com",
            peer_host=f"192.0.2.{other + 1}",
            peer_port=443,
            reverse_host=f"192.0.2.{appliance.side + 1}",
            reverse_port=443,
            peer_pins=pins[other],
            is_founding_primary=appliance.side == 0,
        )
        if appliance.side == 0:
            Account.objects.create_superuser("admin", password=None)
            EmailConfiguration.objects.create(pk=1, relay_host="mail.example.com")
        act.deliver(Establish(parity=appliance.side))
