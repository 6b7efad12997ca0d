"""The HTML report: one file that needs nothing else and loads nothing.

It can be read without its script, which only chooses: the path of a key, lines of logs.
"""

from __future__ import annotations

import base64
import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from testrium import phrases
from testrium.declared.circuits import Circuit
from testrium.evidence import Event, OutputMark, StoredLog
from testrium.report import wording
from testrium.report.charts.key_paths import (
    ANY_UNIT,
    LAYOUT,
    DrawnPath,
    DrawnPaths,
    SequenceDiagram,
    key_paths,
    sequence_diagram,
    steps_of,
)
from testrium.report.charts.units import (
    Distribution,
    UnitChart,
    UsageChart,
    axis_of,
    distribution,
    unit_chart,
    usage,
)
from testrium.report.escape import cut, log_line, visible
from testrium.report.event_lines import facts
from testrium.report.lines import symbols_for
from testrium.report.masking import mask_of
from testrium.report.stored import details_of
from testrium.report.view import GroupView, as_stored, view_group
from testrium.report.writer import Report
from testrium.resources import template_folder
from testrium.results import GroupResult, RunDetail, RunResult
from testrium.system.files import split_lines
from testrium.words import BAD_VERDICTS

#: Of more lines the first and the last are shown.
HEAD = 400

TAIL = 800

_CELLS = 1000


class LogLine(NamedTuple):
    """A line of a log, or a probe. `time` is "" where it is not known."""

    kind: str  # stdout, stderr, probe, skipped
    time: str
    text: str


class UnitLog(NamedTuple):
    """What a unit wrote and emitted. `lines_in_all` counts also what is left out."""

    unit: str
    lines: tuple[LogLine, ...]
    lines_in_all: int


class _Item(NamedTuple):
    t_ns: float
    order: int
    kind: str
    text: str
    bound: bool


def unit_logs(
    units: Sequence[str],
    logs: Sequence[StoredLog],
    marks: Sequence[OutputMark],
    events: Sequence[Event],
    started_ns: int | None,
    hide: Callable[[str], str] = str,
) -> tuple[UnitLog, ...]:
    """The logs of these units; one that neither wrote nor emitted anything has none.

    A line of a log has no time of its own: it stands where it had been written at the latest.
    `hide` takes out of it what must not be shown.
    """
    views = []
    for unit in units:
        own_marks = [mark for mark in marks if mark.unit == unit]
        items = [
            _Item(event.t_ns, 0, "probe", _probe(event), event.t_low_ns is not None)
            for event in events
            if event.owner == unit
        ]
        for log in logs:
            if log.unit == unit:
                items += _lines(log, own_marks, hide)
        if items:
            items.sort(key=lambda item: (item.t_ns, item.order))
            lines = tuple(_shown_lines(items, started_ns))
            views.append(UnitLog(unit, lines, len(items)))
    return tuple(views)


def _lines(
    log: StoredLog, marks: Sequence[OutputMark], hide: Callable[[str], str]
) -> Iterator[_Item]:
    sizes = [mark.stdout if log.stream == "stdout" else mark.stderr for mark in marks]
    before = 0
    for piece in log.pieces:
        if piece.offset > before:
            t_ns = _seen_ns(piece.offset, sizes, marks)
            left_out = f"{phrases.megabytes(piece.offset - before)} of {log.stream} left out"
            yield _Item(t_ns, 1, "skipped", left_out, True)
        end = piece.offset
        for size, written in split_lines(piece.data, log.encoding):
            end += size
            if written:
                text = cut(log_line(hide(written)), _CELLS)
                place = min(end, log.size)
                yield _Item(_seen_ns(place, sizes, marks), 1, log.stream, text, True)
        before = piece.offset + len(piece.data)


def _seen_ns(end: int, sizes: Sequence[int], marks: Sequence[OutputMark]) -> float:
    """When so many bytes were seen to be written."""
    number = bisect_left(sizes, end)
    return marks[number].t_ns if number < len(marks) else inf


def _shown_lines(items: Sequence[_Item], started_ns: int | None) -> Iterator[LogLine]:
    skipped = len(items) - HEAD - TAIL
    for number, item in enumerate(items):
        if skipped > 0 and HEAD <= number < HEAD + skipped:
            if number == HEAD:
                yield LogLine("skipped", "", f"{skipped} lines left out")
            continue
        yield LogLine(item.kind, _time(item, started_ns), item.text)


def _time(item: _Item, started_ns: int | None) -> str:
    if started_ns is None or item.t_ns == inf:
        return ""
    seconds = (item.t_ns - started_ns) / 1e9
    return f"{'≤ ' if item.bound else ''}{seconds:.3f} s"


def _probe(event: Event) -> str:
    key = f" {event.key}" if event.key is not None else ""
    told = facts(event)
    kind = "" if event.type == "Default" else f"  {event.type}"
    return cut(f"{event.step}{key}{kind}" + (f"  {told}" if told else ""), _CELLS)


def struck_events(faults: Sequence[Event]) -> Mapping[int, str]:
    """The events at which a failpoint struck, by id, with what it did.

    Args:
        faults: the events that tell of planned faults (`GroupResult.faults`).
    """
    return {
        event.meta["event"]: f"planned {event.meta.get('do', 'fault')}"
        for event in faults
        if isinstance(event.meta.get("event"), int)
    }


