"""The peer's door: what it accepts, what it refuses, and that nothing from outside becomes an error page."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from appliances import selectors
from appliances.models import FailoverRelationship
from appliances.services import keys
from appliances.services.keys import generate_inter_appliance_key, set_inter_appliance_key
from sync import peer_views
from sync.models import Nonce, PeerView
from sync.peer import nonces, signing
from sync.peer.messages import Break, Challenge, ChallengeRequest, Message, parse, render
from sync.peer.signing import Channel, Signer

pytestmark = pytest.mark.django_db

PEER, PAIR = "b" * 32, "5" * 32


@pytest.fixture
def key(settings) -> bytes:
    settings.INTER_APPLIANCE_KEY_SCRYPT_N = 2**4
    set_inter_appliance_key(generate_inter_appliance_key())
    secret = keys.inter_appliance_secret()
    assert secret
    return secret


@pytest.fixture
def relationship() -> FailoverRelationship:
    return FailoverRelationship.objects.create(
        pk=1, pair_id=PAIR, peer_guid=PEER, peer_name="b", peer_host="10.0.0.2", peer_port=443,
        reverse_host="10.0.0.1", reverse_port=443, peer_pins=["0" * 64], is_founding_primary=True,
    )  # fmt: skip


@pytest.fixture
def peer(key: bytes, relationship: FailoverRelationship) -> Signer:
    return signer(key)


def signer(key: bytes, **changes: str) -> Signer:
    parties = {"pair_id": PAIR, "own_guid": PEER, "peer_guid": selectors.this_appliance().guid, "direction": "b-a"}
    return Signer(Channel.of(key, **{**parties, **changes}), term=0, role="backup")


def signed(peer: Signer, message: Message, **changes: Any) -> tuple[str, bytes, dict[str, str]]:
    path, body = f"/peer/v1/{message.path}", render(message)
    values = {"created": time.time(), "nonce": nonces.new_nonce(), "challenge": None, **changes}
    headers = peer.request(method="POST", target=path, content_type="application/json", body=body, **values)
    return path, body, headers


def send(path: str, body: bytes, headers: dict[str, str]) -> Any:
    return Client().post(path, body, content_type="application/json", headers=headers, secure=True)


def code(response: Any) -> str:
    assert response["Content-Type"] == "application/json"
    return str(json.loads(response.content)["code"])


def is_signed(response: Any, peer: Signer, headers: dict[str, str], path: str) -> bool:
    signing.check_response(
        peer.channel, response.headers, nonce=headers["Peer-Nonce"], method="POST", target=path,
        content_type=response["Content-Type"], status=response.status_code, body=response.content,
    )  # fmt: skip
    return True


def test_a_question_of_the_peer_is_answered_and_the_answer_is_signed(peer: Signer):
    path, body, headers = signed(peer, ChallengeRequest())
    response = send(path, body, headers)
    assert response.status_code == 200
    assert is_signed(response, peer, headers, path)
    assert len(parse(Challenge, response.content).challenge) == 64
    assert "Set-Cookie" not in response.headers


def test_the_same_message_a_second_time_is_refused_and_the_refusal_is_signed(peer: Signer):
    path, body, headers = signed(peer, ChallengeRequest())
    send(path, body, headers)
    again = send(path, body, headers)
    assert code(again) == "replayed"
    assert is_signed(again, peer, headers, path)


def test_a_forged_message_does_not_burn_the_nonce(peer: Signer):
    path, body, headers = signed(peer, ChallengeRequest())
    assert code(send(path, body, {**headers, "Peer-Mac": "0" * 64})) == "bad_mac"
    assert send(path, body, headers).status_code == 200


@pytest.mark.parametrize("seconds", [-301, 301, -86400, 10**9])
def test_a_message_of_another_time_is_accepted_with_the_challenge_that_the_refusal_gives(peer: Signer, seconds: int):
    created = time.time() + seconds
    path, body, headers = signed(peer, ChallengeRequest(), created=created)
    refusal = send(path, body, headers)
    assert (code(refusal), refusal.status_code) == ("clock", 401)
    assert is_signed(refusal, peer, headers, path)
    challenge = json.loads(refusal.content)["challenge"]
    assert send(*signed(peer, ChallengeRequest(), created=created, challenge=challenge)).status_code == 200
    assert code(send(*signed(peer, ChallengeRequest(), created=created, challenge=challenge))) == "bad_challenge"


def test_a_known_difference_of_the_clocks_is_taken_into_account(peer: Signer):
    PeerView.objects.create(pk=1, status={"clock": time.time() + 5000}, answered_at=timezone.now())
    assert send(*signed(peer, ChallengeRequest(), created=time.time() + 5000)).status_code == 200
    assert code(send(*signed(peer, ChallengeRequest()))) == "clock"


def test_a_message_that_changes_a_role_needs_a_challenge(peer: Signer):
    assert code(send(*signed(peer, Break("over")))) == "challenge_needed"
    assert code(send(*signed(peer, Break("over"), challenge="9" * 64))) == "bad_challenge"
    assert FailoverRelationship.objects.exists()


def test_a_used_challenge_is_refused(peer: Signer):
    challenge = nonces.give_challenge()
    assert send(*signed(peer, ChallengeRequest(), challenge=challenge)).status_code == 200
    assert code(send(*signed(peer, ChallengeRequest(), challenge=challenge))) == "bad_challenge"


def test_an_expired_challenge_is_refused(peer: Signer):
    challenge = nonces.give_challenge()
    Nonce.objects.update(expires_at="2020-01-01T00:00:00Z")
    assert code(send(*signed(peer, ChallengeRequest(), challenge=challenge))) == "bad_challenge"


def test_a_nonce_that_was_used_is_no_challenge(peer: Signer):
    Nonce.objects.create(value="7" * 64, expires_at="2099-01-01T00:00:00Z")
    assert code(send(*signed(peer, ChallengeRequest(), challenge="7" * 64))) == "bad_challenge"


@pytest.mark.usefixtures("peer")
def test_another_key_is_refused_without_signature():
    response = send(*signed(signer(b"X" * 32), ChallengeRequest()))
    assert code(response) == "key_differs"
    assert "Peer-Mac" not in response.headers


def test_without_a_key_the_refusal_says_so(relationship: FailoverRelationship):
    assert code(send(*signed(signer(b"X" * 32), ChallengeRequest()))) == "no_key"


def test_who_left_the_relationship_learns_it_by_a_signed_refusal(key: bytes):
    peer = signer(key)
    path, body, headers = signed(peer, ChallengeRequest())
    response = send(path, body, headers)
    assert code(response) == "no_relationship"
    assert is_signed(response, peer, headers, path)


@pytest.mark.usefixtures("relationship")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"direction": "a-b"}, "reflected"),
        ({"own_guid": "d" * 32}, "wrong_appliance"),
        ({"peer_guid": "d" * 32}, "wrong_appliance"),
        ({"pair_id": "6" * 32}, "other_pair"),
    ],
    ids=lambda value: str(value),
)
def test_a_message_that_is_not_of_this_pair_and_direction_is_refused(key: bytes, changes: dict[str, str], reason: str):
    assert code(send(*signed(signer(key, **changes), ChallengeRequest()))) == reason


def test_a_message_of_this_appliance_sent_back_to_it_is_refused(key: bytes, relationship: FailoverRelationship):
    own = selectors.this_appliance().guid
    mine = signer(key, own_guid=own, peer_guid=PEER, direction="a-b")
    assert code(send(*signed(mine, ChallengeRequest()))) == "reflected"


@pytest.mark.parametrize(
    "body", [b"null", b"[]", b"{", b'{"x":1}', b"\xff\xfe", b"[" * 100_000, b'{"__proto__":1}', b"NaN"], ids=repr
)
def test_a_body_that_is_no_message_is_refused_and_the_refusal_is_signed(peer: Signer, body: bytes):
    path = "/peer/v1/challenge"
    headers = peer.request(
        method="POST", target=path, content_type="application/json", body=body, created=time.time(),
        nonce=nonces.new_nonce(),
    )  # fmt: skip
    response = send(path, body, headers)
    assert (response.status_code, code(response)) == (400, "bad_message")
    assert is_signed(response, peer, headers, path)


@pytest.mark.usefixtures("peer")
@pytest.mark.parametrize(
    "name", ["hello", "call-back", "challenge", "status", "confirm", "push-append", "push-deletions"]
)
@pytest.mark.parametrize("body", [b"", b"{}", b"\x00" * 100, b"[" * 5000], ids=["empty", "object", "zeros", "brackets"])
def test_what_proves_nothing_is_refused_in_json(name: str, body: bytes):
    for headers in ({}, {"Peer-Mac": "0" * 64, "Peer-Key-Id": "ä"}, dict.fromkeys(signing.FIELDS, "0" * 32)):
        response = send(f"/peer/v1/{name}", body, headers)
        assert 400 <= response.status_code < 500
        assert code(response)
    assert Nonce.objects.filter(is_challenge=True).count() == 0


def test_other_methods_and_unknown_messages_are_refused_in_json():
    for path in ("challenge", "hello", "call-back"):
        response = Client().get(f"/peer/v1/{path}", secure=True)
        assert (response.status_code, code(response)) == (405, "not_allowed")
    for path in ("", "nothing", "../login/x", "status/", "a" * 3000):
        response = Client().post(f"/peer/v1/{path}", secure=True)
        assert (response.status_code, code(response)) == (404, "unknown_message")


def test_a_body_over_the_limit_is_refused():
    response = send("/peer/v1/challenge", b" " * (1024 * 1024 + 1), {})
    assert (response.status_code, code(response)) == (413, "too_large")


def test_an_unexpected_error_is_a_signed_answer_without_detail(peer: Signer, monkeypatch, caplog):
    def fail(_: object) -> None:
        raise RuntimeError("the disk is made of cheese")

    broken = peer_views.Endpoint(ChallengeRequest, fail)
    monkeypatch.setitem(peer_views.ENDPOINTS, "challenge", broken)
    path, body, headers = signed(peer, ChallengeRequest())
    response = send(path, body, headers)
    assert (response.status_code, code(response)) == (500, "internal_error")
    assert b"cheese" not in response.content
    assert is_signed(response, peer, headers, path)
    assert "peer message failed" in caplog.text


def test_a_database_that_goes_away_before_the_refusal_is_signed_is_told_in_one_line(peer: Signer, monkeypatch, caplog):
    def away(*_: object) -> None:
        raise OperationalError("the connection is lost")

    monkeypatch.setitem(peer_views.ENDPOINTS, "challenge", peer_views.Endpoint(ChallengeRequest, away))
    monkeypatch.setattr(peer_views, "_signed", away)
    assert send(*signed(peer, ChallengeRequest())).status_code >= 500
    assert caplog.text.count("peer refusal not signed") == 1
    assert "Traceback" not in caplog.text


def test_denied_messages_are_logged_but_do_not_flood_the_log(caplog):
    peer_views._last_logged.clear()
    for _ in range(50):
        send("/peer/v1/challenge", b"{}", {})
    assert caplog.text.count("peer message refused") == 1


def test_two_endpoints_for_one_message_stop_the_start() -> None:
    endpoint = peer_views.Endpoint(ChallengeRequest, lambda _: Challenge("x"))
    assert list(peer_views.by_path(endpoint)) == [ChallengeRequest.path]
    with pytest.raises(ValueError, match="answer the same message"):
        peer_views.by_path(endpoint, endpoint)
