"""Orders of points: drawn, told apart, reduced, told."""

from __future__ import annotations

import json
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.declared.faults import Decision, Explore, Schedule
from testrium.interleavings import (
    MOST_LINES,
    Chance,
    PointStep,
    Trace,
    baseline_schedule,
    chances,
    decisions_of,
    explained,
    fewest,
    read_trace,
    schedules,
)


def steps(text: str) -> tuple[PointStep, ...]:
    """`+a:read` a thread has come there, `-a:read` it went on, `.a` it has ended."""
    kinds = {"+": "reached", "-": "released"}
    return tuple(
        PointStep("ended", f"{word[1:]} ends", word[1:])
        if word[0] == "."
        else PointStep(kinds[word[0]], word[1:], word[1:].partition(":")[0])
        for word in text.split()
    )


#: Two threads: b reads before a has written.
LOST_UPDATE = steps(
    "+a:begin +b:begin -a:begin +a:read -b:begin +b:read -a:read +a:wrote -a:wrote .a"
    " -b:read +b:wrote -b:wrote .b"
)


def test_a_trace_is_read_as_it_is_written() -> None:
    order = [["reached", "a:x", "a"], ["released", "a:x", "a"], ["ended", "a ends", "a"]]
    document = {"order": order, "diverged": [{"at": "b:y", "missing": []}], "overdue": 2}
    trace = read_trace(json.dumps(document))
    assert trace == Trace(steps("+a:x -a:x .a"), ("b:y",), 2)
    assert (trace.points, trace.threads) == (1, ("a",))


def drawn(explore: Explore, seed: int, points: int, most: int = 50) -> list[Schedule]:
    return list(islice(schedules(explore, seed, ("a", "b"), points), most))


def test_the_same_seed_draws_the_same_orders() -> None:
    explore = Explore(depth=2)
    assert drawn(explore, 7, 9) == drawn(explore, 7, 9)
    assert drawn(explore, 7, 9) != drawn(explore, 8, 9)


def test_runs_take_turns_with_the_number_of_changes() -> None:
    orders = islice(schedules(Explore(depth=2), 1, "abcdefgh", 9), 6)
    assert [len(one.changes) for one in orders] == [0, 1, 2, 0, 1, 2]


def test_each_order_is_drawn_once() -> None:
    orders = drawn(Explore(depth=2), 1, 4, 1000)
    assert len(orders) == 2 * (1 + 4 + 4 * 3)  # who is first, and at which points it changes
    assert len({one.seed for one in orders}) == len(orders)


def test_there_are_not_more_changes_than_points() -> None:
    assert max(len(one.changes) for one in drawn(Explore(depth=10), 1, 2)) == 2


@given(st.integers(0, 1000), st.integers(1, 30))
def test_priorities_change_at_different_points_of_the_run(seed: int, points: int) -> None:
    for one in drawn(Explore(depth=5), seed, points, 12):
        assert len(set(one.changes)) == len(one.changes)
        assert all(1 <= at <= points for at in one.changes)


def test_the_guaranteed_chance_is_that_of_the_theorem() -> None:
    found = chances(Explore(depth=1), runs=4, threads=2, points=5)
    assert found[0] == Chance(1, 0.5, 0.75)
    assert found[1].in_one == pytest.approx(0.1)
    assert found[1].in_all == pytest.approx(1 - 0.9**2)


def test_decisions_say_who_went_on_only_after_others_had_come_where() -> None:
    assert decisions_of(LOST_UPDATE) == (
        Decision("b:begin", "a:begin"),
        Decision("a:read", "b:begin"),
        Decision("b:read", "a:read"),
        Decision("a ends", "b:read"),
    )


def test_who_is_held_at_the_end_goes_on_after_all_others() -> None:
    happened = steps("+a:x +b:x -a:x +a:y -b:x +b:y -b:y")
    assert decisions_of(happened)[-1] == Decision("b ends", "a:y")
    assert (
        explained([Decision("b ends", "a:y")], happened)[-1] == "b ends before the rest after a:y"
    )


def test_a_single_thread_needs_no_decision() -> None:
    assert decisions_of(steps("+a:x -a:x +a:y -a:y .a")) == ()


ALL = tuple(Decision(str(number), "x") for number in range(12))


@given(st.sets(st.sampled_from(range(12)), min_size=1, max_size=4))
def test_the_fewest_decisions_are_those_that_are_needed(needed: set[int]) -> None:
    wanted = {ALL[number] for number in needed}
    assert set(fewest(ALL, lambda part: wanted <= set(part), 1000)) == wanted


def test_the_number_of_runs_is_limited() -> None:
    tried = []

    def fails(part: tuple[Decision, ...]) -> bool:
        tried.append(part)
        return len(part) > 10

    assert len(fewest(ALL, fails, 5)) >= 10
    assert len(tried) == 5


def test_the_story_tells_what_came_before_what() -> None:
    assert explained([Decision("b:read", "a:read")], LOST_UPDATE) == (
        "b:read before a:wrote",
        "a:wrote before b:wrote",
    )


def test_the_story_of_a_thread_that_comes_nowhere_afterwards() -> None:
    happened = steps("+a:x +b:x -b:x +b:y -a:x")
    assert explained([Decision("b:y", "a:x")], happened) == ("b:y before the rest after a:x",)


def test_a_decision_that_was_not_taken_is_not_told() -> None:
    assert explained([Decision("b:x", "a:y")], LOST_UPDATE) == ()


def test_a_story_is_short() -> None:
    turns = " ".join(f"+a:{n} -a:{n} +b:{n} -b:{n}" for n in range(40))
    assert len(explained([Decision("a:0", "b:0")], steps(turns))) == MOST_LINES


def test_the_calm_order_has_no_decisions_and_no_seed() -> None:
    schedule = baseline_schedule(Explore())
    assert (schedule.seed, schedule.changes, schedule.decisions) == ("", (), ())
