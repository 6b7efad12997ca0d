"""What a page shows of one group, drawn and cut to a size that a browser handles well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from testrium.model import Circuit, GroupResult
from testrium.model.detail import Detail
from testrium.report.diagram import ANY_UNIT, SequenceDiagram, sequence_diagram
from testrium.report.escape import cut, visible
from testrium.report.faults import struck_events
from testrium.report.latency import Distribution, distribution
from testrium.report.lives import Chart, Timeline, axis_of, timeline, usage
from testrium.report.logview import UnitLog, unit_logs
from testrium.report.view import GroupView, view_group
from testrium.report.ways import KeyWay, Ways, ways_of

#: So many steps of ways are on one page: what is wrong first, then the slowest.
MOST_STEPS = 30_000
#: So many events are drawn on the timeline and told between the lines of logs.
MOST_EVENTS = 200_000

_SLOWEST = 10
_NAME_CELLS = 120


class Slowest(NamedTuple):
    """A line of the table of the slowest keys; `number` is that of its way on the page."""

    number: int
    name: str
    latency: str
    wrong: tuple[str, ...]


class CircuitPage(NamedTuple):
    """What is drawn of a circuit's latencies, with its slowest keys."""

    drawing: Distribution
    slowest: tuple[Slowest, ...]


class GroupPage(NamedTuple):
    """One result, ready to be put into a page."""

    view: GroupView
    declared: tuple[Circuit, ...]
    ways: Ways
    folded: SequenceDiagram | None
    circuits: tuple[CircuitPage, ...]
    timeline: Timeline | None
    usage: tuple[Chart, ...]
    logs: tuple[UnitLog, ...]
    config: str
    numbers: Mapping[str, int]  # of the way of a key
    data: Mapping[str, Any]  # for the page's script


def page_of(result: GroupResult, detail: Detail, *, cwd: Path, room: int) -> GroupPage:
    """The page of a result; at most `room` steps of ways are in it."""
    view = view_group(result, cwd=cwd)
    findings = result.judgement.findings
    events = detail.events[:MOST_EVENTS]
    moments = detail.moments
    ways = ways_of(detail.events, detail.circuits, findings, struck_events(result.faults), room)
    axis = axis_of(view.units, view.duration_s)
    units = dict.fromkeys([unit.name for unit in view.units] + [log.unit for log in detail.logs])
    return GroupPage(
        view=view,
        declared=tuple(one.circuit for one in detail.circuits),
        ways=ways,
        folded=sequence_diagram(ways.folded),
        circuits=_circuits(result, detail, ways),
        timeline=None
        if axis is None
        else timeline(
            view.units,
            axis,
            started_ns=result.started_ns,
            states=moments.states,
            events=events,
            marks=view.marks,
        ),
        usage=() if axis is None else usage(moments.samples, axis, result.started_ns),
        logs=unit_logs(tuple(units), detail.logs, moments.outputs, events, result.started_ns),
        config=detail.config,
        numbers={
            key: number for number, way in enumerate(ways.shown) for key in (way.name, *way.others)
        },
        data=_data(ways.shown),
    )


def _circuits(result: GroupResult, detail: Detail, ways: Ways) -> tuple[CircuitPage, ...]:
    by_name = {circuit.name: circuit for circuit in result.judgement.circuits}
    pages = []
    for one in detail.circuits:
        drawing = distribution(one, by_name.get(one.circuit.name))
        if drawing is None:
            continue
        own = [
            (number, way)
            for number, way in enumerate(ways.shown)
            if one.circuit.name in way.circuits and way.latency_ms is not None
        ]
        own.sort(key=lambda entry: -(entry[1].latency_ms or 0.0))
        slowest = [
            Slowest(number, cut(way.name, _NAME_CELLS), way.latency, way.wrong)
            for number, way in own[:_SLOWEST]
        ]
        pages.append(CircuitPage(drawing, tuple(slowest)))
    return tuple(pages)


def _data(shown: Sequence[KeyWay]) -> dict[str, Any]:
    """The ways, short: units and texts that come again and again are numbers."""
    texts: dict[str, int] = {}

    def number(text: str) -> int:
        return texts.setdefault(visible(text), len(texts))

    ways = [
        {
            "name": cut(way.name, _NAME_CELLS),
            "others": [cut(key, _NAME_CELLS) for key in way.others[:20]],
            "circuits": [visible(name) for name in way.circuits],
            "latency": way.latency,
            "lost": way.latency_ms == inf,
            "wrong": [visible(text) for text in way.wrong],
            "events": way.events,
            "steps": [
                [
                    number(step.unit or ANY_UNIT),
                    number(step.label),
                    step.time,
                    step.gap,
                    number(step.type),
                    -1 if step.source is None else step.source,
                    int(step.absent),
                    visible(step.facts),
                    step.fault,
                    step.skipped,
                ]
                for step in way.steps
            ],
        }
        for way in shown
    ]
    return {"texts": list(texts), "ways": ways}
