"""Looks at the peer that overlap: a second one asks while the first still waits for its answer."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from appliances.choices import ProbeOutcome, State
from appliances.models import BackupSettings
from sync import journal, probes
from sync.models import PeerView, RoleJournal
from sync.peer.messages import Refusal, render
from sync.relationship.leave import leave
from tests.sync.peer_server import HERE, PAIR, Peer, Server, certificate, own_key, pair, serving

pytestmark = pytest.mark.django_db(transaction=True)

FROM_BEFORE_A_RESTART = 1e9


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def peer(pem: tuple[Path, str], settings) -> Iterator[Server]:
    """The backup of this primary; it answers with a STATUS of its own."""
    settings.ALLOW_LOOPBACK_TARGETS = True
    with serving(pem[0], answer) as server:
        own_key()
        pair(PAIR, server.server_address[1], pem[1])
        yield server


def answer(peer: Peer, body: bytes) -> None:
    peer.answer(render(probes.own_status()))
    connection.close()


def hang_up(peer: Peer, _: bytes) -> None:
    peer.connection.close()
    peer.close_connection = True


def refuse(peer: Peer, _: bytes) -> None:
    peer.plain(render(Refusal("key_differs", "The two appliances hold different inter-appliance keys.")), status=403)


@contextmanager
def meanwhile(server: Server, do: Callable[[], object], first: Callable[[Peer, bytes], None]) -> Iterator[None]:
    """The first question is answered as `first` says, but only after `do` was done; later ones as before."""
    later, is_first = server.handler, True

    def handler(peer: Peer, body: bytes) -> None:
        nonlocal is_first
        if not is_first:
            return later(peer, body)
        is_first = False
        do()
        connection.close()
        return first(peer, body)

    server.handler = handler
    yield
    server.handler = later


def view() -> PeerView:
    return PeerView.objects.get()


def test_silence_is_counted_and_an_answer_ends_the_count(peer: Server) -> None:
    peer.handler = hang_up
    assert [probes.look_at_peer().outcome for _ in range(2)] == [ProbeOutcome.SILENT] * 2
    assert (view().consecutive_failures, view().outcome, view().code) == (2, ProbeOutcome.SILENT, "peer_silent")
    peer.handler = answer
    assert probes.look_at_peer().outcome == ProbeOutcome.ANSWERED
    assert (view().consecutive_failures, view().outcome, view().code) == (0, ProbeOutcome.ANSWERED, "")


def test_a_look_takes_no_longer_than_the_times_allow(peer: Server) -> None:
    settings = BackupSettings.load()
    settings.primary_timeout = dt.timedelta(seconds=10)  # a probe may take 1 s
    settings.save()
    RoleJournal.objects.update(state=State.B_IDLE)

    def slow(asked: Peer, body: bytes) -> None:
        time.sleep(1.6)
        answer(asked, body)

    peer.handler = slow
    began = journal.boottime()
    assert probes.look_at_peer().outcome == ProbeOutcome.SILENT
    assert journal.boottime() - began < 1.5


def test_a_late_time_out_undoes_nothing_of_a_later_answer(peer: Server) -> None:
    seen = []

    def look() -> None:
        probes.look_at_peer()
        seen.append(PeerView.objects.values().get())

    with meanwhile(peer, look, hang_up):
        assert probes.look_at_peer().outcome == ProbeOutcome.SILENT
    assert seen == [PeerView.objects.values().get()]
    assert (view().consecutive_failures, view().outcome) == (0, ProbeOutcome.ANSWERED)


def test_a_late_answer_undoes_nothing_of_a_later_answer(peer: Server) -> None:
    seen = []

    def look() -> None:
        probes.look_at_peer()
        seen.append(PeerView.objects.values().get())

    with meanwhile(peer, look, answer):
        late = probes.look_at_peer()
    assert (late.outcome, late.same_role_polls) == (ProbeOutcome.ANSWERED, 0)
    assert seen == [PeerView.objects.values().get()]


def test_a_later_silence_stands_though_the_earlier_answer_arrives_after_it(peer: Server) -> None:
    peer.handler = hang_up
    with meanwhile(peer, probes.look_at_peer, answer):
        probes.look_at_peer()
    assert view().outcome == ProbeOutcome.SILENT
    assert view().status["guid"] == HERE


def test_two_silent_looks_that_overlap_count_twice(peer: Server) -> None:
    peer.handler = hang_up
    with meanwhile(peer, probes.look_at_peer, hang_up):
        probes.look_at_peer()
    assert view().consecutive_failures == 2


def test_nothing_is_kept_of_a_peer_whose_relationship_was_left_meanwhile(peer: Server) -> None:
    with meanwhile(peer, lambda: leave(PAIR, "Broken."), answer):
        look = probes.look_at_peer()
    assert look.status is None
    assert not PeerView.objects.exists()


def test_nothing_is_kept_of_the_peer_of_an_earlier_relationship(peer: Server, pem: tuple[Path, str]) -> None:
    def pair_anew() -> None:
        leave(PAIR, "Broken.")
        pair("6" * 32, peer.server_address[1], pem[1])
        PeerView.load()

    with meanwhile(peer, pair_anew, answer):
        look = probes.look_at_peer()
    assert look.status is None
    assert (view().status, view().outcome, view().consecutive_failures) == ({}, "", 0)


def test_what_was_kept_before_the_machine_started_again_stands_in_nobodys_way(peer: Server) -> None:
    moments = dict.fromkeys(("asked_boottime", "kept_boottime", "answered_boottime"), FROM_BEFORE_A_RESTART)
    PeerView.objects.create(pk=1, **moments, consecutive_failures=9)
    look = probes.look_if_due()
    assert look is not None
    assert look.outcome == ProbeOutcome.ANSWERED
    assert view().consecutive_failures == 0
    assert (view().answered_boottime or 0) <= journal.boottime()


def test_a_look_that_is_due_is_taken_once_though_two_find_it_due_at_the_same_moment(peer: Server) -> None:
    PeerView.load()
    others: list[probes.Look | None] = []

    def before_the_claim(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE") and PeerView._meta.db_table in sql and not others:
            others.append(None)
            others.append(probes.look_if_due())
        return execute(sql, params, many, context)

    with connection.execute_wrapper(before_the_claim):
        assert probes.look_if_due() is None
    assert [look.outcome for look in others if look] == [ProbeOutcome.ANSWERED]
    assert len(peer.seen) == 1
    assert probes.look_if_due() is None


def test_the_code_that_the_peer_refused_with_is_kept(peer: Server) -> None:
    peer.handler = refuse
    assert probes.look_at_peer().outcome == ProbeOutcome.REFUSED
    assert (view().outcome, view().code) == (ProbeOutcome.REFUSED, "key_differs")
    assert view().consecutive_failures == 0
