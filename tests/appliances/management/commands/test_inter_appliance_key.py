"""The inter-appliance key from the shell."""

from __future__ import annotations

import io
import sys

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from appliances import selectors

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("inter_appliance_key", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_what_one_appliance_generates_the_other_takes_with_the_same_fingerprint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    typed, fingerprint = run("--generate")
    generated = selectors.inter_appliance_key()
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    _, again = run("--set-from-stdin")
    taken = selectors.inter_appliance_key()
    assert fingerprint == again
    assert generated is not None
    assert taken is not None
    assert generated.key_id == taken.key_id


def test_without_an_option_only_the_fingerprint_is_shown() -> None:
    typed, fingerprint = run("--generate")
    out, err = run()
    assert (out, err) == ("", fingerprint)
    assert typed.strip() not in err


def test_a_weak_key_is_refused_and_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("password\n"))
    with pytest.raises(CommandError):
        run("--set-from-stdin")
    assert selectors.inter_appliance_key() is None


def test_an_appliance_without_a_key_says_so() -> None:
    with pytest.raises(CommandError, match="No inter-appliance key"):
        run()
