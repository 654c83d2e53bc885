"""Asking an address: by ICMP where that is allowed, else by TCP, and never for longer than told."""

from __future__ import annotations

import time

from appliances.host.ping import _tcp, ask, ask_all


def test_an_address_of_this_machine_answers() -> None:
    for address in ("127.0.0.1", "::1"):
        answer = ask(address, seconds=2)
        assert answer.answered
        assert answer.how


def test_a_refused_connection_is_an_answer() -> None:
    assert _tcp("127.0.0.1", 2).how.startswith("TCP 443")


def test_several_are_asked_beside_each_other() -> None:
    started = time.monotonic()
    answers = ask_all([f"127.0.0.{last}" for last in range(1, 9)], seconds=2)
    assert [answer.address for answer in answers] == [f"127.0.0.{last}" for last in range(1, 9)]
    assert all(answer.answered for answer in answers)
    assert time.monotonic() - started < 2
    assert ask_all([], seconds=1) == []
