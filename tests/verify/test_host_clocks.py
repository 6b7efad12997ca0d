"""Clocks of other hosts: bounds that always hold, and what they let be said of order and time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.declared.checks import OperationHistory, OperationPlace
from testrium.evidence import Event
from testrium.host_clocks import ClockReading, KnownClock, middle_here, offset_at, reading_of
from testrium.results import Judgement
from testrium.verify.judge import judge
from testrium.verify.linearizability import MODELS, history_findings
from testrium.words import Verdict

MS = 1_000_000
HOUR = 3_600_000 * MS


class Skewed:
    """A clock that is an hour later, and drifts; it can be read through a slow pipe."""

    def __init__(self, ppm: float = 0, offset: int = HOUR) -> None:
        self._rate = 1 + ppm / 1e6
        self._offset = offset

    def at(self, t_ns: int) -> int:
        """What it shows."""
        return int(t_ns * self._rate) + self._offset

    def reading(self, t1: int, there_ns: int, busy_ns: int, back_ns: int) -> ClockReading:
        """An exchange: so long on the way there, at work there, and on the way back."""
        t2, t3 = self.at(t1 + there_ns), self.at(t1 + there_ns + busy_ns)
        t4 = t1 + there_ns + busy_ns + back_ns
        return reading_of(t1, t2, t3, t4)


delays = st.integers(0, 200 * MS)


@given(
    ppm=st.floats(-900, 900),
    exchanges=st.lists(
        st.tuples(st.integers(0, 5_000 * MS), delays, st.integers(0, MS), delays),
        min_size=1,
        max_size=30,
    ),
    asked=st.integers(0, 5_000 * MS),
)
def test_true_difference_lies_within_the_bounds_whatever_the_pipe_does(
    ppm: float, exchanges: list[tuple[int, int, int, int]], asked: int
) -> None:
    clock = Skewed(ppm)
    readings = sorted(clock.reading(*exchange) for exchange in exchanges)
    there = clock.at(asked)
    low, high = offset_at(there, readings)
    assert low <= there - asked <= high


def known(readings: Sequence[Sequence[int]]) -> KnownClock:
    return KnownClock.of("edge", "edge", "here", readings)


BOUNDED = known([(HOUR, HOUR - 2 * MS, HOUR + 2 * MS)])


def judged(table: Callable[[str], Any], text: str, clock: KnownClock = BOUNDED) -> Judgement:
    """The judgement of a case in which `domain=edge` is that clock; its times are those of home."""
    parsed = table(text)
    evidence = parsed.evidence()
    events = tuple(
        event._replace(t_ns=event.t_ns + HOUR, domain=clock) if event.domain == "edge" else event
        for event in evidence.events
    )
    return judge(parsed.scenario(), evidence._replace(events=events, clocks=(clock,)))


PAIR = "unit client sent\nunit host received\ncircuit client:sent host:received within=20\n"


@pytest.mark.parametrize(
    ("sent", "received", "told"),
    [
        (10, 20, ""),  # 8 to 12 ms, and a bit for what the clock may drift
        (10, 27, ""),  # at most 19 ms
        (10, 30, "clock"),  # 18 to 22 ms: the limit lies within the bound
        (10, 33, "late"),  # at least 21 ms
        (10, 9, ""),  # it may have been after: nothing is claimed
        (10, 5, "causality"),
    ],
)
def test_order_and_limits_are_decided_where_the_bounds_allow_it(
    table: Callable[[str], Any], sent: int, received: int, told: str
) -> None:
    text = PAIR + f"client sent> k @{sent}\n"
    text += f"host received< k @{received} domain=edge"
    codes = [str(finding.code) for finding in judged(table, text).findings]
    assert codes[:1] == ([told] if told else [])


def test_report_shows_the_bound(table: Callable[[str], Any]) -> None:
    text = PAIR + "client sent> k @10\n"
    [note] = judged(table, f"{text}host received< k @30 domain=edge").notes
    assert (note.code, note.where) == ("clock", "edge")
    assert note.message.startswith("the clock of edge is known within 2 ms: it is 3600 s later")


def simulated(table: Callable[[str], Any], keys: int, reordered: str = "") -> Judgement:
    """Keys that go to a host whose clock is an hour off and drifts, and back, in one order."""
    random = Random(7)
    clock = Skewed(ppm=180)
    readings = sorted(
        clock.reading(n * 50 * MS, *(random.randrange(MS // 10, 3 * MS) for _ in range(3)))
        for n in range(keys // 50 + 2)
    )
    edge = known(readings)
    parsed = table(
        "unit client sent answered\nunit host received\n"
        "circuit client:sent host:received client:answered fifo=true"
    )
    evidence = parsed.evidence()
    [template] = table("client sent k").evidence().events
    events: list[Event] = []
    for number in range(keys):
        key, sent_ns = f"k{number}", number * MS
        taken_ns = sent_ns + random.randrange(50_000, 400_000)
        if key == reordered:
            taken_ns = sent_ns - 100 * MS
        answered_ns = sent_ns + 500_000 + random.randrange(400_000)
        for unit, step, t_ns, domain in (
            ("client", "sent", sent_ns, "here"),
            ("host", "received", clock.at(taken_ns), edge),
            ("client", "answered", answered_ns, "here"),
        ):
            event = template._replace(
                id=len(events) + 1, unit=unit, owner=unit, step=step, key=key, t_ns=t_ns,
                domain=domain, type="Default",
            )  # fmt: skip
            events.append(event)
    return judge(parsed.scenario(), evidence._replace(events=tuple(events)))


def test_skewed_clock_makes_no_false_order_and_hides_no_true_one(
    table: Callable[[str], Any],
) -> None:
    calm = simulated(table, 1_000)
    assert (calm.verdict, calm.findings) == (Verdict.PASS, ())
    [finding, *_] = simulated(table, 1_000, reordered="k500").findings
    assert (finding.code, finding.where, finding.keys) == ("order", "host:received", ("k500",))


@pytest.mark.parametrize(
    ("read_at", "told"),
    [
        (13, []),  # it may have been asked before the write was over: at 11 to 15 ms
        (16, ["inconsistent"]),  # at 14 ms at the earliest: the old value cannot be explained
    ],
)
def test_operations_of_two_hosts_are_ordered_where_the_bounds_allow_it(
    read_at: int, told: list[str]
) -> None:
    def event(number: int, step: str, at_ms: int, value: object, clock: str = "here") -> Event:
        t_ns = at_ms * MS + (HOUR if clock is BOUNDED else 0)
        key, meta = f"k{number // 2}", {"value": value} if value is not None else {}
        more = (t_ns, None, 0, clock, 1, None, 1, 1, "u", meta)
        return Event(number, "u", step, "Event", key, (), *more)

    events = [
        event(0, "do-write", 0, 1),
        event(1, "done", 2, None),
        event(2, "do-write", 10, 2),
        event(3, "done", 12, None),
        event(4, "do-read", read_at, None, BOUNDED),
        event(5, "done", read_at + 5, 1, BOUNDED),
    ]
    history = OperationHistory(
        "h", "register", OperationPlace("u", "do-*"), OperationPlace("u", "done")
    )
    found = history_findings(history, events, MODELS["register"]())
    assert [str(finding.code) for finding in found] == told


def test_drawings_place_events_of_a_host_on_the_clock_of_the_runner() -> None:
    assert middle_here(BOUNDED, HOUR + 5 * MS) == pytest.approx(5 * MS, abs=10_000)
    assert middle_here("unknown", 7) == 7
