"""A relationship is left by whoever means this one; one that was established meanwhile stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from appliances import selectors
from appliances.choices import State
from appliances.models import FailoverRelationship
from sync import journal, relationship
from sync.peer.messages import Done, Refusal, render
from sync.relationship import leave
from sync.rules.facts import header_of
from tests.sync.peer_server import PAIR, Peer, Server, certificate, own_key, pair, serving

pytestmark = pytest.mark.django_db(transaction=True)

OTHER_PAIR = "6" * 32


@pytest.fixture
def peer(tmp_path: Path, settings) -> Iterator[Server]:
    """A peer that says to be in no relationship; this backup is unconfirmed and has waited long enough."""
    settings.ALLOW_LOOPBACK_TARGETS = True
    pem, pin = certificate(tmp_path)

    def handler(peer: Peer, _: bytes) -> None:
        peer.answer(render(Refusal("no_relationship", "The peer is in no failover relationship.")), status=409)

    with serving(pem, handler) as server:
        own_key()
        pair(PAIR, server.server_address[1], pin, State.B_IDLE, is_confirmed=False)
        FailoverRelationship.objects.update(established_at=timezone.now() - 2 * leave.UNSETTLED)
        yield server


def establish_anew() -> None:
    """Another establishment has taken the place of the first, as `answer_confirm` does it."""
    FailoverRelationship.objects.update(pair_id=OTHER_PAIR)
    connection.close()


def pair_id() -> str | None:
    row = selectors.relationship()
    return row.pair_id if row else None


def test_an_unconfirmed_relationship_is_left_when_the_peer_is_in_none(peer: Server) -> None:
    relationship.settle()
    assert (pair_id(), journal.read().state) == (None, State.NONE)


def test_settling_one_relationship_leaves_no_other_one(peer: Server) -> None:
    refuse = peer.handler

    def handler(peer: Peer, body: bytes) -> None:
        establish_anew()
        refuse(peer, body)

    peer.handler = handler
    relationship.settle()
    assert (pair_id(), journal.read().state) == (OTHER_PAIR, State.B_IDLE)


def test_breaking_one_relationship_leaves_no_other_one(peer: Server) -> None:
    def handler(peer: Peer, _: bytes) -> None:
        done = render(Done(header_of(journal.read())))
        establish_anew()
        peer.answer(done if peer.path.endswith("break") else render(Refusal("no_relationship", "None.")), status=409)

    peer.handler = handler
    relationship.break_relationship("anna")
    assert (pair_id(), journal.read().state) == (OTHER_PAIR, State.B_IDLE)


def test_what_was_left_already_is_not_left_twice(peer: Server) -> None:
    assert leave.leave(PAIR, "Broken.")
    assert not leave.leave(PAIR, "Broken.")
