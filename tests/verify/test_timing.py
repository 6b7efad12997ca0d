"""What came before what, latencies and percentiles."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.evidence import Event
from testrium.verify.timing import (
    UNANSWERED,
    UNKNOWN,
    Latencies,
    Latency,
    Order,
    Timeline,
    latency_between,
    order_of,
)
from testrium.words import EMPTY

Make = Callable[..., Event]


def event(
    t_ns: int,
    low: int | None = None,
    *,
    domain: str = "here",
    pid: int = 1,
    seq: int | None = None,
    start: int = 1,
    owner: str = "a",
    line: int = 1,
) -> Event:
    return Event(
        line,
        owner,
        "s",
        "Default",
        None,
        (),
        t_ns,
        low,
        0,
        domain,
        pid,
        seq,
        start,
        1,
        owner,
        EMPTY,
    )


events = st.builds(
    event,
    st.integers(5, 9),
    st.none() | st.integers(1, 5),
    domain=st.sampled_from(["here", "there"]),
    pid=st.integers(1, 2),
    seq=st.none() | st.integers(1, 6),
    line=st.integers(1, 4),
)


@pytest.mark.parametrize(
    ("one", "other", "order"),
    [
        (event(1), event(2), Order.EARLIER),
        (event(2), event(2), Order.EARLIER),
        (event(3), event(2), Order.LATER),
        (event(3, low=1), event(2), Order.OVERLAPPING),
        (event(3, low=1), event(5, low=3), Order.EARLIER),
        (event(9, low=4), event(3, low=1), Order.LATER),
        (event(1), event(2, domain="x"), Order.FOREIGN),
        (event(9, seq=1), event(2, seq=2), Order.EARLIER),
        (event(1, seq=2), event(2, seq=1), Order.LATER),
        (event(9, seq=1, pid=7), event(2, seq=2), Order.LATER),
        (event(9, seq=1, start=2), event(2, seq=2), Order.LATER),
        (event(9, seq=1, owner="b"), event(2, seq=2), Order.LATER),
        (event(9, seq=1), event(2), Order.LATER),
        (event(1, seq=1, domain="x"), event(2, seq=2), Order.EARLIER),
        # A number that was given twice says nothing, the clock does.
        (event(9, seq=1), event(2, seq=1), Order.LATER),
        # Lines of one file, without times of their own.
        (event(9, low=1, line=1), event(9, low=1, line=2), Order.EARLIER),
        (event(9, low=1, line=2), event(9, low=1, line=1), Order.LATER),
        (event(9, low=1, line=2, pid=7), event(9, low=1, line=1), Order.LATER),
        # Not of one file: another unit's, another start's, a log of the runner's reading.
        (event(9, low=1, line=2, owner="b"), event(9, low=1, line=1), Order.OVERLAPPING),
        (event(9, low=1, line=2, start=2), event(9, low=1, line=1), Order.OVERLAPPING),
        (event(9, low=1, line=2, pid=-1), event(9, low=1, line=1, pid=-2), Order.OVERLAPPING),
        (event(9, low=1, line=2, seq=1), event(9, low=1, line=1), Order.OVERLAPPING),
    ],
)
def test_order(one: Event, other: Event, order: Order) -> None:
    assert order_of(one, other) is order


@given(st.lists(events, max_size=12), events)
def test_a_timeline_counts_like_one_by_one(many: list[Event], one: Event) -> None:
    expected = sum(order_of(other, one) is not Order.LATER for other in many)
    assert Timeline(many).not_later(one) == expected


@pytest.mark.parametrize(
    ("starts", "ends", "expected"),
    [
        ([event(1)], [([event(5)], 1)], Latency(4, 4)),
        ([event(1), event(3)], [([event(5)], 1)], Latency(4, 4)),
        ([event(1)], [([event(5), event(8)], 1)], Latency(4, 4)),
        ([event(1)], [([event(5), event(8)], 2)], Latency(7, 7)),
        ([event(1)], [([event(5)], 1), ([event(4)], 1)], Latency(4, 4)),
        ([event(3, low=1)], [([event(5)], 1)], Latency(2, 4)),
        ([event(1)], [([event(8, low=4)], 1)], Latency(3, 7)),
        ([event(1)], [([event(5, domain="x")], 1)], UNKNOWN),
        # A stage took at least as long as the hop that is known.
        ([event(1)], [([event(5)], 1), ([event(4, domain="x")], 1)], Latency(4, inf)),
        ([event(1)], [([event(5), event(4, domain="x")], 2)], Latency(4, inf)),
        ([event(1)], [([event(5), event(4, domain="x")], 1)], UNKNOWN),
        ([event(1), event(1, domain="x")], [([event(5)], 1)], Latency(4, inf)),
    ],
)
def test_span(starts: list[Event], ends: list[Any], expected: Latency) -> None:
    assert latency_between(starts, ends) == expected


def test_latencies_with_an_unanswered_key() -> None:
    latencies = Latencies({"k1": 1_000_000, "k2": 2_000_000}, {"k3": UNANSWERED})
    assert latencies.count == 3
    assert latencies.percentile(50) == Latency(2_000_000, 2_000_000)
    assert latencies.percentile(99).low == inf
    assert latencies.percentile_ms(50) == 2.0
    assert latencies.percentile_ms(95) is None
    assert latencies.max_ms() == 2.0
    assert [name for name, _ in latencies.over(1_500_000)] == ["k2", "k3"]


def test_latencies_that_are_not_known() -> None:
    latencies = Latencies({}, {"k1": Latency(1, 5), "k2": UNKNOWN})
    assert latencies.percentile(50) == Latency(-inf, 5)
    assert latencies.percentile_ms(50) == 5 / 1e6  # at most
    assert latencies.max_ms() == 5 / 1e6
    assert Latencies({}, {"k1": UNKNOWN, "k2": UNKNOWN}).percentile_ms(50) is None
    assert Latencies({}, {"k1": UNKNOWN}).max_ms() is None


def test_too_few_samples() -> None:
    assert [Latencies({f"k{n}": n for n in range(20)}, {}).enough(p) for p in (50, 95, 99)] == [
        True,
        True,
        False,
    ]
    assert not Latencies({"k": 1}, {}).enough(50)
    assert Latencies({}, {}).max_ms() is None
