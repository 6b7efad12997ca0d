"""Overtaking, against the definition; large instances, against small ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from testrium.evidence import Event
from testrium.verify import timing
from testrium.verify.timing import misplaced, overtaking, surely_before
from testrium.words import EMPTY


def event(
    t_ns: int, span: int = 0, *, pid: int = 1, seq: int | None = None, domain: str = "here"
) -> Event:
    low = t_ns - span if span else None
    return Event(1, "a", "s", "Send", "k", (), t_ns, low, 0, domain, pid, seq, 1, 1, "a", EMPTY)


times = st.integers(5, 15)
vague = st.builds(
    event,
    times,
    st.sampled_from([0, 0, 3]),
    pid=st.integers(1, 2),
    seq=st.none() | st.integers(1, 6),
    domain=st.sampled_from(["here", "here", "there"]),
)


def surely_overtook(one: tuple[Event, Event], other: tuple[Event, Event]) -> bool:
    return surely_before(other[0], one[0]) and surely_before(one[1], other[1])


@given(st.lists(st.tuples(vague, vague), max_size=12))
def test_overtaking_is_what_it_is_defined_to_be(passages: list[tuple[Event, Event]]) -> None:
    expected = {
        number
        for number, fast in enumerate(passages)
        if any(surely_overtook(fast, slow) for slow in passages)
    }
    found = overtaking([one for one, _ in passages], [other for _, other in passages])
    assert {fast for fast, _ in found} == expected
    assert all(surely_overtook(passages[fast], passages[slow]) for fast, slow in found)


def test_numbers_of_one_process_go_before_its_clock() -> None:
    sent = [event(1), event(2)]
    arrived = [event(9, seq=2), event(9, seq=1)]
    assert overtaking(sent, arrived) == [(1, 0)]


@given(
    st.lists(st.builds(event, times, pid=st.integers(1, 3)), min_size=9, max_size=20),
    st.lists(st.builds(event, times, pid=st.integers(1, 3)), min_size=1, max_size=5),
    st.integers(1, 20),
)
def test_many_events_are_counted_like_few(
    before: list[Event], after: list[Event], least: int
) -> None:
    before.sort(key=lambda e: e.t_ns)
    need = min(least, len(before))
    found = misplaced([[(0, least)], [(1, 1)]], [before, after])
    expected = [e for e in after if sum(prior.t_ns <= e.t_ns for prior in before) < need]
    assert [one.event for one in found] == expected
    assert len(before) > timing.FEW
