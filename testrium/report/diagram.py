"""Where the lines and words of a group's two drawings lie; the template only draws them.

Lengths are pixels of the drawing; texts are already cut to the room that they have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from testrium.model import EventType
from testrium.report import wording
from testrium.report.escape import cut
from testrium.report.view import EventView, FindingView, UnitView

_CHAR = 7  # of the 12 px monospace face
_LEFT = 100  # room for the times
_LANE = 190
_HEAD = 44
_ROW = 36
_LABEL_CELLS = (_LANE - 24) // _CHAR

_NAMES = 150
_BAR_WIDTH = 560
_BAR_ROW = 26
_AXIS = 24


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


class Arrow(NamedTuple):
    """The way from one event to the next; `absent` where it broke off."""

    x1: int
    y1: int
    x2: int
    y2: int
    absent: bool


class SequenceDiagram(NamedTuple):
    """The witness's story: units from left to right, time downwards (in order, not to scale)."""

    width: int
    height: int
    lanes: tuple[Lane, ...]
    dots: tuple[Dot, ...]
    arrows: tuple[Arrow, ...]


class Bar(NamedTuple):
    """The life of a unit; `ready` is None where it never became ready."""

    name: str
    title: str
    state: str
    y: int
    x: float
    width: float
    ready: float | None


class Tick(NamedTuple):
    """A moment on the axis."""

    x: float
    label: str


class Timeline(NamedTuple):
    """When each unit lived, on one axis."""

    width: int
    height: int
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]


def sequence_diagram(finding: FindingView) -> SequenceDiagram | None:
    """The drawing of a finding's events; None where there are none."""
    events = finding.events
    if not events:
        return None
    lanes: dict[str, Lane] = {}
    for event in events:
        x = _LEFT + _LANE // 4 + len(lanes) * _LANE
        lanes.setdefault(event.unit, Lane(cut(event.unit or "any of", _LABEL_CELLS), x))
    dots = [
        Dot(
            x=lanes[event.unit].x,
            y=_HEAD + _ROW // 2 + row * _ROW,
            label=cut(event.step, _LABEL_CELLS),
            time=_time(event, finding.latest_ms),
            absent=event.absent,
        )
        for row, event in enumerate(events)
    ]
    return SequenceDiagram(
        width=_LEFT + _LANE * len(lanes),
        height=_HEAD + _ROW * len(events) + 8,
        lanes=tuple(lanes.values()),
        dots=tuple(dots),
        arrows=_arrows(events, dots),
    )


def timeline(units: Sequence[UnitView], duration_s: float) -> Timeline | None:
    """The drawing of the lives of units; None where none was started."""
    started = [unit for unit in units if unit.started_s is not None]
    if not started:
        return None
    end_s = max([duration_s, *(unit.ended_s or 0.0 for unit in started)]) or 1.0

    def place(seconds: float) -> float:
        return round(_NAMES + _BAR_WIDTH * min(max(seconds, 0.0), end_s) / end_s, 1)

    bars = []
    for row, unit in enumerate(started):
        begin = place(unit.started_s or 0.0)
        end = place(end_s if unit.ended_s is None else unit.ended_s)
        bars.append(
            Bar(
                name=cut(unit.name, _NAMES // _CHAR - 1),
                title=f"{unit.name} {unit.ended}",
                state=unit.state,
                y=row * _BAR_ROW,
                x=begin,
                width=max(2.0, round(end - begin, 1)),
                ready=None if unit.ready_s is None else place(unit.ready_s),
            )
        )
    ticks = [Tick(place(end_s * part / 4), wording.duration(end_s * part / 4)) for part in range(5)]
    return Timeline(
        _NAMES + _BAR_WIDTH + 50, len(bars) * _BAR_ROW + _AXIS, tuple(bars), tuple(ticks)
    )


def _arrows(events: Sequence[EventView], dots: Sequence[Dot]) -> tuple[Arrow, ...]:
    """From its Send to each Receive, else from each event to the next.

    So the copies of a broadcast start at their sender, the one that never arrived included.
    """
    arrows = []
    sent, copies = 0, 0
    for index, event in enumerate(events):
        if event.type == EventType.SEND:
            sent, copies = index, 0
        if index == 0:
            continue
        copies += event.type == EventType.RECEIVE
        from_send = event.type == EventType.RECEIVE or (event.absent and copies > 1)
        start, end = dots[sent if from_send else index - 1], dots[index]
        if start.x != end.x:
            arrows.append(Arrow(start.x, start.y, end.x, end.y, end.absent))
    return tuple(arrows)


def _time(event: EventView, latest_ms: float) -> str:
    if event.absent:
        return "never"
    if event.t_ms is None:
        return "other clock"
    return f"{'≤ ' if event.bound else ''}{wording.milliseconds(event.t_ms, latest_ms)}"
