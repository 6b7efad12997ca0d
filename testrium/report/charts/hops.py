"""The evidence of a finding as a picture: a row of hops, or the operations of a history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from testrium import phrases
from testrium.declared.circuits import Circuit
from testrium.evidence import Event, Finding
from testrium.report.charts.key_paths import TEXT_WIDTH, EventSources, PassedEvent, Step
from testrium.report.escape import cut
from testrium.report.view import EventView, FindingView
from testrium.words import Code

#: The lane of what any of several units should have done.
ANY_UNIT = "any of"

#: A row of hops that is longer loses what is far from where it broke.
MOST_COLUMNS = 10

_AROUND = 2


class HopColumn(NamedTuple):
    """Hops that come from the same one, or `skipped` hops that are left out.

    `origin` names where they come from, where that is not the column before.
    """

    hops: tuple[Step, ...]
    origin: str = ""
    skipped: int = 0

    @property
    def broken(self) -> bool:
        """Whether nothing of it was reached."""
        return bool(self.hops) and all(hop.absent for hop in self.hops)


def hop_columns(steps: Sequence[Step], most: int = MOST_COLUMNS) -> tuple[HopColumn, ...]:
    """Steps as a row of hops from left to right; at most `most` columns, and one for the rest."""
    columns: list[list[int]] = []
    for number, step in enumerate(steps):
        last = columns[-1] if columns else []
        beside = last and step.source is not None and step.source == steps[last[-1]].source
        if beside and step.source not in last:
            last.append(number)
        else:
            columns.append([number])
    drawn = []
    for place, column in enumerate(columns):
        source = steps[column[0]].source
        follows = source is None or (place > 0 and source in columns[place - 1])
        origin = "" if follows or source is None else _name_of(steps[source])
        drawn.append(HopColumn(tuple(steps[number] for number in column), origin))
    return _shortened(drawn, most)


def _name_of(step: Step) -> str:
    return f"{step.unit}:{step.label}" if step.unit else step.label


def _shortened(columns: Sequence[HopColumn], most: int) -> tuple[HopColumn, ...]:
    if len(columns) <= most:
        return tuple(columns)
    broken = next((place for place, one in enumerate(columns) if one.broken), len(columns) - 1)
    sources = {hop.source for hop in columns[broken].hops}
    numbers = [hop for column in columns for hop in column.hops]
    last = {
        place
        for place, one in enumerate(columns)
        for hop in one.hops
        if any(hop is numbers[source] for source in sources if source is not None)
    }
    kept = {0, *last, *range(broken - _AROUND, broken + _AROUND)}
    shown: list[HopColumn] = []
    for place, column in enumerate(columns):
        if place in kept:
            shown.append(column)
        elif shown and shown[-1].skipped:
            shown[-1] = shown[-1]._replace(skipped=shown[-1].skipped + len(column.hops))
        else:
            shown.append(HopColumn((), skipped=len(column.hops)))
    return tuple(shown)


def steps_of(finding: FindingView, circuits: Sequence[Circuit] = ()) -> tuple[Step, ...]:
    """The events of a finding's witness as the steps of a drawing; its circuit says their order."""
    routes = EventSources([circuit for circuit in circuits if circuit.name == finding.circuit])
    origins = routes.sources(
        [PassedEvent(event.unit, event.step, event.type, event.absent) for event in finding.events]
    )
    return tuple(
        Step(
            unit=event.unit,
            label=event.step,
            time=_time(event, finding.latest_ms),
            source=source,
            absent=event.absent,
        )
        for event, source in zip(finding.events, origins, strict=True)
    )


def _time(event: EventView, latest_ms: float) -> str:
    if event.absent:
        return "never"
    if event.t_ms is None:
        return "other clock"
    return f"{'≤ ' if event.bound else ''}{phrases.milliseconds(event.t_ms, latest_ms)}"


class DrawnOperation(NamedTuple):
    """An operation of a history as an interval; `to_ms` is None where it has no answer.

    Times count from the first event of the window. `unexplained`: no order explains its answer.
    """

    unit: str
    label: str
    from_ms: float
    to_ms: float | None
    unexplained: bool


def operations_of(finding: Finding, witnesses: Mapping[int, Event]) -> tuple[DrawnOperation, ...]:
    """The smallest window of operations that no order explains; () for any other finding."""
    if finding.code is not Code.INCONSISTENT:
        return ()
    events = [witnesses[id_] for id_ in finding.events if id_ in witnesses]
    by_key: dict[tuple[str, str | None], list[Event]] = {}
    for event in sorted(events, key=lambda one: one.here_ns):
        by_key.setdefault((event.unit, event.key), []).append(event)
    began_ns = events[0].here_ns if events else 0
    texts = finding.message.rpartition(": ")[2].split("; ")
    drawn = []
    for (unit, key), own in by_key.items():
        named = f" by {unit} ({key})"
        text = next((text for text in texts if named in text), own[0].step)
        drawn.append(
            DrawnOperation(
                unit,
                cut(text.partition(named)[0], TEXT_WIDTH),
                round((own[0].here_ns - began_ns) / 1e6, 4),
                round((own[-1].here_ns - began_ns) / 1e6, 4) if len(own) > 1 else None,
                key == finding.key and unit == finding.unit,
            )
        )
    return tuple(drawn)
