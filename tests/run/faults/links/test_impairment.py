from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.run.faults.links.connection import Condition, Fate, Impairment, ThrottleQueue


def condition(*active: Impairment, random: float = 0.5) -> Condition:
    made = Condition(lambda: random)
    for number, impairment in enumerate(active):
        made.begin(number, impairment)
    return made


def test_without_a_fault_everything_passes_at_once() -> None:
    quiet = condition()
    assert quiet.delay_ns() == 0
    assert quiet.rate is None
    assert quiet.fate(0) is Fate.PASS
    assert quiet.at_once(0, 5000) == 5000
    assert not quiet.is_cut


def test_delays_add_up_and_the_lowest_rate_counts() -> None:
    both = condition(
        Impairment("latency", delay_ns=5),
        Impairment("latency", delay_ns=7),
        Impairment("throttle", rate=100),
        Impairment("throttle", rate=30),
    )
    assert both.delay_ns() == 12
    assert both.rate == 30


@pytest.mark.parametrize(("random", "delay"), [(0.0, 6), (0.5, 10), (1.0, 14)])
def test_jitter_is_up_to_so_much_more_or_less(random: float, delay: int) -> None:
    assert condition(Impairment("latency", 10, 4), random=random).delay_ns() == delay


def test_no_jitter_makes_anything_arrive_before_it_was_sent() -> None:
    assert condition(Impairment("latency", 10, 40), random=0.0).delay_ns() == 0


@pytest.mark.parametrize(
    ("active", "fate"),
    [
        (["blackhole"], Fate.WAIT),
        (["half-open"], Fate.HALF_OPEN),
        (["reset"], Fate.RESET),
        (["cut"], Fate.CLOSE),
        (["blackhole", "half-open"], Fate.HALF_OPEN),
        (["half-open", "reset", "blackhole", "cut"], Fate.RESET),
        (["latency", "throttle"], Fate.PASS),
    ],
)
def test_the_strongest_fault_decides(active: list[str], fate: Fate) -> None:
    assert condition(*map(Impairment, active)).fate(0) is fate


def test_the_first_bytes_pass() -> None:
    later = condition(Impairment("reset", first=10))
    assert (later.fate(0), later.fate(9), later.fate(10)) == (Fate.PASS, Fate.PASS, Fate.RESET)
    assert later.at_once(4, 100) == 6
    assert later.at_once(4, 3) == 3


def test_what_ends_acts_no_more() -> None:
    one = condition(Impairment("cut"), Impairment("latency", delay_ns=3))
    assert (one.is_cut, one.fate(0)) == (True, Fate.CLOSE)
    assert one.end(0).do == "cut"
    assert (one.is_cut, one.fate(0)) == (False, Fate.PASS)
    assert one.delay_ns() == 3


@given(
    sizes=st.lists(st.integers(1, 10_000), min_size=1, max_size=20),
    rate=st.integers(1, 1_000_000),
)
def test_a_throttled_direction_is_never_faster_than_its_rate(sizes: list[int], rate: int) -> None:
    pace = ThrottleQueue()
    last_ns = [pace.reserve(size, rate, 0) for size in sizes][-1]
    assert last_ns >= sum(size * 1_000_000_000 // rate for size in sizes)


@given(rate=st.integers(1, 10_000_000), wanted=st.integers(1, 100_000), passed=st.integers(0, 1000))
def test_a_slice_is_never_empty_and_never_more_than_was_asked_for(
    rate: int, wanted: int, passed: int
) -> None:
    slow = condition(Impairment("throttle", rate=rate), Impairment("reset", first=500))
    assert 1 <= slow.at_once(passed, wanted) <= wanted


def test_an_idle_direction_saves_nothing_up() -> None:
    pace = ThrottleQueue()
    pace.reserve(10, 1000, 0)
    assert pace.reserve(10, 1000, 5_000_000_000) == 5_010_000_000
    assert pace.reserve(10, None, 7) == 7
