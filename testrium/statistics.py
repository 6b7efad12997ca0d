"""Pure statistics: of medians and ranks, which a few odd values among many do not move.

The standard library's module of this name is not used for what every run needs: importing it takes
as long as a hundred probes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple


class Summary(NamedTuple):
    """Some values in short. `deviation` is that of a sample, None for less than two values."""

    n: int
    mean: float
    median: float
    deviation: float | None


def median(values: Sequence[float]) -> float:
    """The middle one, or the mean of the two in the middle. Raises ValueError for no values."""
    if not values:
        raise ValueError("nothing has no median")
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return _between(ordered[middle - 1], ordered[middle])


def summary(values: Sequence[float]) -> Summary:
    """Number, mean, median and deviation. Raises ValueError for no values."""
    middle = median(values)
    n = len(values)
    scale = max(map(abs, values)) or 1.0  # sums of the largest floats would be infinite
    parts = [value / scale for value in values]
    mean = sum(parts) / n
    deviation = None
    if n > 1:
        deviation = sqrt(sum((part - mean) ** 2 for part in parts) / (n - 1)) * scale
    return Summary(n, min(max(mean * scale, min(values)), max(values)), middle, deviation)


def _between(low: float, high: float) -> float:
    """Their mean, without an overflow."""
    return low / 2 + high / 2
