"""Fix This Error decides for every pair of evidence, the same from both sides."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.rules.conflict import Evidence, decide
from sync.rules.facts import Head

heads = st.builds(Head, st.integers(-1, 3), st.integers(0, 3))


def evidence(guid: str) -> st.SearchStrategy[Evidence]:
    return st.builds(
        Evidence,
        guid=st.just(guid),
        has_site_name=st.booleans(),
        initialised=st.booleans(),
        head=heads,
        own_term=st.integers(-1, 4),
        is_normal_primary=st.booleans(),
        holds_shared_ip=st.booleans(),
        clients=st.integers(0, 2),
        newest_session=st.sampled_from([0.0, 1.0]),
    )


@given(evidence("a"), evidence("b"))
def test_both_sides_name_the_same_appliance(one: Evidence, other: Evidence) -> None:
    choice = decide(one, other)
    assert choice == decide(other, one)
    assert {choice.winner, choice.loser} == {"a", "b"}
    assert choice.told("site2.example.com").startswith("site2.example.com is to be primary, because ")


@given(evidence("a"), evidence("b"))
def test_an_appliance_that_never_synchronised_does_not_win_against_one_that_has(one: Evidence, other: Evidence) -> None:
    by_guid = {"a": one, "b": other}
    choice = decide(one, other)
    assert by_guid[choice.winner].initialised or not by_guid[choice.loser].initialised


@given(evidence("a"), evidence("b"))
def test_older_settings_of_the_winner_are_told(one: Evidence, other: Evidence) -> None:
    by_guid = {"a": one, "b": other}
    choice = decide(one, other)
    assert choice.winner_has_older_settings == (by_guid[choice.winner].head < by_guid[choice.loser].head)


def test_the_criteria_count_in_their_order() -> None:
    base = Evidence("a", has_site_name=False, initialised=True, head=Head(1, 1), own_term=1, is_normal_primary=False)
    other = replace(base, guid="b")
    assert decide(replace(base, has_site_name=True), replace(other, holds_shared_ip=True)).winner == "b"
    assert decide(replace(base, holds_shared_ip=True, initialised=False), other).winner == "b"
    assert decide(base, replace(other, has_site_name=True, head=Head(0, 0))).winner == "b"
    assert decide(replace(base, initialised=False), other).criterion == "initialised"
    assert decide(replace(base, head=Head(1, 2), own_term=0), other).criterion == "head"
    assert decide(replace(base, own_term=3), replace(other, is_normal_primary=True)).winner == "a"
    assert decide(base, replace(other, is_normal_primary=True)).criterion == "is_normal_primary"
    assert decide(base, other).criterion == "guid"


def test_settings_of_a_later_term_are_not_called_newer() -> None:
    """Those of the earlier term may have been changed later by the clock."""
    old = Evidence("a", has_site_name=False, initialised=True, head=Head(2, 3), own_term=2, is_normal_primary=True)
    new = replace(old, guid="b", head=Head(3, 0), own_term=3)
    assert decide(old, new).because == "its settings are those of the appliance that became primary last"
    assert decide(old, replace(new, head=Head(2, 4))).because == "it has the newer settings"


# Each field of the evidence with a value that speaks against an appliance and one that speaks for it.
VALUES: dict[str, tuple[object, object]] = {
    "has_site_name": (False, True),
    "initialised": (False, True),
    "head": (Head(0, 1), Head(1, 0)),
    "own_term": (-1, 1),
    "is_normal_primary": (False, True),
    "holds_shared_ip": (False, True),
    "clients": (0, 3),
    "newest_session": (0.0, 9.0),
}


def every_evidence(guid: str) -> list[Evidence]:
    return [Evidence(guid, **dict(zip(VALUES, values, strict=True))) for values in itertools.product(*VALUES.values())]  # type: ignore[arg-type]


def test_every_pair_of_evidence_is_decided_the_same_from_both_sides_and_again() -> None:
    assert {field.name for field in fields(Evidence)} == {"guid", *VALUES}, "each field takes part"
    others = every_evidence("b")
    for one in every_evidence("a"):
        for other in others:
            choice = decide(one, other)
            assert choice == decide(other, one) == decide(one, other)
            assert {choice.winner, choice.loser} == {"a", "b"}
            winner, loser = (one, other) if choice.winner == "a" else (other, one)
            assert winner.initialised or not loser.initialised
            assert choice.criterion == "guid" or getattr(winner, choice.criterion) > getattr(loser, choice.criterion)


@pytest.mark.parametrize("name", VALUES)
def test_each_criterion_decides_where_nothing_before_it_does(name: str) -> None:
    base = Evidence("a", *(values[1] for values in VALUES.values()))  # type: ignore[arg-type]
    worse = replace(base, guid="b", **{name: VALUES[name][0]})  # type: ignore[arg-type]
    choice = decide(base, worse)
    assert (choice.winner, choice.criterion) == ("a", name)
    # Again once the roles are as decided: the winner has begun a new term and the loser holds no address.
    after = replace(base, own_term=base.own_term + 2, head=Head(base.own_term + 2, 0))
    assert decide(after, replace(worse, holds_shared_ip=False)).winner == "a"
