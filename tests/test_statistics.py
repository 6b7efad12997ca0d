"""Medians and ranks: what must hold for any values."""

from __future__ import annotations

import statistics as stdlib
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.statistics import (
    LEAST_EARLIER,
    Comparison,
    against_earlier,
    chance_beyond,
    chance_of_difference,
    median,
    nearest_rank,
    summary,
)

VALUES = st.lists(
    st.floats(-1e300, 1e300, allow_nan=False, allow_infinity=False), min_size=1, max_size=50
)
MODEST = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50)


def test_the_median_of_the_smallest_numbers_is_one_of_them() -> None:
    assert median([5e-324, 5e-324]) == 5e-324
    assert median([-5e-324, -5e-324]) == -5e-324


@given(VALUES)
def test_the_median_has_as_many_values_below_as_above(values: list[float]) -> None:
    middle = median(values)
    assert sum(value < middle for value in values) <= len(values) / 2
    assert sum(value > middle for value in values) <= len(values) / 2


@given(MODEST)
def test_a_summary_is_what_the_standard_library_says(values: list[float]) -> None:
    found = summary(values)
    assert found.n == len(values)
    assert found.mean == pytest.approx(stdlib.fmean(values), abs=1e-6)
    assert found.median == pytest.approx(stdlib.median(values))
    assert found.deviation == pytest.approx(stdlib.stdev(values), abs=1e-5)


@given(VALUES)
def test_a_summary_stays_among_the_values(values: list[float]) -> None:
    found = summary(values)
    assert min(values) <= found.mean <= max(values)
    assert min(values) <= found.median <= max(values)
    assert (found.deviation is None) is (len(values) == 1)


def test_the_largest_floats_do_not_overflow() -> None:
    largest = 1.7e308
    assert summary([largest, largest]) == (2, largest, largest, 0.0)


def test_nothing_has_no_median() -> None:
    with pytest.raises(ValueError, match="no median"):
        median([])


# Against earlier values ---------------------------------------------------------------------

EARLIER = st.lists(st.floats(0.1, 1e6), min_size=LEAST_EARLIER, max_size=40)


def compare(
    value: float, earlier: list[float], *, floor: float = 0.0, larger_is_better: bool = False
) -> Comparison:
    found = against_earlier(
        value, earlier, allowed=0.2, floor=floor, larger_is_better=larger_is_better
    )
    assert found is not None
    return found


@given(EARLIER, st.floats(0.1, 1e6))
def test_the_order_of_earlier_values_does_not_matter(earlier: list[float], value: float) -> None:
    assert compare(value, earlier) == compare(value, sorted(earlier))


@given(EARLIER)
def test_the_median_itself_is_never_worse(earlier: list[float]) -> None:
    assert not compare(median(earlier), earlier).worse


@given(EARLIER, st.floats(0.1, 1e6), st.floats(0.1, 1e6))
def test_what_is_worse_stays_worse_when_it_grows(
    earlier: list[float], value: float, more: float
) -> None:
    if compare(value, earlier).worse:
        assert compare(value + more, earlier).worse


@given(EARLIER, st.floats(0.1, 1e6))
def test_the_other_direction_is_the_mirror(earlier: list[float], value: float) -> None:
    mirrored = against_earlier(
        -value, [-one for one in earlier], allowed=0.2, larger_is_better=True
    )
    assert mirrored is not None
    assert mirrored.worse == compare(value, earlier).worse
    assert mirrored.limit == -compare(value, earlier).limit


@given(EARLIER, st.floats(0.1, 1e6), st.floats(2.0**-10, 2.0**10))
def test_the_scale_does_not_matter(earlier: list[float], value: float, scale: float) -> None:
    found = compare(value, earlier)
    scaled = compare(value * scale, [one * scale for one in earlier])
    assert scaled.limit == pytest.approx(found.limit * scale)


@given(EARLIER, st.floats(0.1, 1e6), st.floats(0.0, 1e6))
def test_a_floor_only_excuses(earlier: list[float], value: float, floor: float) -> None:
    if compare(value, earlier, floor=floor).worse:
        assert compare(value, earlier).worse
        assert value - median(earlier) > floor


@given(st.floats(1.0, 1e6), st.integers(LEAST_EARLIER, 40))
def test_without_noise_only_the_percentage_counts(value: float, n: int) -> None:
    found = compare(value, [value] * n)
    assert (found.spread, found.change) == (0.0, 0.0)
    assert found.limit == pytest.approx(value * 1.2)


@given(st.floats(1e7, 1e9))
def test_one_odd_value_in_ten_hides_nothing(odd: float) -> None:
    steady = [100.0] * 19
    assert compare(130.0, [*steady, odd]).worse


def test_too_few_values_cannot_tell() -> None:
    assert against_earlier(9.0, [1.0] * (LEAST_EARLIER - 1), allowed=0.2) is None


def test_the_change_of_nothing_is_not_defined() -> None:
    found = compare(1.0, [0.0] * 5)
    assert (found.change, found.worse) == (None, True)


# Two samples -------------------------------------------------------------------------------------

SAMPLE = st.lists(st.integers(0, 9).map(float), min_size=1, max_size=6)


@given(SAMPLE, SAMPLE)
def test_the_rank_sum_test_is_what_counting_says(first: list[float], second: list[float]) -> None:
    """All ways to deal the pooled values out are equally likely."""
    pooled = first + second

    def distance(chosen: tuple[int, ...]) -> float:
        """Of the chosen values' mean rank from the middle, times their number, twice."""
        ranks = [2 * sum(o < v for o in pooled) + sum(o == v for o in pooled) + 1 for v in pooled]
        return abs(sum(ranks[place] for place in chosen) - len(chosen) * (len(pooled) + 1))

    seen = distance(tuple(range(len(first))))
    ways = list(combinations(range(len(pooled)), len(first)))
    far = sum(distance(way) >= seen for way in ways)
    assert chance_of_difference(first, second) == pytest.approx(far / len(ways))


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=40),
    st.lists(st.floats(0, 1e6), min_size=1, max_size=40),
)
def test_it_does_not_matter_which_sample_is_the_first(
    first: list[float], second: list[float]
) -> None:
    chance = chance_of_difference(first, second)
    assert 0 < chance <= 1
    assert chance_of_difference(second, first) == pytest.approx(chance)


def test_equal_samples_do_not_differ() -> None:
    assert chance_of_difference([1.0] * 30, [1.0] * 30) == 1.0
    assert chance_of_difference([1.0, 2.0], [2.0, 1.0]) == 1.0


def test_large_samples_that_lie_apart_do() -> None:
    assert chance_of_difference([*range(30)], [*range(30, 60)]) < 1e-9


def test_an_empty_sample_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="empty"):
        chance_of_difference([], [1.0])


def test_chances_of_the_normal_distribution() -> None:
    assert chance_beyond(0.0) == 1.0
    assert chance_beyond(1.959964) == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize(
    ("values", "percentile", "expected"),
    [
        (range(1, 101), 99, 99),
        (range(1, 101), 95, 95),
        (range(1, 101), 50, 50),
        (range(1, 41), 95, 38),
        ([1, 2], 50, 1),
        ([1, 2, 3], 50, 2),
        ([7], 99, 7),
    ],
)
def test_nearest_rank(values: list[float], percentile: int, expected: float) -> None:
    assert nearest_rank(list(values), percentile) == expected
