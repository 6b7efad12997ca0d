"""How figures are written."""

from __future__ import annotations

import pytest

from testrium.phrases import figure, time_span


@pytest.mark.parametrize(
    ("span_ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_500, "1.5 us"),
        (340_000_000, "340 ms"),
        (999_900_000, "1000 ms"),
        (1_234_000_000, "1.23 s"),
        (123_456_000_000, "123 s"),
        (-1_200_000, "-1.2 ms"),
    ],
)
def test_time_span(span_ns: float, text: str) -> None:
    assert time_span(span_ns) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.6612, "s", "661 ms"),
        (81.52, "ms", "81.5 ms"),
        (12_300_000, "B", "12.3 MB"),
        (1_234_000_000, "B", "1.23 GB"),
        (1_234_000_000_000, "B", "1234 GB"),
        (4096, "B", "4.1 kB"),
        (0, "B", "0 B"),
        (-2_000_000, "B", "-2 MB"),
        (12.54, "%", "12.5 %"),
        (1612.0, "%", "1612 %"),
        (120.0, "1/s", "120 1/s"),
        (1234567.8, "1/s", "1234568 1/s"),
        (1.5e20, "1/s", "1.5e+20 1/s"),
        (0.00012345678, "", "0.000123457"),
        (3.0, "", "3"),
    ],
)
def test_a_figure_is_written_in_one_way(value: float, unit: str, text: str) -> None:
    assert figure(value, unit) == text
