"""Where the lines and words of a sequence diagram lie; the template only draws them.

Lengths are pixels of the drawing; texts are already cut to the room that they have. The page's
script draws the way of a chosen key by the same rule, with the lengths in `LAYOUT`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from testrium import phrases
from testrium.declared.circuits import Circuit
from testrium.report.charts.key_paths import EventSources, PassedEvent, Step
from testrium.report.escape import cells, cut
from testrium.report.view import EventView, FindingView

_CHAR = 8  # at most, of the 12.5 px monospace face

_LEFT = 100  # room for the times

_LANE = 190

_HEAD = 44

_ROW = 36

_LABEL_CELLS = (_LANE - 24) // _CHAR

#: For the script: what is drawn in the browser looks as what is drawn here.
LAYOUT = {
    "left": _LEFT,
    "lane": _LANE,
    "head": _HEAD,
    "row": _ROW,
    "cells": _LABEL_CELLS,
    "char": _CHAR,
}

#: The lane of what any of several units should have done.
ANY_UNIT = "any of"


class Lane(NamedTuple):
    """The lifeline of a unit."""

    name: str
    x: int


class Dot(NamedTuple):
    """An event on its unit's lifeline; one that is `absent` should have happened there."""

    x: int
    y: int
    label: str
    time: str
    absent: bool
    fault: str


class Arrow(NamedTuple):
    """The way from one event to the next; `absent` where it broke off.

    It is straight to the lane beside, and bends around dots that are between; one to the left
    comes in below the label of its end (a quadratic curve with its control point at `xc`, `yc`).
    """

    x1: int
    y1: int
    xc: int
    yc: int
    x2: int
    y2: int
    absent: bool


class SequenceDiagram(NamedTuple):
    """Units from left to right, time downwards (in order, not to scale)."""

    width: int
    height: int
    lanes: tuple[Lane, ...]
    dots: tuple[Dot, ...]
    arrows: tuple[Arrow, ...]


def sequence_diagram(steps: Sequence[Step]) -> SequenceDiagram | None:
    """The drawing of a story; None where there is none."""
    if not steps:
        return None
    lanes: dict[str, Lane] = {}
    for step in steps:
        x = _LEFT + _LANE // 4 + len(lanes) * _LANE
        lanes.setdefault(step.unit, Lane(cut(step.unit or ANY_UNIT, _LABEL_CELLS), x))
    dots = [
        Dot(
            x=lanes[step.unit].x,
            y=_HEAD + _ROW // 2 + row * _ROW,
            label=cut(step.label, _LABEL_CELLS),
            time=step.time,
            absent=step.absent,
            fault=step.fault,
        )
        for row, step in enumerate(steps)
    ]
    arrows = []
    for step, end in zip(steps, dots, strict=True):
        if step.source is not None:
            arrows.append(_arrow(dots[step.source], end))
    return SequenceDiagram(
        width=max(_LEFT + _LANE * len(lanes), *map(_right_end, dots)),
        height=_HEAD + _ROW * len(steps) + 8,
        lanes=tuple(lanes.values()),
        dots=tuple(dots),
        arrows=tuple(arrows),
    )


def _right_end(dot: Dot) -> int:
    """Where the text at a dot ends."""
    fault = f" ⚡ {dot.fault}" if dot.fault else ""
    return dot.x + 14 + _CHAR * cells(dot.label + fault)


def _arrow(start: Dot, end: Dot) -> Arrow:
    if end.x < start.x:
        return Arrow(start.x, start.y, start.x, end.y, end.x, end.y, end.absent)
    yc = start.y if abs(end.x - start.x) > _LANE else (start.y + end.y) // 2
    return Arrow(start.x, start.y, (start.x + end.x) // 2, yc, end.x, end.y, end.absent)


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
