"""The signed envelope: nothing of a message can be changed, replayed to its sender, or answered by somebody else."""

from __future__ import annotations

from typing import Any

import pytest

from sync.errors import MessageRefused
from sync.peer import signing
from sync.peer.signing import Channel, Signer

KEY = b"K" * 32
A, B = "a" * 32, "b" * 32
PAIR = "5" * 32
NONCE = "1" * 32
BODY = b'{"x":1}'
REQUEST: dict[str, Any] = {
    "method": "POST",
    "target": "/peer/v1/status",
    "content_type": "application/json",
    "body": BODY,
}


def channel(own: str = A, peer: str = B, *, key: bytes = KEY, pair_id: str = PAIR, direction: str = "a-b") -> Channel:
    return Channel.of(key, pair_id=pair_id, own_guid=own, peer_guid=peer, direction=direction)


AT_A = Signer(channel(), term=4, role="primary")
AT_B = Signer(channel(B, A, direction="b-a"), term=3, role="backup")


def request_headers(**changes: Any) -> dict[str, str]:
    return AT_A.request(**{**REQUEST, "created": 1_800_000_000.0, "nonce": NONCE, **changes})


def is_accepted(headers: dict[str, str], **changes: Any) -> bool:
    """Whether B finds the signature of the request right."""
    envelope = signing.read_envelope(headers)
    text = signing.request_text(envelope, **{**REQUEST, **changes})
    return signing.is_genuine(text, envelope.mac, AT_B.channel.receiving_key)


def response_headers(signer: Signer = AT_B, **changes: Any) -> dict[str, str]:
    asked = signing.read_envelope(request_headers())
    return signer.response(asked=asked, **{**REQUEST, "status": 200, "created": 1_800_000_000.5, **changes})


def check(headers: dict[str, str], at: Signer = AT_A, **changes: Any) -> None:
    signing.check_response(at.channel, headers, **{**REQUEST, "status": 200, "nonce": NONCE, **changes})


def test_a_request_is_accepted_as_it_was_sent():
    assert is_accepted(request_headers())


@pytest.mark.parametrize(
    "change",
    [{"method": "GET"}, {"target": "/peer/v1/grant"}, {"target": "/peer/v1/status?x=1"}, {"content_type": "text/xml"},
     {"body": b'{"x":2}'}, {"body": b""}],
    ids=str,
)  # fmt: skip
def test_a_request_changed_outside_its_head_is_refused(change: dict[str, Any]):
    assert not is_accepted(request_headers(), **change)


OTHERS = {
    "Peer-Direction": "b-a",
    "Peer-Pair": "6" * 32,
    "Peer-From": "c" * 32,
    "Peer-To": "c" * 32,
    "Peer-Created": "1800000001.000",
    "Peer-Nonce": "2" * 32,
    "Peer-Term": "6",
    "Peer-Role": "backup",
    "Peer-Key-Id": "0" * 16,
    "Peer-Challenge": "3" * 64,
    "Peer-Mac": "0" * 64,
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_request_with_another_field_in_its_head_is_refused(name: str):
    assert not is_accepted({**request_headers(), name: OTHERS[name]})


@pytest.mark.parametrize("name", [*OTHERS, "Peer-Protocol", "Peer-Body"])
def test_a_message_without_a_field_is_unsigned(name: str):
    headers = request_headers()
    del headers[name]
    with pytest.raises(MessageRefused) as refused:
        signing.read_envelope(headers)
    assert refused.value.reason == "unsigned"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Peer-Protocol", "peer-v2"),
        ("Peer-Term", "1.5"),
        ("Peer-Term", "٣"),
        ("Peer-Created", "now"),
        ("Peer-Created", "nan"),
        ("Peer-Nonce", "1" * 31),
        ("Peer-Nonce", "1" * 32 + "\n"),
        ("Peer-Role", "king"),
        ("Peer-Mac", "zz" * 32),
        ("Peer-Body", "stream:"),
        ("Peer-From", "A" * 32),
    ],
)
def test_a_field_of_another_form_is_refused(name: str, value: str):
    with pytest.raises(MessageRefused) as refused:
        signing.read_envelope({**request_headers(), name: value})
    assert refused.value.reason == "bad_header"


def test_another_key_signs_nothing_that_is_accepted():
    stranger = Signer(channel(key=b"X" * 32), term=4, role="primary")
    assert not is_accepted(stranger.request(**REQUEST, created=1.0, nonce=NONCE))


def test_the_keys_of_another_pair_sign_nothing_that_is_accepted():
    stranger = Signer(channel(pair_id="7" * 32), term=4, role="primary")
    headers = stranger.request(**REQUEST, created=1.0, nonce=NONCE)
    assert not is_accepted({**headers, "Peer-Pair": PAIR})


def test_a_streamed_request_is_bound_to_its_first_frame():
    one = request_headers(body=None, stream_head=b"one")
    two = request_headers(body=None, stream_head=b"two")
    assert is_accepted(one, body=None)
    assert not is_accepted({**one, "Peer-Body": two["Peer-Body"]}, body=None)


def test_a_response_is_accepted_as_it_was_sent():
    check(response_headers())


@pytest.mark.parametrize(
    "change",
    [{"method": "GET"}, {"target": "/peer/v1/grant"}, {"content_type": "text/xml"}, {"body": b"{}"}, {"status": 409},
     {"body": None}],
    ids=str,
)  # fmt: skip
def test_a_changed_response_is_refused(change: dict[str, Any]):
    with pytest.raises(MessageRefused) as refused:
        check(response_headers(), **change)
    assert refused.value.reason == "bad_mac"


@pytest.mark.parametrize("name", OTHERS)
def test_a_response_with_another_field_in_its_head_is_refused(name: str):
    value = OTHERS[name] if name != "Peer-Direction" else "a-b"
    with pytest.raises(MessageRefused) as refused:
        check({**response_headers(), name: value if name != "Peer-Role" else "primary"})
    assert refused.value.reason == ("key_differs" if name == "Peer-Key-Id" else "bad_mac")


def test_the_answer_to_another_request_is_refused():
    with pytest.raises(MessageRefused) as refused:
        check(response_headers(), nonce="2" * 32)
    assert refused.value.reason == "other_request"


def test_a_request_sent_back_as_its_own_answer_is_refused():
    with pytest.raises(MessageRefused) as refused:
        check(request_headers())
    assert refused.value.reason == "bad_mac"


def test_an_answer_of_this_appliance_itself_is_refused():
    """The address leads back: the same appliance answers, with the right key for the direction."""
    myself = Signer(channel(A, A, direction="b-a"), term=4, role="primary")
    with pytest.raises(MessageRefused) as refused:
        check(response_headers(myself))
    assert refused.value.reason == "reflected"


def test_an_answer_of_a_third_appliance_with_the_same_key_is_refused():
    third = Signer(channel("c" * 32, A, direction="b-a"), term=4, role="primary")
    with pytest.raises(MessageRefused) as refused:
        check(response_headers(third))
    assert refused.value.reason == "wrong_appliance"


def test_the_two_directions_have_different_keys():
    assert AT_A.channel.sending_key != AT_A.channel.receiving_key
    assert AT_A.channel.sending_key == AT_B.channel.receiving_key
