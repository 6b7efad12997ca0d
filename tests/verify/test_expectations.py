"""What a scenario still waits for while its events come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.run.expectations import MOST_LOOKED_AT, Expectations
from testrium.verify.judge import judge
from testrium.words import Code

Tables = Callable[[str], Any]

#: run: what is still open at its end
TABLE = {
    "unit a up down;a:up": ["a:down"],
    "unit a up;a:up": [],
    "unit a stop_events=down": [],
    "unit a up;b:up": ["a:up"],
    "circuit a:s b:r": ["1 more key at a:s"],
    "circuit a:s b:r keys=0..": [],
    "circuit a:s b:r keys=0..;a:s> k": ["key k at b:r"],
    "circuit a:s b:r keys=2;a:s> k1;b:r< k1": ["1 more key at a:s"],
    "circuit a:s b:r keys=2;a:s> k1 k2;b:r< k1": ["key k2 at b:r"],
    "circuit a:s b:r;a:s> k1 k2 k3 k4": ["4 keys at b:r"],
    "circuit a:s b:r{2};a:s> k;b:r< k": ["key k at b:r"],
    "circuit a:s b:r{2};a:s> k;b:r< k k": [],
    "circuit a:s b:r{2};a:s> k;b:r< k k k": [],
    "circuit a:s b:r? c:t*;a:s> k": [],
    "circuit a:s|b:s c:r+;b:s> k;c:r< k k": [],
    "circuit a:s *:r;a:s> k;c:r< k": [],
    "circuit a:s b:r a:s;a:s> k;b:r< k": ["key k at a:s"],
    "circuit a:s b:r a:s;a:s> k;b:r< k;a:s> k": [],
    "circuit a:s b:r;a:s> k1;b:r< k2 cause=k1": [],
    "circuit a:s{2} b:r;a:s> k1 k2;b:r< k3 cause=k1,k2": [],
    "circuit a:s b:r c:t;a:s> k1;c:t k3 cause=k2;b:r< k2 cause=k1": [],
    "circuit a:s b:r;a:s> k1;b:r< k2": [
        "key k2 at a:s",
        "key k1 at b:r",
    ],
    "circuit a:s b:r;a:s> k;b:r": ["key k at b:r"],
    "circuit a:s b:r;a:s> k;b:r cause=k": [],
    "circuit a:s b:r per=run;a:s": ["b:r"],
    "circuit a:s b:r per=run;a:s k1;b:r k2": [],
    "rule orphans=forbid;a:s> k1 k2;b:r< k1": ["the receiver of 1 key"],
    "rule orphans=forbid;b:r< k1;a:s> k1": [],
    "rule orphans=forbid;b:r< k1": ["the sender of 1 key"],
    "rule orphans=forbid;a:s k1": [],
    "rule orphans=allow;a:s> k1": [],
    "unit a up;a:up attempt=2": ["a:up"],
}


@pytest.mark.parametrize("text", TABLE)
def test_what_is_open(text: str, table: Tables) -> None:
    case = table(text.replace(";", "\n"))
    expectations = Expectations(case.scenario())
    expectations.feed(case.evidence().events)
    assert list(expectations.waiting()) == TABLE[text]
    assert expectations.met() == (not TABLE[text])


@pytest.mark.parametrize("text", TABLE)
def test_it_does_not_matter_how_events_are_fed(text: str, table: Tables) -> None:
    case = table(text.replace(";", "\n"))
    expectations = Expectations(case.scenario())
    for event in case.evidence().events:
        expectations.feed([event])
        expectations.met()
    assert list(expectations.waiting()) == TABLE[text]


def test_a_new_attempt_begins_from_nothing(table: Tables) -> None:
    case = table(
        """
        unit a up
        rule orphans=forbid
        circuit a:s b:r
        a:up
        a:s> k
        b:r< k
        a:up attempt=2"""
    )
    expectations = Expectations(case.scenario())
    expectations.feed(case.evidence().events)
    assert expectations.met()
    expectations.reset()
    assert expectations.waiting() == (
        "1 more key at a:s",
        "a:up",
    )
    expectations.feed(case.evidence().events)
    assert expectations.waiting() == ("1 more key at a:s",)


KEYS = ("k1", "k2", "k3", "k4", "k5")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a:s", "b:r"]),
            st.sampled_from(KEYS),
            st.lists(st.sampled_from(KEYS), max_size=2),
        ),
        max_size=8,
    ),
    st.integers(0, 3),
)
def test_joined_keys_are_one_instance(
    table: Tables, lines: list[tuple[str, str, list[str]]], least: int
) -> None:
    """Joined while the events come in, or afterwards by the judgement: the same instances."""
    events = [
        f"{place} {key}" + (f" cause={','.join(causes)}" if causes else "")
        for place, key, causes in lines
    ]
    case = table("\n".join([f"circuit a:s+ b:r+ keys={least}..", *events]))
    expectations = Expectations(case.scenario())
    for event in case.evidence().events:
        expectations.feed([event])
    judgement = judge(case.scenario(), case.evidence())
    not_there = {Code.LOST, Code.PHANTOM, Code.VACUOUS}
    assert expectations.met() == not_there.isdisjoint(f.code for f in judgement.findings)


def test_of_very_many_keys_none_is_looked_at(table: Tables) -> None:
    keys = " ".join(f"k{number}" for number in range(MOST_LOOKED_AT + 1))
    case = table(f"circuit a:s b:r\na:s> {keys}")
    expectations = Expectations(case.scenario())
    expectations.feed(case.evidence().events)
    assert expectations.waiting() == ("keys of circuit command, 10001 so far",)
