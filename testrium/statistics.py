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


#: So many earlier values are the least that say how much a figure varies.
LEAST_EARLIER = 5

#: A standard deviation is so many times what the two estimates below measure, where values are
#: normally distributed: the median absolute deviation, and the way from median to 90th percentile.
_OF_DEVIATIONS = 1.4826
_OF_TAIL = 1 / 1.2816


class Comparison(NamedTuple):
    """A value beside earlier ones. `limit` is the worst value that is no regression.

    `spread` estimates their standard deviation, `factor` is how many of them are allowed, `change`
    is relative to the median (0.3: larger by 30 %), None where that is 0.
    """

    n: int
    median: float
    spread: float
    factor: float
    limit: float
    change: float | None
    worse: bool


def against_earlier(
    value: float,
    earlier: Sequence[float],
    *,
    allowed: float,
    larger_is_better: bool = False,
    floor: float = 0.0,
) -> Comparison | None:
    """Whether a value is worse than earlier ones, outside of their noise.

    It is worse when it is farther from their median, in the bad direction, than all of these:

    - `allowed` (0.2: 20 %) of the median,
    - `floor`, in the unit of the values,
    - 4 + 10/n spreads, where n is the number of earlier values: the fewer there are, the less is
      known of the noise. The spread is the larger of two robust estimates of the standard
      deviation: 1.4826 times the median absolute deviation, and the way from the median to the
      worst tenth (nearest rank), divided by 1.2816. The first is not moved by single odd values,
      the second sees a long tail, which latencies have (Rousseeuw and Croux, Alternatives to the
      Median Absolute Deviation, 1993, on the first).

    None for less than `LEAST_EARLIER` earlier values.
    """
    n = len(earlier)
    if n < LEAST_EARLIER:
        return None
    sign = -1.0 if larger_is_better else 1.0
    worse_last = sorted(sign * one for one in earlier)
    middle = median(worse_last)
    deviations = median([abs(one - middle) for one in worse_last])
    tail = worse_last[-(n // 10) - 1] - middle
    spread = max(_OF_DEVIATIONS * deviations, _OF_TAIL * tail)
    factor = 4 + 10 / n
    limit = middle + max(allowed * abs(middle), floor, factor * spread)
    change = None if middle == 0 else (sign * value - middle) / abs(middle) * sign
    return Comparison(n, sign * middle, spread, factor, sign * limit, change, sign * value > limit)