#: So many steps of ways are on one page: what is wrong first, then the slowest.
MOST_STEPS = 30_000

#: So many events are drawn on the timeline and told between the lines of logs.
MOST_EVENTS = 200_000

_SLOWEST = 10

_NAME_CELLS = 120


class SlowKey(NamedTuple):
    """A line of the table of the slowest keys; `number` is that of its way on the page."""

    number: int
    name: str
    latency: str
    wrong: tuple[str, ...]


class CircuitPage(NamedTuple):
    """What is drawn of a circuit's latencies, with its slowest keys."""

    drawing: Distribution
    slowest: tuple[SlowKey, ...]


class GroupPage(NamedTuple):
    """One result, ready to be put into a page."""

    view: GroupView
    declared: tuple[Circuit, ...]
    ways: DrawnPaths
    folded: SequenceDiagram | None
    circuits: tuple[CircuitPage, ...]
    timeline: UnitChart | None
    usage: tuple[UsageChart, ...]
    logs: tuple[UnitLog, ...]
    config: str
    numbers: Mapping[str, int]  # of the way of a key
    data: Mapping[str, Any]  # for the page's script


def page_of(result: GroupResult, detail: RunDetail, *, cwd: Path, room: int) -> GroupPage:
    """The page of a result; at most `room` steps of ways are in it."""
    view = view_group(result, cwd=cwd)
    findings = result.judgement.findings
    events = detail.events[:MOST_EVENTS]
    moments = detail.moments
    ways = key_paths(detail.events, detail.circuits, findings, struck_events(result.faults), room)
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
        else unit_chart(
            view.units,
            axis,
            started_ns=result.started_ns,
            states=moments.states,
            events=events,
            faults=view.faults,
            waits=moments.waits,
        ),
        usage=() if axis is None else usage(moments.samples, axis, result.started_ns),
        logs=unit_logs(
            tuple(units),
            detail.logs,
            moments.outputs,
            events,
            result.started_ns,
            mask_of(result.scenario).text,
        ),
        config=detail.config,
        numbers={
            key: number for number, way in enumerate(ways.shown) for key in (way.name, *way.others)
        },
        data=_data(ways.shown),
    )


def _circuits(result: GroupResult, detail: RunDetail, ways: DrawnPaths) -> tuple[CircuitPage, ...]:
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
            SlowKey(number, cut(way.name, _NAME_CELLS), way.latency, way.wrong)
            for number, way in own[:_SLOWEST]
        ]
        pages.append(CircuitPage(drawing, tuple(slowest)))
    return tuple(pages)


def _data(shown: Sequence[DrawnPath]) -> dict[str, Any]:
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


#: Gives what is known of a result besides itself.
Details = Callable[[GroupResult], RunDetail]


def render(result: RunResult, *, cwd: Path, details: Details | None = None) -> str:
    """The report of a run as an HTML document; without `details` only what the result holds."""
    environment = make_environment()
    started = datetime.fromtimestamp(result.started_wall, UTC)
    return environment.get_template("report.html.j2").render(
        run=result,
        groups=_pages(result, details or (lambda _: RunDetail()), cwd),
        errors=[str(problem) for problem in result.errors],
        totals=wording.totals(result.groups, as_stored(result.duration_s)),
        started=f"{started:%Y-%m-%d %H:%M:%S} UTC",
        open_verdicts=BAD_VERDICTS,
        layout=LAYOUT,
        sequence_diagram=sequence_diagram,
        story_of=steps_of,
    )


def make_environment() -> Environment:
    """Templates that escape what they are given, with our style, our script and their hashes."""
    folder = template_folder() / "report"
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters.update(
        duration=phrases.duration,
        milliseconds=phrases.milliseconds,
        megabytes=phrases.megabytes,
        plural=phrases.plural,
        log_line=log_line,
        as_data=htmlsafe_json_dumps,
    )
    styles, script = (
        (folder / name).read_text(encoding="utf-8") for name in ("report.css", "report.js")
    )
    environment.globals.update(
        symbols=symbols_for("utf-8").verdicts,
        # Our own files, and the only ones that the policy lets through: their hashes say so.
        styles=Markup(styles),  # noqa: S704
        styles_hash=_hash(styles),
        script=Markup(script),  # noqa: S704
        script_hash=_hash(script),
    )
    return environment


def _pages(result: RunResult, details: Details, cwd: Path) -> list[GroupPage]:
    """The groups in their order; what did not pass gets room on the page first."""
    room = MOST_STEPS
    pages: dict[int, GroupPage] = {}
    numbers = sorted(
        range(len(result.groups)),
        key=lambda number: result.groups[number].verdict not in BAD_VERDICTS,
    )
    for number in numbers:
        group = result.groups[number]
        pages[number] = page = page_of(group, details(group), cwd=cwd, room=max(0, room))
        room -= sum(len(way.steps) for way in page.ways.shown)
    return [pages[number] for number in range(len(result.groups))]


def _shown(value: object) -> object:
    """What cannot be seen is written out in every text; then jinja2 escapes the markup."""
    return value if hasattr(value, "__html__") or not isinstance(value, str) else visible(value)


def _hash(text: str) -> str:
    """A source expression of the Content Security Policy (level 2, hash source)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


class PageWriter(Report):
    """Writes the page."""

    def render(self, result: RunResult) -> str:
        """The report of a run as an HTML document."""
        return render(result, cwd=self.cwd, details=details_of)
