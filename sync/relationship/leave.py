"""Break the relationship, answer the peer that breaks it, and settle one that was established by half."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from appliances import selectors
from appliances.choices import ProbeOutcome
from appliances.models import FailoverRelationship
from sync import act, journal
from sync.errors import ChangeRefused, PeerError, PeerRefused
from sync.models import PeerView
from sync.peer.accept import Sender
from sync.peer.client import PeerClient
from sync.peer.messages import Break, Challenge, ChallengeRequest, Done
from sync.rules.events import BreakRelationship
from sync.rules.facts import header_of

UNSETTLED = dt.timedelta(seconds=60)  # far more than the asking side takes between CONFIRM and its own commit
BREAK_SECONDS = 8.0
NOT_PAIRED = frozenset({"no_relationship", "other_pair"})

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BreakResult:
    """This appliance has left the relationship; whether the peer knows, and a sentence that says so."""

    peer_told: bool
    sentence: str


def unsettled_seconds() -> float:
    """How long the answering side waits before it asks whether the relationship was completed."""
    return UNSETTLED.total_seconds()


def break_relationship(requested_by: str) -> BreakResult:
    """This appliance is in no relationship any more; the peer neither, if it could be told. Data stays on both.

    Raises:
        ChangeRefused: there is no relationship.
    """
    row = selectors.relationship()
    if row is None:
        raise ChangeRefused("This appliance is in no failover relationship.")
    reason = f"Broken by {requested_by} on {selectors.this_appliance().host_name}."
    try:
        with PeerClient.to_peer(timeout=BREAK_SECONDS) as client:
            client.ask(Break(reason), Done)
        result = BreakResult(True, "The failover relationship is broken on both appliances. The data stays on both.")
    except PeerRefused as error:
        knows = error.peer_code in NOT_PAIRED
        result = BreakResult(knows, _alone(row, "it is in no relationship with this one" if knows else str(error)))
    except PeerError as error:
        result = BreakResult(False, _alone(row, str(error)))
    leave(row.pair_id, reason if result.peer_told else f"{reason} {result.sentence}")
    return result


def _alone(row: FailoverRelationship, why: str) -> str:
    return (
        f"This appliance has left the failover relationship. {row.peer_name} could not be told ({why.rstrip('.')}): "
        "break the relationship there too, unless it has left already."
    )


def answer_break(message: Break, sender: Sender) -> Done:
    """This appliance has left the relationship that it has with the sender, because the sender did."""
    leave(sender.channel.pair_id, message.reason[:300])
    return Done(header_of(journal.read()))


def leave(pair_id: str, reason: str) -> bool:
    """This appliance is not in this relationship; what was known of the peer is forgotten, its data stays.

    False if it was in another one or in none: nothing was changed.
    """
    with transaction.atomic():
        if not FailoverRelationship.objects.filter(pk=1, pair_id=pair_id).delete()[0]:
            return False
        PeerView.objects.all().delete()
        act.deliver(BreakRelationship(reason=reason))
    log.info("relationship left", extra={"why": reason, "pair_id": pair_id})
    return True


def note_sign_of_life(pair_id: str) -> None:
    """A genuine message of this pair arrived: the peer has made the relationship durable too."""
    FailoverRelationship.objects.filter(pk=1, pair_id=pair_id, is_confirmed=False).update(is_confirmed=True)


def settle() -> None:
    """Called each turn. An unconfirmed relationship is confirmed, or left where the peer proves not to be in it."""
    row = selectors.relationship()
    if row is None or row.is_confirmed or timezone.now() - row.established_at < UNSETTLED:
        return
    if PeerView.load().outcome == ProbeOutcome.SILENT:
        return
    try:
        with PeerClient.to_peer() as client:
            client.ask(ChallengeRequest(), Challenge)
    except PeerRefused as error:
        if error.peer_code in NOT_PAIRED:
            leave(row.pair_id, "The peer did not complete the relationship.")
    except PeerError as error:
        log.info("relationship not settled yet", extra={"code": error.code, "why": str(error)})
    else:
        note_sign_of_life(row.pair_id)
