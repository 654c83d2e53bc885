"""How hard a typed inter-appliance key is to guess: an estimate in bits, and texts that say what is wrong.

The estimate walks through the key and charges each piece what a guesser would have to try: a repetition, a run of the
keyboard or the alphabet, a well-known password and plain words cost little, anything else its full alphabet.
"""

from __future__ import annotations

import math
import string
from functools import cache

from django.contrib.auth.password_validation import CommonPasswordValidator

MINIMUM_CHARACTERS = 20
MAXIMUM_CHARACTERS = 1000
MINIMUM_BITS = 80

RUN_BITS = 8.0  # where it starts, which way, how long
REPEAT_BITS = 6.0  # from where, how long
WORD_BITS_PER_CHARACTER = 2.5  # letters of one case read like words: far less than 4.7 bits each
SHORTEST_PIECE = 3
SHORTEST_WORD = 4
RUNS = (
    string.ascii_lowercase,
    string.digits + "0",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "azertyuiop",
    "yxcvbnm",
)
ALPHABETS = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
OTHER_CHARACTERS = 33


@cache
def _common() -> frozenset[str]:
    return frozenset(CommonPasswordValidator().passwords)


def problems(key: str) -> list[str]:
    """What is wrong with a typed key, the first thing found; empty where it may be used."""
    if len(key) > MAXIMUM_CHARACTERS:
        return [f"The key is longer than {MAXIMUM_CHARACTERS} characters."]
    if any(ord(character) < 32 or ord(character) == 127 for character in key):
        return ["The key must be one line without control characters."]
    if len(key) < MINIMUM_CHARACTERS:
        return [f"The key has {len(key)} characters; at least {MINIMUM_CHARACTERS} are needed."]
    bits, weaknesses = estimate(key)
    if bits < MINIMUM_BITS:
        why = f" It consists largely of {' and '.join(weaknesses)}." if weaknesses else ""
        return [
            f"The key is too easy to guess: about {bits:.0f} bits, at least {MINIMUM_BITS} are needed.{why} "
            "Use Generate, or add more unrelated words, digits and signs."
        ]
    if key.lower() in _common():
        return ["The key is on the list of commonly used passwords."]
    return []


def estimate(key: str) -> tuple[float, list[str]]:
    """The bits that a guesser has to try, and the kinds of weakness found."""
    pool = sum(len(alphabet) for alphabet in ALPHABETS if any(character in alphabet for character in key))
    if any(character not in string.ascii_letters + string.digits for character in key):
        pool += OTHER_CHARACTERS
    per_character = math.log2(max(pool, 2))
    bits, weaknesses, position, lower = 0.0, [], 0, key.lower()
    while position < len(key):
        length, cost, weakness = _piece(key, lower, position, per_character)
        bits, position = bits + min(cost, length * per_character), position + length
        if weakness and weakness not in weaknesses:
            weaknesses.append(weakness)
    return bits, weaknesses


def _piece(key: str, lower: str, start: int, per_character: float) -> tuple[int, float, str]:
    """The cheapest reading of what stands at `start`: its length, its bits, its weakness."""
    if length := _repeat(lower, start):
        return length, REPEAT_BITS, "repetitions"
    if length := _run(lower, start):
        return length, RUN_BITS, "sequences such as abc or 123"
    if length := _common_word(lower, start):
        return length, math.log2(len(_common())), "well-known passwords"
    end = start
    same = str.islower if key[start].islower() else str.isupper
    while end < len(key) and key[end].isascii() and key[end].isalpha() and same(key[end]):
        if end > start and _run(lower, end):
            break
        end += 1
    if end - start >= SHORTEST_WORD:
        return end - start, (end - start) * WORD_BITS_PER_CHARACTER, "plain letters"
    return 1, per_character, ""


def _repeat(text: str, start: int) -> int:
    """The length of the longest piece at `start` that stood before it; 0 where shorter than three."""
    length = 0
    while start + length < len(text) and text[start : start + length + 1] in text[: start + length]:
        length += 1
    return length if length >= SHORTEST_PIECE else 0


def _run(text: str, start: int) -> int:
    """The length of the alphabet or keyboard run at `start`; 0 where shorter than three."""
    best = 0
    for row in (*RUNS, *(run[::-1] for run in RUNS)):
        length = 0
        while start + length < len(text) and text[start : start + length + 1] in row:
            length += 1
        best = max(best, length)
    return best if best >= SHORTEST_PIECE else 0


def _common_word(text: str, start: int) -> int:
    """The length of the longest well-known password at `start`; 0 where there is none."""
    for length in range(min(20, len(text) - start), SHORTEST_WORD - 1, -1):
        if text[start : start + length] in _common():
            return length
    return 0
