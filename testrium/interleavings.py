"""Orders of points: drawn, compared, shrunk to the fewest decisions, explained in words. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import partial
from itertools import count, pairwise
from random import Random
from typing import NamedTuple, TypeVar

from testrium.declared.faults import Decision, Explore, Schedule

#: The order of a run, in its group's folder; see `testrium.run.faults.points`.
TRACE_FILE = "schedule.json"

#: Schedules in a row that were drawn before, after which there are probably no others.
_MOST_REPEATED = 300

T = TypeVar("T", bound=Hashable)

#: Lines of an explanation.
MOST_LINES = 12


class PointStep(NamedTuple):
    """A thread has `reached` a point, was `released` there, or has `ended`.

    `thread` is the unit's name, with what tells its processes and threads apart.
    """

    kind: str
    point: str
    thread: str


class Trace(NamedTuple):
    """The order of one run; how often something was held for as long as may be."""

    steps: tuple[PointStep, ...] = ()
    diverged: tuple[str, ...] = ()
    overdue: int = 0

    @property
    def points(self) -> int:
        """How many points were reached."""
        return sum(step.kind == "reached" for step in self.steps)

    @property
    def threads(self) -> tuple[str, ...]:
        """Those that have reached a point, in this order."""
        return tuple(dict.fromkeys(step.thread for step in self.steps))


class Chance(NamedTuple):
    """The least chance that a bug of some depth is hit: in the run that is made for it, in all."""

    depth: int
    in_one: float
    in_all: float


def read_trace(text: str) -> Trace:
    """What `schedule.json` of a run says. Raises ValueError, LookupError, TypeError."""
    document = json.loads(text)
    steps = tuple(PointStep(*map(str, step)) for step in document["order"])
    diverged = tuple(str(one["at"]) for one in document["diverged"])
    return Trace(steps, diverged, int(document["overdue"]))


def baseline_schedule(explore: Explore) -> Schedule:
    """A schedule without decisions: each unit continues in the declared order."""
    return Schedule(explore.points, explore.links, explore.hold_ns)


def priority(seed: str, thread: str) -> float:
    """The priority that a thread begins with, from 1 to 2: the same for the same seed."""
    return 1 + Random(f"{seed}/{thread}").random()  # noqa: S311 - the same each time


def schedules(
    explore: Explore, seed: int, threads: Sequence[str], points: int
) -> Iterator[Schedule]:
    """Schedules until none is new, each once: priorities, and points where they change.

    They take turns with no change, one, and so on up to `depth`: a bug of depth d needs d - 1
    changes, and more of them may undo the order that it needs.

    Args:
        explore: what the group says.
        seed: the same for the same schedules.
        threads: those of a run.
        points: about how many points a run reaches.
    """
    seen: set[tuple[tuple[str, ...], tuple[int, ...]]] = set()
    repeated = 0
    for number in count(1):
        if repeated > _MOST_REPEATED:
            return
        name = f"{seed}/{number}"
        random = Random(name)  # noqa: S311 - the same seed must give the same schedules
        changes = min((number - 1) % (explore.depth + 1), points)
        at = tuple(random.sample(range(1, points + 1), changes))
        ranking = tuple(sorted(threads, key=partial(priority, name)))
        repeated += 1
        if (ranking, at) not in seen:
            repeated = 0
            seen.add((ranking, at))
            yield Schedule(explore.points, explore.links, explore.hold_ns, name, at)


def chances(explore: Explore, runs: int, threads: int, points: int) -> tuple[Chance, ...]:
    """The least chance to hit a bug, for each depth that the runs are made for.

    A bug of depth d needs d orders of two steps. Of `threads` threads and `points` points, a run
    with d - 1 changes hits it with 1 / (threads * points ** (d - 1)), Theorem 9 of Burckhardt et
    al. 2010.
    """
    found = []
    for depth in range(1, explore.depth + 2):
        made = sum((number - 1) % (explore.depth + 1) == depth - 1 for number in range(1, runs + 1))
        in_one = 1 / (max(threads, 1) * max(points, 1) ** (depth - 1))
        found.append(Chance(depth, in_one, 1 - (1 - in_one) ** made))
    return tuple(found)


def decisions_of(steps: Iterable[PointStep]) -> tuple[Decision, ...]:
    """The decisions that reproduce an order: which unit continued only after which arrivals.

    Who was still held when the run ended went on after all others.
    """
    latest: dict[str, str] = {}
    held: dict[str, str] = {}
    known: dict[str, dict[str, str]] = {}
    decisions = []

    def note(thread: str, point: str) -> None:
        mine = known.setdefault(thread, {})
        for other, reached in latest.items():
            if other != thread and mine.get(other) != reached:
                decisions.append(Decision(reached, point))
                mine[other] = reached

    for step in steps:
        if step.kind != "released":
            latest[step.thread] = held[step.thread] = step.point
            continue
        del held[step.thread]
        note(step.thread, step.point)
    latest |= {thread: end_of(thread) for thread in latest.keys() - held.keys()}
    for thread, point in held.items():
        if point != end_of(thread):
            note(thread, point)
    return tuple(decisions)


def end_of(thread: str) -> str:
    """What the end of a thread is called, among points."""
    return f"{thread} ends"


def fewest(
    things: Sequence[T], fails: Callable[[tuple[T, ...]], bool], tries: int
) -> tuple[T, ...]:
    """The fewest decisions, or faults, that were found to fail still: all of them are needed.

    Source: A. Zeller, R. Hildebrandt, Simplifying and Isolating Failure-Inducing Input, IEEE
    Trans. Softw. Eng. 28 (2002), algorithm ddmin.

    Args:
        things: some that fail.
        fails: tries some of them, in their order.
        tries: how often at most.
    """
    asked: dict[tuple[T, ...], bool] = {}

    def still(part: tuple[T, ...]) -> bool:
        if part not in asked and len(asked) >= tries:
            return False
        if part not in asked:
            asked[part] = fails(part)
        return asked[part]

    kept, parts = tuple(things), 2
    while len(kept) > 1:
        smaller = next(filter(still, _parts(kept, parts)), None)
        if smaller is not None:
            kept, parts = smaller, max(2, parts - 1) if len(smaller) > len(kept) / 2 else 2
        elif parts < len(kept):
            parts = min(len(kept), 2 * parts)
        else:
            break
    return kept


def _parts(kept: tuple[T, ...], parts: int) -> Iterator[tuple[T, ...]]:
    """Each part by itself, then everything but each part."""
    edges = [round(number * len(kept) / parts) for number in range(parts + 1)]
    pairs = list(pairwise(edges))
    yield from (kept[begin:end] for begin, end in pairs)
    if parts > 2:
        yield from (kept[:begin] + kept[end:] for begin, end in pairs)


def explained(decisions: Iterable[Decision], steps: Sequence[PointStep]) -> tuple[str, ...]:
    """What came before what, a line each, as it happened: decisions, and what followed of them.

    Args:
        decisions: those of a run.
        steps: what happened in it.
    """
    released = {step.point: time for time, step in enumerate(steps) if step.kind == "released"}
    owners = {step.point: step.thread for step in steps}
    lines: dict[str, tuple[int, str]] = {}  # by the later of the two points
    involved: set[str] = set()
    begin = len(steps)
    for decision in decisions:
        if decision.held not in owners:
            continue
        time = released.get(decision.held, len(steps))
        begin = min(begin, time)
        involved |= {owners[decision.held], owners.get(decision.first, "")}
        later = _next_of(steps, time)
        point = f"the rest after {decision.held}" if later is None else steps[later].point
        lines.setdefault(point, (later or time, f"{decision.first} before {point}"))
    came = [
        (time, step)
        for time, step in enumerate(steps)
        if step.kind == "reached" and step.thread in involved
    ]
    for (_, one), (time, other) in pairwise(came):
        if time > begin and one.thread != other.thread:
            lines.setdefault(other.point, (time, f"{one.point} before {other.point}"))
    return tuple(text for _, text in sorted(lines.values())[:MOST_LINES])


def _next_of(steps: Sequence[PointStep], time: int) -> int | None:
    """When the thread that was let go on then came to its next point, or ended."""
    later = range(time + 1, len(steps))
    return next((at for at in later if steps[at].thread == steps[time].thread), None)
