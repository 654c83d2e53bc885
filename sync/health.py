"""The health of this appliance: looked at by the role worker each second, written to one small file, read by the rest.

The file lets `/check_health` answer without the database. It carries a CLOCK_BOOTTIME stamp, because the wall clock
may jump and a worker that died must be noticed within seconds.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import redis
from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models import F

from appliances import disk, selectors
from appliances.choices import State
from appliances.host import runtime
from appliances.host.broker import client_url
from sync import journal
from sync.models import RoleJournal

STALE_AFTER_SECONDS = 5.0  # five missed writes: the role worker is gone or stuck
DISK, NEARLY_FULL = "disk", "The disk is nearly full"  # the topic, and how its message begins
BROKER_TIMEOUT_SECONDS = 0.5  # the broker is on this box: a slower answer is as good as none
MAX_FILE_BYTES = 4096

log = logging.getLogger(__name__)

HEALTHY = "This appliance is healthy."


@dataclass(frozen=True)
class Health:
    """How this appliance is: `message` is one sentence for administrators.

    `can_serve`: the database takes writes and the web server answers; without that a primary gives its role up, and
    does not confirm it. What else is wrong (no broker, a full disk) is no better on the peer.
    `topic`: what it is about in a word that everybody may hear, where there is one.
    """

    is_healthy: bool
    message: str
    can_serve: bool = True
    topic: str = ""


UNKNOWN = Health(
    False, "The health of this appliance is not known: its role worker has not reported in time.", can_serve=False
)


def collect(portal: str = "") -> Health:
    """Look at the database, the disk, the role and the broker; the first problem found is the message. Never raises.

    `portal` is what is wrong with the own web server, empty where nothing is.
    """
    problem = _first(database_problem, lambda: portal)
    if problem:
        return Health(False, problem, can_serve=False)
    problem = _first(_disk, _role, _broker)
    return Health(not problem, problem or HEALTHY, topic=DISK if problem.startswith(NEARLY_FULL) else "")


def _first(*looks: Callable[[], str]) -> str:
    """The first problem found."""
    for look in looks:
        try:
            problem = look()
        except DatabaseError:
            problem = "The database does not answer."
        except OSError:
            problem = "The data folder cannot be read."
        if problem:
            return problem
    return ""


def write(health: Health) -> None:
    """Put the health on file with the stamp of this moment. It lies in memory: a full disk is told of like the rest.

    Where that cannot be written either, the turn goes on: after 5 s the health is UNKNOWN to whoever reads it.
    """
    content = {
        "healthy": health.is_healthy,
        "message": health.message,
        "can_serve": health.can_serve,
        "topic": health.topic,
        "boottime": journal.boottime(),
    }
    try:
        runtime.put(settings.HEALTH_FILE, json.dumps(content), settings.DATA_DIR)
    except OSError as error:
        log.warning("health not written", extra={"why": str(error)})


def read() -> Health:
    """The health on file, or UNKNOWN when there is none, it cannot be read, or it is older than 5 s. No database."""
    try:
        with open(settings.HEALTH_FILE, "rb") as file:
            content = json.loads(file.read(MAX_FILE_BYTES))
        is_healthy, message, stamp = content["healthy"], content["message"], float(content["boottime"])
        can_serve, topic = content["can_serve"] is True, str(content.get("topic", ""))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return UNKNOWN
    # A stamp in the future is from before this machine started again.
    if not 0 <= journal.boottime() - stamp <= STALE_AFTER_SECONDS:
        return UNKNOWN
    if not isinstance(is_healthy, bool) or not isinstance(message, str):
        return UNKNOWN
    return Health(is_healthy, message, can_serve, topic)


def database_problem() -> str:
    """Empty when the database takes writes."""
    if connection.vendor != "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("SHOW transaction_read_only")
            return "" if cursor.fetchone()[0] == "off" else "The database does not accept writes."
    with connection.cursor() as cursor:
        # Somebody else's long write (a data-sync being applied) is a sign of life, not worth waiting for.
        waits = cursor.execute("PRAGMA busy_timeout").fetchone()
        cursor.execute("PRAGMA busy_timeout = 0")
        try:
            with transaction.atomic():
                RoleJournal.objects.filter(pk=1).update(term=F("term"))
                transaction.set_rollback(True)
        except OperationalError as error:
            if not getattr(error.__cause__, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
                return "The database does not accept writes."
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {int(waits[0])}")
    return ""


def _disk() -> str:
    """Empty when there is room in the data folder."""
    if not (lack := disk.lacks()):
        return ""
    said = f"{NEARLY_FULL}: {lack} Uploads are refused, and data-syncs stop, until there is more room."
    return " ".join(filter(None, (said, disk.released())))


def _role() -> str:
    """Empty when role and relationship agree and the peer has not superseded this appliance.

    A primary that is still confirming its role counts as well: it is health that lets it serve again.
    """
    state = journal.read().state
    if (state == State.NONE) != (selectors.relationship() is None):
        return "The role of this appliance and its failover relationship do not agree."
    if state == State.P_SUPERSEDED:
        return "The peer has taken the primary role over; this appliance has stopped serving."
    return ""


def told_of_peer(message: str, peer: str, own: str) -> str:
    """What the peer says of its health, in the words of this appliance: host names instead of "this appliance"."""
    names = {"this appliance": peer, "the peer": own}
    return re.sub("(?i)this appliance|the peer", lambda found: names[found[0].lower()], message)


@cache
def _broker_client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url, socket_timeout=BROKER_TIMEOUT_SECONDS, socket_connect_timeout=BROKER_TIMEOUT_SECONDS
    )


def _broker() -> str:
    """Empty when the broker answers; one made of files answers as long as the disk does."""
    if settings.REDIS_URL.startswith("filesystem://"):
        return ""
    try:
        _broker_client(client_url(settings.REDIS_URL)).ping()
    except (redis.RedisError, OSError, TypeError, ValueError):  # the last two: options in the URL that do not exist
        return "The message broker does not answer: no background work is done."
    return ""
