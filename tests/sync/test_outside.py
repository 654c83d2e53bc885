"""Programs from outside: what they are told, what counts as their answer, and what does not."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pytest_django import Settings

from appliances.choices import State
from sync import failover, journal, outside
from tests.sync.test_failover import silent_primary, turn_until


def answer_of(command: str, seconds: float = 10.0, **environment: str) -> bool | None:
    """What a program answers, once it has ended."""
    errand = outside.Errand(command, seconds, environment)
    errand.thread.join(seconds + 5)
    return errand.answer


def test_a_command_with_an_unbalanced_quote_means_no() -> None:
    assert answer_of("/usr/bin/fence 'outlet 4") is False


@pytest.mark.django_db(transaction=True)
def test_such_a_fencing_command_does_not_leave_the_appliance_taking_over_for_ever(settings: Settings) -> None:
    settings.FENCING_COMMAND = "/usr/bin/fence 'outlet 4"
    silent_primary(automatic=True, silence=11)
    pulse = failover.Pulse()
    failover.consider(pulse, stood_still=0)
    turn_until(pulse, State.B_IDLE)
    assert journal.read().state == State.B_IDLE


@pytest.mark.parametrize("name", ["FENCING_COMMAND", "WITNESS_COMMAND"])
def test_an_appliance_does_not_start_with_such_a_command(name: str, tmp_path: Path) -> None:
    told = {**os.environ, "DATA_DIR": str(tmp_path), name: "fence 'outlet 4"}
    told["DJANGO_SETTINGS_MODULE"] = "failover_site.settings"
    code = "import django; django.setup()"
    ended = subprocess.run([sys.executable, "-c", code], env=told, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert f"{name} cannot be read as words" in ended.stderr


@pytest.mark.parametrize(("status", "is_yes"), [(0, True), (1, False)])
def test_a_child_that_a_program_leaves_behind_is_not_waited_for(status: int, is_yes: bool) -> None:
    began = time.monotonic()
    assert answer_of(f"sh -c 'echo done; sleep 8 & exit {status}'", seconds=3.0) is is_yes
    assert time.monotonic() - began < 2


def test_a_program_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    late = tmp_path / "late"
    assert answer_of(f"sh -c '(sleep 1; touch {late}) & wait'", seconds=0.3) is False
    time.sleep(1.2)
    assert not late.exists()


def test_a_program_finds_no_secrets_in_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "secret")
    monkeypatch.setenv("DATABASE_URL", "postgres://user:secret@host/db")
    told = tmp_path / "told"
    code = f"import json, os; open({str(told)!r}, 'w').write(json.dumps(dict(os.environ)))"
    assert answer_of(shlex.join([sys.executable, "-c", code]), TERM="5") is True
    found = json.loads(told.read_text())
    assert found["TERM"] == "5"
    assert set(found) <= {"PATH", "LANG", "TERM", "LC_CTYPE"}


def test_a_program_may_say_as_much_as_it_likes() -> None:
    assert answer_of(shlex.join([sys.executable, "-c", "print('word ' * 1_000_000)"])) is True


@dataclass
class Asked:
    """A witness that grants at once, on a clock that each look moves on by a twentieth of a second."""

    moments: list[float] = field(default_factory=list)
    now: float = 1000.0

    def boottime(self) -> float:
        """The clock."""
        self.now += 0.05
        return self.now

    def run(self, *_: object) -> outside.Errand:
        """One errand that has ended."""
        errand = object.__new__(outside.Errand)
        errand.asked, errand.answer = self.boottime(), True
        errand.thread = threading.Thread(target=lambda: None)
        errand.thread.start()
        self.moments.append(errand.asked)
        return errand


def kept(monkeypatch: pytest.MonkeyPatch) -> tuple[Asked, outside.Lease]:
    """The word of a witness that a single turn wanted, for a second."""
    asked = Asked()
    monkeypatch.setattr(journal, "boottime", asked.boottime)
    monkeypatch.setattr(outside, "_run", asked.run)
    monkeypatch.setattr(outside, "_told", dict)
    lease = outside.Lease()
    lease.keep(2, 1)
    return asked, lease


def test_the_witness_is_asked_again_though_no_turn_comes_until_half_of_its_word_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, lease = kept(monkeypatch)
    assert lease._thread is not None
    lease._thread.join(10)
    assert not lease._thread.is_alive()
    assert len(asked.moments) >= 2
    assert lease.granted == asked.moments[-1]
    assert asked.moments[-1] - 1000.0 <= 0.5 + 0.2


def test_who_is_no_serving_primary_asks_the_witness_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    _, lease = kept(monkeypatch)
    pulse = failover.Pulse()
    pulse.lease = lease
    pulse.give_lease_up()
    assert vars(pulse)["lease"] is None
    assert lease._thread is not None
    lease._thread.join(10)
    assert not lease._thread.is_alive()
