"""What is not a number of JSON, or fits in no column, is no message."""

from __future__ import annotations

import json

import pytest

from appliances.shared_ips import SharedAddress
from sync.errors import PeerMisbehaved
from sync.peer import messages
from sync.rules.facts import RoleState, header_of

STATUS = messages.Status(
    header=header_of(RoleState()),
    guid="a" * 32,
    host_name="site2.example.com",
    site_host_name="support.example.com",
    product="1.0.0",
    build="1.0.0 (a)",
    schema="b" * 64,
    clock=1.5,
    free_bytes=2**40,
    healthy=True,
    health_message="",
    backup_operations=True,
    data_sync_interval=900.0,
    takeover_after=None,
    test_ips=[],
    acknowledged_timeout=None,
    last_sync_at=None,
    last_sync_status="",
    pins=["c" * 64],
    change="",
    shared_ips=[SharedAddress("192.0.2.52", interface="eth0", prefix_length=24, present_on="eth0", has_carrier=True)],
    addresses=["192.0.2.50/24"],
)


def body(**fields: str) -> bytes:
    """The JSON of STATUS with some of its values written as given."""
    text = json.loads(messages.render(STATUS)) | {name: f"<{name}>" for name in fields}
    written = json.dumps(text)
    for name, value in fields.items():
        written = written.replace(f'"<{name}>"', value)
    return written.encode()


def test_a_status_reads_back():
    assert messages.parse(messages.Status, messages.render(STATUS)) == STATUS
    assert messages.parse(messages.Status, body(clock="7")).clock == 7.0


@pytest.mark.parametrize("value", ["[7]", '["192.0.2.52"]', '[{"address": "192.0.2.52"}]', "null"])
def test_a_shared_ip_is_told_completely_or_refused(value: str):
    with pytest.raises(PeerMisbehaved):
        messages.parse(messages.Status, body(shared_ips=value))


@pytest.mark.parametrize("value", ['["garbage"]', '["192.0.2.50/33"]', '[""]'])
def test_a_status_with_addresses_that_are_none_is_refused(value: str):
    with pytest.raises(PeerMisbehaved):
        messages.parse(messages.Status, body(addresses=value))


def test_a_status_with_a_shared_ip_that_is_no_address_is_refused():
    text = messages.render(STATUS).decode().replace('"address":"192.0.2.52"', '"address":"garbage"')
    with pytest.raises(PeerMisbehaved, match="garbage"):
        messages.parse(messages.Status, text.encode())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" + 400 * "0"])
@pytest.mark.parametrize("field", ["clock", "data_sync_interval", "last_sync_at", "free_bytes"])
def test_what_is_no_number_is_refused(field: str, number: str):
    with pytest.raises(PeerMisbehaved):
        messages.parse(messages.Status, body(**{field: number}))


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_a_number_that_no_column_holds_is_refused(number: int):
    with pytest.raises(PeerMisbehaved):
        messages.parse(messages.Status, body(free_bytes=str(number)))


@pytest.mark.parametrize("value", ["[]", "{}", "[[]]", "null", "1"])
def test_what_is_no_name_of_a_state_is_refused(value: str):
    text = json.loads(messages.render(STATUS))
    text["header"]["state"] = json.loads(value)
    with pytest.raises(PeerMisbehaved):
        messages.parse(messages.Status, json.dumps(text).encode())
