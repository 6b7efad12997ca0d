from __future__ import annotations

from math import inf

import pytest

from testrium.declared.circuits import Circuit
from testrium.report.charts.units import Distribution, distribution
from testrium.results import CircuitPaths, CircuitResult, KeyPath
from testrium.words import Verdict


def drawn(
    latencies: list[float], circuit: Circuit | None = None, **measured: float
) -> Distribution | None:
    paths = tuple(
        KeyPath(f"k{number}", (), ms * 1e6, ms * 1e6) for number, ms in enumerate(latencies, 1)
    )
    result = CircuitResult("c", len(paths), Verdict.PASS, **measured)
    return distribution(CircuitPaths(circuit or Circuit("c", ()), paths), result)


def test_every_key_is_in_one_bin() -> None:
    drawing = drawn([1.0, 1.0, 2.0, 4.0])
    assert drawing is not None
    assert [one.title.split(":")[0] for one in drawing.bins] == ["2 keys", "1 key", "1 key"]
    assert [one.number for one in drawing.bins] == [2, 1, 1]
    assert all(
        one.from_ms <= value < one.to_ms for one, value in zip(drawing.bins, (1, 2, 4), strict=True)
    )
    assert drawing.remarks == ()


def test_budgets_stand_beside_what_was_measured() -> None:
    circuit = Circuit("c", (), p95_ns=3_000_000, p99_ns=9_000_000, within_ns=5_000_000)
    drawing = drawn([1.0, 4.0], circuit, p50_ms=1.0, p95_ms=4.0)
    assert drawing is not None
    assert [(mark.text, mark.kind) for mark in drawing.marks] == [
        ("p50 1.000 ms", "measured"),
        ("p95 4.000 ms", "measured"),
        ("p95 ≤ 3.000 ms: exceeded", "broken"),
        ("p99 ≤ 9.000 ms", "budget"),
        ("within ≤ 5.000 ms: met", "budget"),
    ]
    assert drawing.to_ms > 9.0


def test_what_is_not_drawn_is_told() -> None:
    drawing = drawn([1.0, inf, inf], Circuit("c", (), within_ns=2_000_000))
    assert drawing is not None
    assert drawing.remarks == ("2 of 3 were not answered and are not drawn.",)
    assert drawing.marks[0].text == "within ≤ 2.000 ms: exceeded"


def test_very_different_latencies_have_a_logarithmic_axis() -> None:
    drawing = drawn([0.1, 1.0, 10.0, 1000.0])
    assert drawing is not None
    assert drawing.wide
    assert sum(one.number for one in drawing.bins) == 4
    texts = [text for _, text in drawing.ticks]
    assert texts[:4] == ["0.1 ms", "0.2 ms", "0.5 ms", "1 ms"]


@pytest.mark.parametrize(
    ("latencies", "texts"),
    [
        ([-0.3], ["-300 µs", "-250 µs"]),
        ([-0.3, 2.0], ["0", "0.5 ms"]),
        ([-4000.0, -5.0], ["-4 s", "-3 s"]),
        ([0.0], ["0", "10 µs"]),
    ],
)
def test_a_key_that_was_seen_at_the_end_first_is_drawn_left_of_zero(
    latencies: list[float], texts: list[str]
) -> None:
    drawing = drawn(latencies, p50_ms=latencies[0])
    assert drawing is not None
    assert sum(one.number for one in drawing.bins) == len(latencies)
    assert [text for _, text in drawing.ticks][: len(texts)] == texts
    assert drawing.from_ms <= min(latencies)
    assert drawing.to_ms > max(latencies)


@pytest.mark.parametrize(
    ("most", "texts"),
    [
        (75.0, ["0", "10 ms", "20 ms"]),
        (3000.0, ["0", "500 ms", "1000 ms"]),
        (0.04, ["0", "10 µs", "20 µs"]),
    ],
)
def test_ticks_are_round(most: float, texts: list[str]) -> None:
    drawing = drawn([most])
    assert drawing is not None
    assert [text for _, text in drawing.ticks][:3] == texts


def test_nothing_to_draw() -> None:
    assert drawn([]) is None
    assert drawn([inf]) is None


def test_a_budget_below_every_latency_stands_on_the_axis() -> None:
    drawing = drawn([10.0, 1000.0], Circuit("c", (), within_ns=100_000))
    assert drawing is not None
    assert drawing.wide
    assert drawing.from_ms <= 0.1 <= drawing.marks[0].at_ms
