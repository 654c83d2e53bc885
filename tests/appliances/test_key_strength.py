"""Which typed keys are strong enough, and what the others are told."""

from __future__ import annotations

import pytest

from appliances import key_strength
from appliances.key_words import WORDS, words

STRONG = [
    "vK7#qm!Zx2&Lw9@Rt5^B",
    "f3a91c07be5d248846e09d1b7c52af68",
    "granite-Tuesday 47 violet! harbour_92 swims",
    "ÄÖ7küch3n-Fenster!9 qXw2",
]
WEAK = [
    ("short!7Kq", "at least 20"),
    ("a" * 40, "repetitions"),
    ("abcdefghijklmnopqrstuvwxyz", "sequences"),
    ("12345678901234567890123456", "sequences"),
    ("qwertyuiopasdfghjklzxcvbnm", "sequences"),
    ("passwordpasswordpassword1", "well-known"),
    ("thisisallplainletters", "plain letters"),
    ("abc123abc123abc123abc123", "too easy"),
    ("1234567890qwertyuiop", "too easy"),
    ("", "at least 20"),
    ("vK7#qm!Zx2&Lw9@Rt5^B\x00", "control characters"),
    ("vK7#qm!Zx2&Lw9@Rt5^B" * 100, "longer than 1000"),
]


@pytest.mark.parametrize("key", STRONG)
def test_a_strong_key_is_accepted(key: str):
    assert key_strength.problems(key) == []


@pytest.mark.parametrize(("key", "text"), WEAK)
def test_a_weak_key_is_told_why(key: str, text: str):
    assert text in " ".join(key_strength.problems(key))


@pytest.mark.parametrize(
    "key", ["password", "qwertyuiop", "1234567890qwertyuiop", "passwordpasswordpassword1", "a" * 40]
)
def test_a_bad_key_gets_one_clear_line(key: str):
    assert len(key_strength.problems(key)) == 1


def test_every_byte_has_its_own_word():
    assert len(WORDS) == len(set(WORDS)) == 256


def test_a_fingerprint_is_eight_words():
    assert words("0001020304050607") == "-".join(WORDS[:8])
    assert words("") == ""
