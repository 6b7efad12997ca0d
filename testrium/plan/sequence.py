"""In which order scenarios start, and how often all of them: nothing of it changes the report."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from testrium.declared.groups import Scenario


def longest_first(
    scenarios: Sequence[Scenario], durations: Mapping[str, float]
) -> tuple[Scenario, ...]:
    """Among those of one `order` the longest first, so that side by side they end soonest.

    Source: R. L. Graham, Bounds on Multiprocessing Timing Anomalies, SIAM J. Appl. Math. 17 (1969).

    Args:
        scenarios: in their order; ties keep it.
        durations: id -> expected duration in seconds. What is not in it could take long, and is
            started first.
    """
    return tuple(
        sorted(
            scenarios,
            key=lambda each: (each.group.order, -durations.get(each.id, math.inf)),
        )
    )


def shuffled(scenarios: Sequence[Scenario], random: Callable[[], float]) -> tuple[Scenario, ...]:
    """In random order among those of one `order`; `random` is drawn from once for each."""
    return tuple(sorted(scenarios, key=lambda each: (each.group.order, random())))


def rounds(scenarios: tuple[Scenario, ...], most: int | None) -> Iterator[tuple[Scenario, ...]]:
    """The scenarios again and again, `most` times (None: without end), as repeats 0, 1, 2 …"""
    numbers = itertools.count() if most is None else range(most)
    for number in numbers:
        yield scenarios if number == 0 else tuple(_repeated(each, number) for each in scenarios)


def _repeated(scenario: Scenario, number: int) -> Scenario:
    return scenario._replace(repeat=number, folder_name=f"{scenario.folder_name}+{number}")
