"""Medians and ranks: what must hold for any values."""

from __future__ import annotations

import statistics as stdlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.statistics import median, summary

VALUES = st.lists(
    st.floats(-1e300, 1e300, allow_nan=False, allow_infinity=False), min_size=1, max_size=50
)
MODEST = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50)


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
