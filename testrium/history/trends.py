"""Evaluate the results of many runs: flaky and slow ones, figures over time, differences.

Pure functions of the history's records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from testrium.declared.checks import Better
from testrium.history.rows import ResultRecord
from testrium.statistics import (
    LEAST_EARLIER,
    chance_beyond,
    chance_of_difference,
    median,
    robust_deviation,
    summary,
)
from testrium.words import BAD_VERDICTS, GOOD_VERDICTS, Verdict

#: How many results of a group say how long it takes now.
_RECENT = 20

#: How many repeats on each side tell a difference without earlier runs.
_REPEATS = 4

#: From this confidence on it is said that two figures differ.
_SURE = 0.95


class Flaky(NamedTuple):
    """A result that passed and failed on the same code.

    The same code: one commit without changes, or one run (repeats, and tries of `--retries`).
    `passed` and `failed` count results and tries on such code only; `codes` are the commits, or the
    runs. `causes` are the first findings of the failures ("lost host:received"), the most frequent
    first.
    """

    group: str
    mode: str
    params: Mapping[str, str]
    passed: int
    failed: int
    codes: tuple[str, ...]
    causes: tuple[str, ...]
    last_failed: str

    @property
    def rate(self) -> float:
        """The share of failures: 0.5 is a coin."""
        return self.failed / (self.passed + self.failed)


class Slow(NamedTuple):
    """How long a result takes in seconds: over its latest 20 that were run."""

    group: str
    mode: str
    n: int
    median_s: float
    longest_s: float
    last_s: float


class Point(NamedTuple):
    """A figure in one run, over all repeats of a result.

    `deviation` is that of a sample; None for one repeat.
    """

    run: str
    started: float
    group: str
    mode: str
    params: Mapping[str, str]
    n: int
    mean: float
    median: float
    deviation: float | None
    unit: str
    better: Better


class Change(NamedTuple):
    """A figure in two runs: the medians over their repeats.

    `change` is relative to the first (0.3: larger by 30 %), None where that is 0. `confidence` is
    how sure it is that they differ at all (0.99: by chance once in a hundred times), None where
    nothing tells; `because` says what it rests on. `worse`: it went the bad way, however little.
    """

    group: str
    mode: str
    params: Mapping[str, str]
    name: str
    unit: str
    better: Better
    first: float
    second: float
    change: float | None
    confidence: float | None
    because: str
    worse: bool

    @property
    def is_sure(self) -> bool:
        """Whether it may be said that the two differ."""
        return self.confidence is not None and self.confidence >= _SURE

    @property
    def trend(self) -> Literal["worse", "better", ""]:
        """Which way it went; "" where nothing is sure."""
        if not self.is_sure or self.first == self.second:
            return ""
        return "worse" if self.worse else "better"

    @property
    def change_text(self) -> str:
        """`+30.0%`; "" where it is not defined."""
        return "" if self.change is None else f"{self.change:+.1%}"

    @property
    def confidence_text(self) -> str:
        """`99.0%`, and never more than 99.9 %; "" where nothing tells."""
        return "" if self.confidence is None else f"{min(self.confidence, 0.999):.1%}"


def flaky_of(results: Iterable[ResultRecord]) -> tuple[Flaky, ...]:
    """The most undecided first. `results`: the latest first."""
    by_result: dict[tuple[str, str, str], dict[str, list[ResultRecord]]] = {}
    for one in results:
        code = one.revision if one.revision and one.dirty is False else one.run
        by_code = by_result.setdefault((one.folder, one.mode, str(one.params)), {})
        by_code.setdefault(code, []).append(one)
    flaky = [_flaky(by_code) for by_code in by_result.values()]
    found = [each for each in flaky if each is not None]
    return tuple(sorted(found, key=lambda one: (abs(one.rate - 0.5), one.group, one.mode)))


def _flaky(by_code: Mapping[str, Sequence[ResultRecord]]) -> Flaky | None:
    undecided = {
        code: results
        for code, results in by_code.items()
        if any(one.verdict in GOOD_VERDICTS for one in results)
        and any(one.verdict in BAD_VERDICTS or one.tries > 1 for one in results)
    }
    if not undecided:
        return None
    results = [one for same in undecided.values() for one in same]
    failed = [one for one in results if one.verdict in BAD_VERDICTS or one.tries > 1]
    causes = Counter(f"{one.root_code} {one.root_where}" for one in failed if one.root_code)
    return Flaky(
        group=results[0].group,
        mode=results[0].mode,
        params=results[0].params,
        passed=sum(one.verdict in GOOD_VERDICTS for one in results),
        failed=sum(one.tries - (one.verdict in GOOD_VERDICTS) for one in failed),
        codes=tuple(undecided),
        causes=tuple(cause for cause, _ in causes.most_common()),
        last_failed=max(failed, key=lambda one: one.id).run,
    )


def slow_of(results: Iterable[ResultRecord]) -> tuple[Slow, ...]:
    """The slowest first. `results`: the latest first."""
    latest: dict[tuple[str, str], list[float]] = {}
    for one in results:
        if one.verdict is not Verdict.SKIP:
            times = latest.setdefault((one.group, one.mode), [])
            if len(times) < _RECENT:
                times.append(one.duration_s)
    found = [
        Slow(group, mode, len(times), median(times), max(times), times[0])
        for (group, mode), times in latest.items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.median_s, one.group, one.mode)))


def points_of(name: str, results: Iterable[ResultRecord]) -> tuple[Point, ...]:
    """The figure in each run, in the order of `results`; those without it are left out."""
    repeats: dict[tuple[str, str, str, str, str], list[ResultRecord]] = {}
    for one in results:
        if name in one.measures:
            key = (one.run, one.folder, one.mode, str(one.params), one.measures[name].unit)
            repeats.setdefault(key, []).append(one)
    return tuple(_point(name, same) for same in repeats.values())


def _point(name: str, repeats: Sequence[ResultRecord]) -> Point:
    first = repeats[0]
    n, mean, middle, deviation = summary([one.measures[name].value for one in repeats])
    measure = first.measures[name]
    return Point(
        run=first.run,
        started=first.started,
        group=first.group,
        mode=first.mode,
        params=first.params,
        n=n,
        mean=mean,
        median=middle,
        deviation=deviation,
        unit=measure.unit,
        better=measure.better,
    )


def by_circumstances(
    results: Iterable[ResultRecord],
) -> dict[tuple[str, str, str], list[ResultRecord]]:
    """Repeats of the same group, mode and parameters, in their order."""
    found: dict[tuple[str, str, str], list[ResultRecord]] = {}
    for one in results:
        found.setdefault((one.folder, one.mode, str(one.params)), []).append(one)
    return found


def changes_of(
    first: Sequence[ResultRecord], second: Sequence[ResultRecord], others: Sequence[ResultRecord]
) -> tuple[Change, ...]:
    """All figures that two runs of one result have in common.

    Args:
        first, second: the repeats of each run.
        others: other results of the group, for the noise.
    """
    same = (first[0].mode, first[0].params, first[0].machine)
    like = [
        one
        for one in others
        if one.verdict is Verdict.PASS and (one.mode, one.params, one.machine) == same
    ]
    names = [name for name in first[0].measures if name in second[0].measures]
    return tuple(_change(name, first, second, like) for name in names)


def _change(
    name: str,
    first: Sequence[ResultRecord],
    second: Sequence[ResultRecord],
    others: Sequence[ResultRecord],
) -> Change:
    measure = first[0].measures[name]
    before, after = _values(name, first), _values(name, second)
    one, other = median(before), median(after)
    if first[0].machine != second[0].machine:
        confidence, because = None, "two machines"
    else:
        confidence, because = _confidence(before, after, _values(name, others))
    return Change(
        group=first[0].group,
        mode=first[0].mode,
        params=first[0].params,
        name=name,
        unit=measure.unit,
        better=measure.better,
        first=one,
        second=other,
        change=None if one == 0 else (other - one) / abs(one),
        confidence=confidence,
        because=because,
        worse=other != one and (other > one) is (measure.better == "smaller"),
    )


def _values(name: str, results: Sequence[ResultRecord]) -> list[float]:
    return [one.measures[name].value for one in results if name in one.measures]


def _confidence(
    before: Sequence[float], after: Sequence[float], others: Sequence[float]
) -> tuple[float | None, str]:
    """How sure it is that two samples differ, and what that rests on."""
    if min(len(before), len(after)) >= _REPEATS:
        chance = chance_of_difference(before, after)
        return 1 - chance, f"{len(before)} and {len(after)} repeats"
    if len(others) < LEAST_EARLIER:
        return None, "too few repeats and other runs"
    because = f"the noise of {len(others)} other runs"
    distance = abs(median(after) - median(before))
    spread = robust_deviation(others) * (1 / len(before) + 1 / len(after)) ** 0.5
    if spread == 0:
        return (0.0 if distance == 0 else 1.0), because
    return 1 - chance_beyond(distance / spread), because
