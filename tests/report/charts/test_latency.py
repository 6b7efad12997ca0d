from __future__ import annotations

from math import inf

from testrium.declared.circuits import Circuit
from testrium.report.charts.units import Distribution, distribution
from testrium.results import CircuitPaths, CircuitResult, KeyPath
from testrium.words import Verdict


def drawn(
    latencies: list[float], circuit: Circuit | None = None, **measured: float
) -> Distribution | None:
    ways = tuple(
        KeyPath(f"k{number}", (), ms * 1e6, ms * 1e6) for number, ms in enumerate(latencies, 1)
    )
    result = CircuitResult("c", len(ways), Verdict.PASS, **measured)
    return distribution(CircuitPaths(circuit or Circuit("c", ()), ways), result)


def test_every_key_is_in_one_bin() -> None:
    drawing = drawn([1.0, 1.0, 2.0, 4.0])
    assert drawing is not None
    assert [one.title.split(":")[0] for one in drawing.bins] == ["2 keys", "1 key", "1 key"]
    tallest = max(drawing.bins, key=lambda one: one.height)
    assert tallest is drawing.bins[0]
    assert all(one.y + one.height <= drawing.base for one in drawing.bins)
    assert drawing.remarks == ()


def test_budgets_stand_beside_what_was_measured() -> None:
    circuit = Circuit("c", (), p95_ns=3_000_000, p99_ns=9_000_000, within_ns=5_000_000)
    drawing = drawn([1.0, 4.0], circuit, p50_ms=1.0, p95_ms=4.0)
    assert drawing is not None
    assert [(limit.text, limit.kept) for limit in drawing.limits] == [
        ("p50 1.000 ms", None),
        ("p95 4.000 ms", None),
        ("p95 ≤ 3.000 ms: exceeded", False),
        ("p99 ≤ 9.000 ms", None),
        ("within ≤ 5.000 ms: met", True),
    ]
    assert drawing.limits[1].x == max(limit.x for limit in drawing.limits[:3])
    assert len({limit.y for limit in drawing.limits}) == 5


def test_what_is_not_drawn_is_told() -> None:
    drawing = drawn([1.0, inf, inf], Circuit("c", (), within_ns=2_000_000))
    assert drawing is not None
    assert drawing.remarks == ("2 of 3 were not answered and are not drawn.",)
    assert drawing.limits[0].text == "within ≤ 2.000 ms: exceeded"


def test_very_different_latencies_have_a_logarithmic_axis() -> None:
    drawing = drawn([0.1, 1.0, 10.0, 1000.0])
    assert drawing is not None
    assert drawing.remarks == ("The axis is logarithmic.",)
    places = [one.x for one in drawing.bins]
    assert 0.5 < (places[1] - places[0]) / (places[2] - places[1]) < 2


def test_nothing_to_draw() -> None:
    assert drawn([]) is None
    assert drawn([inf]) is None
