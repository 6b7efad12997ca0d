"""Pure statistics: of medians and ranks, which a few odd values among many do not move.

The standard library's module of this name is not used for what every run needs: importing it takes
as long as a hundred probes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import ceil, erfc, sqrt

from testrium.tuples import NamedTuple


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
    low, high = ordered[middle - 1 : middle + 1]
    return min(high, max(low, low / 2 + high / 2))  # also of the largest and the smallest numbers


def nearest_rank(ordered: Sequence[float], percentile: int) -> float:
    """The percentile of sorted values by nearest rank: always one of them, no interpolation."""
    return ordered[max(1, ceil(percentile * len(ordered) / 100)) - 1]


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


#: How many earlier values are the least that say how much a figure varies.
LEAST_EARLIER = 5

#: How many times what the two estimates below measure a standard deviation is, where values are
#: normally distributed: the median absolute deviation, and the way from median to 90th percentile.
_OF_DEVIATIONS = 1.4826
_OF_TAIL = 1 / 1.2816


class Comparison(NamedTuple):
    """A value beside earlier ones. `limit` is the worst value that is not a regression.

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


def robust_deviation(values: Sequence[float]) -> float:
    """1.4826 times the median absolute deviation: the standard deviation of normally distributed
    values, hardly moved by odd ones. Raises ValueError for no values."""
    middle = median(values)
    return _OF_DEVIATIONS * median([abs(value - middle) for value in values])


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
    tail = nearest_rank(worse_last, 90) - middle
    spread = max(robust_deviation(worse_last), _OF_TAIL * tail)
    factor = 4 + 10 / n
    limit = middle + max(allowed * abs(middle), floor, factor * spread)
    change = None if middle == 0 else (sign * value - middle) / abs(middle) * sign
    return Comparison(n, sign * middle, spread, factor, sign * limit, change, sign * value > limit)


#: Samples up to this size together are compared exactly; larger ones are nearly normal.
_EXACT = 20


def chance_of_difference(first: Sequence[float], second: Sequence[float]) -> float:
    """How often two samples of one distribution would differ this much or more (0 to 1).

    The two-sided p of the rank sum test of Wilcoxon, Mann and Whitney, which asks nothing of the
    distribution. Exact for 20 values together, else by the normal approximation, corrected for
    ties (Lehmann, Nonparametrics, 1975, chapter 1). Raises ValueError for an empty sample.
    """
    if not first or not second:
        raise ValueError("an empty sample cannot be compared")
    pooled = sorted((*first, *second))
    double: dict[float, int] = {}  # twice the mean rank of each value: a whole number
    for position, value in enumerate(pooled):
        last = position
        while last + 1 < len(pooled) and pooled[last + 1] == value:
            last += 1
        double.setdefault(value, position + last + 2)
    ranks = [double[value] for value in pooled]
    expected = len(first) * (len(pooled) + 1)
    distance = abs(sum(double[value] for value in first) - expected)
    if distance == 0:
        return 1.0
    if len(pooled) <= _EXACT:
        return _exact_chance(ranks, len(first), expected, distance)
    n = len(pooled)
    ties = sum(count**3 - count for count in Counter(pooled).values())
    variance = len(first) * len(second) / 12 * (n + 1 - ties / (n * (n - 1)))
    return chance_beyond((distance / 2 - 0.5) / sqrt(variance)) if variance > 0 else 1.0


def chance_beyond(deviations: float) -> float:
    """How often a normally distributed value is this many standard deviations away, either way."""
    return erfc(max(0.0, deviations) / sqrt(2))


def _exact_chance(ranks: Sequence[int], size: int, expected: int, distance: int) -> float:
    """Over all choices of `size` ranks, the share whose sum is as far from what is expected."""
    sums: list[dict[int, int]] = [{} for _ in range(size + 1)]
    sums[0][0] = 1
    for rank in ranks:
        for chosen in range(size, 0, -1):
            for total, count in sums[chosen - 1].items():
                sums[chosen][total + rank] = sums[chosen].get(total + rank, 0) + count
    found = sums[size]
    far = sum(count for total, count in found.items() if abs(total - expected) >= distance)
    return far / sum(found.values())
