"""The HTML report: one file that needs nothing else and loads nothing.

It can be read without its script, which filters, and draws what can be zoomed.
"""

from __future__ import annotations

import base64
import hashlib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from testrium import phrases
from testrium.declared.circuits import Circuit
from testrium.evidence import Event
from testrium.report import wording
from testrium.report.charts.key_paths import (
    ANY_UNIT,
    TIMES,
    DrawnPaths,
    Step,
    hop_columns,
    key_paths,
    steps_of,
)
from testrium.report.charts.logs import (
    HEAD,
    LEAST_LINES,
    MOST_LINES,
    TAIL,
    LogLine,
    UnitLog,
    log_data,
    merged_lines,
    unit_logs,
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
from testrium.report.escape import cut, log_line, shell_word, visible
from testrium.report.lines import symbols_for
from testrium.report.masking import mask_of
from testrium.report.stored import details_of
from testrium.report.view import (
    MOST_OUTPUT_LINES,
    FindingView,
    GroupView,
    as_stored,
    view_group,
)
from testrium.report.writer import Report
from testrium.resources import template_folder
from testrium.results import GroupResult, RunDetail, RunResult
from testrium.system.files import regular_text
from testrium.words import BAD_VERDICTS, GOOD_VERDICTS, Verdict


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


#: So many lines of logs are there for readers without the script.
_LAST_LINES = 40

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


class WrittenFile(NamedTuple):
    """A file of the group as its user wrote it; `changed` since the run, as far as can be seen."""

    name: str
    lines: tuple[str, ...]
    changed: bool


_MOST_FILES = 40

_MOST_FILE_BYTES = 200_000


def written_files(result: GroupResult, started_wall: float) -> tuple[WrittenFile, ...]:
    """config.toml and the files of units, where the group's folder is here."""
    folder = result.scenario.group.folder
    if not folder.is_absolute():
        return ()
    hide = mask_of(result.scenario).text
    files: list[WrittenFile] = []
    with suppress(OSError, ValueError):  # a folder of another machine, or none at all
        for path in [folder / "config.toml", *sorted((folder / "units").glob("*.toml"))]:
            status = path.stat()
            if status.st_size > _MOST_FILE_BYTES or len(files) == _MOST_FILES:
                continue
            lines = tuple(map(hide, regular_text(path, "replace").splitlines()))
            changed = 0 < started_wall < status.st_mtime
            files.append(WrittenFile(str(path.relative_to(folder)), lines, changed))
    return tuple(files)


#: What the stored scenario says of itself, and no key of a file.
_INTERNAL = frozenset(
    ("id", "folder", "fixture_units", "has_setup", "has_teardown", "test_modules", "matrix")
)


def effective_config(stored: str, hide: Callable[[str], str] = str) -> tuple[str, ...]:
    """The scenario as it was run, laid out as the files of a group are, as lines of TOML."""
    try:
        data = tomllib.loads(stored)
        group, units = data["group"], data["units"]
        tables = {
            key: value
            for key, value in group.items()
            if isinstance(value, dict)
            or (isinstance(value, list) and any(isinstance(one, dict) for one in value))
        }
        plain = {
            key: value for key, value in group.items() if key not in _INTERNAL and key not in tables
        }
        params = data["scenario"].get("params")
        texts = [
            tomli_w.dumps({"Configs": {"units": list(units), **_said(plain)}, **tables}),
            *([tomli_w.dumps({"parameters of this result": params})] if params else ()),
            *(
                f"# units/{name}.toml\n{tomli_w.dumps({name: unit})}"
                for name, unit in units.items()
            ),
        ]
    except (ValueError, LookupError, TypeError, AttributeError):
        return tuple(map(hide, stored.splitlines()))  # of another version
    return tuple(map(hide, "\n".join(texts).splitlines()))


def _said(table: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is empty, which says nothing."""
    return {key: value for key, value in table.items() if value not in ("", [], {})}


class ShownLogs(NamedTuple):
    """The logs of all units: by unit, merged in the order of time, and what is left out of them."""

    units: tuple[UnitLog, ...]
    lines: Sequence[LogLine]

    @property
    def left_out(self) -> list[str]:
        """A sentence for each unit of which not everything is here."""
        return [
            f"{log.unit}: {log.lines_in_all - len(log.lines) + 1} lines are left out here"
            for log in self.units
            if log.lines_in_all > len(log.lines)
        ]

    @property
    def last(self) -> Sequence[LogLine]:
        """The last lines, for readers without the script."""
        return self.lines[-_LAST_LINES:]


def _shown_logs(view: GroupView, result: GroupResult, detail: RunDetail, room: Room) -> ShownLogs:
    names = dict.fromkeys([unit.name for unit in view.units] + [log.unit for log in detail.logs])
    units = unit_logs(
        tuple(names),
        detail.logs,
        detail.moments.outputs,
        detail.events[:MOST_EVENTS],
        result.started_ns,
        mask_of(result.scenario).text,
        HEAD + TAIL if room.lines > 0 else LEAST_LINES,
    )
    return ShownLogs(units, merged_lines(units))


class GroupPage(NamedTuple):
    """One result, ready to be put into a page."""

    view: GroupView
    id: str  # of its element
    kinds: tuple[str, ...]  # what filters call it
    tags: tuple[str, ...]
    tries: int  # that failed before it passed
    show: str  # the command that shows more of it
    show_words: str
    declared: tuple[Circuit, ...]
    ways: DrawnPaths
    circuits: tuple[CircuitPage, ...]
    timeline: UnitChart | None
    usage: tuple[UsageChart, ...]
    logs: ShownLogs
    written: tuple[WrittenFile, ...]
    effective: tuple[str, ...]  # lines of TOML
    numbers: Mapping[str, int]  # of the way of a key
    data: Mapping[str, Any]  # for the page's script
    apart: bool  # it needs reading, or is the only one: it stands for itself, and open


class Room:
    """How many steps of paths and lines of logs a page may have yet."""

    def __init__(self, steps: int = MOST_STEPS, lines: int = MOST_LINES) -> None:
        self.steps = steps
        self.lines = lines

    def take(self, steps: int, lines: int) -> None:
        """Count what a group has taken."""
        self.steps = max(0, self.steps - steps)
        self.lines = max(0, self.lines - lines)


def page_of(
    result: GroupResult, detail: RunDetail, run: RunResult, *, cwd: Path, room: Room, number: int
) -> GroupPage:
    """The page of a result.

    Args:
        room: what may be on the page yet; what is taken of it is counted there.
        number: its place on the page.
    """
    view = view_group(result, cwd=cwd)
    findings = result.judgement.findings
    events = detail.events[:MOST_EVENTS]
    moments = detail.moments
    ways = key_paths(
        detail.events, detail.circuits, findings, struck_events(result.faults), room.steps
    )
    axis = axis_of(view.units, view.duration_s)
    logs = _shown_logs(view, result, detail, room)
    room.take(sum(len(way.steps) for way in ways.shown), len(logs.lines))
    view = view._replace(findings=_with_output(view.findings, logs.units))
    flaky = len(result.tries) if view.verdict in GOOD_VERDICTS else 0
    key = next((finding.key for finding in findings if finding.key is not None), None)
    kept = run.folder is not None and view.verdict in BAD_VERDICTS
    show = f"testrium show {run.run}" if kept else ""
    return GroupPage(
        view=view,
        id=f"group-{number}",
        kinds=(str(view.verdict), "flaky") if flaky else (str(view.verdict),),
        tags=result.scenario.group.tags,
        tries=flaky,
        show=show if key is None or not show else f"{show} --key {shell_word(key)}",
        show_words="Show all of it" if key is None else "Show the path of the key",
        declared=tuple(one.circuit for one in detail.circuits),
        ways=ways,
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
        logs=logs,
        written=written_files(result, run.started_wall),
        effective=effective_config(detail.config, mask_of(result.scenario).text),
        numbers={
            key: number for number, way in enumerate(ways.shown) for key in (way.name, *way.others)
        },
        data={**_data(ways), "logs": log_data(logs.lines)},
        apart=view.verdict in BAD_VERDICTS or len(run.groups) == 1,
    )


def _with_output(
    findings: Sequence[FindingView], logs: Sequence[UnitLog]
) -> tuple[FindingView, ...]:
    """The findings, each with the end of what its unit wrote where it has no better evidence."""
    written = {
        log.unit: [line.text for line in log.lines if line.kind in ("stdout", "stderr")]
        for log in logs
    }
    shown = []
    for finding in findings:
        unit = finding.unit.name if finding.unit else finding.where.partition(":")[0]
        lines = () if finding.output else tuple(written.get(unit, ())[-MOST_OUTPUT_LINES:])
        shown.append(
            finding._replace(source=f"last output of {unit}", output=lines) if lines else finding
        )
    return tuple(shown)


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


def _data(drawn: DrawnPaths) -> dict[str, Any]:
    """The ways, short: units and texts that come again and again are numbers."""
    texts: dict[str, int] = {}

    def number(text: str) -> int:
        return texts.setdefault(visible(text), len(texts))

    def step_of(step: Step) -> list[Any]:
        row: list[Any] = [
            number(step.unit or ANY_UNIT),
            number(step.label),
            None if step.at_ms is None else round(step.at_ms, 4),
            _BOUND * step.bound + _ABSENT * step.absent,
            number(step.type),
            -1 if step.source is None else step.source,
            *(visible(step.facts), step.fault, step.skipped),
        ]
        while len(row) > _LEAST and not row[-1]:
            row.pop()
        return row

    paths = [
        {
            "name": cut(way.name, _NAME_CELLS),
            "others": [cut(key, _NAME_CELLS) for key in way.others[:20]],
            "latency": way.latency,
            "lost": way.latency_ms == inf,
            "wrong": [visible(text) for text in way.wrong],
            "events": way.events,
            "drawings": [
                {"circuit": visible(one.circuit), "steps": [step_of(step) for step in one.steps]}
                for one in way.drawings
            ],
        }
        for way in drawn.shown
    ]
    usual = {
        visible(one.circuit): [
            [number(step.unit), number(step.label.rpartition(TIMES)[0]), round(step.at_ms, 4)]
            for step in one.steps
            if step.at_ms is not None
        ]
        for one in drawn.folded
    }
    return {"usual": usual, "texts": list(texts), "paths": paths}


#: Flags of a step for the script, and the fields that each one has (paths.js).
_BOUND, _ABSENT, _LEAST = 1, 2, 6


class CountFilter(NamedTuple):
    """A button that shows only groups of one kind."""

    kind: str
    sign: str
    number: int
    words: str


class RunFact(NamedTuple):
    """What is known of the run as a whole; `copy`: the reader may need it elsewhere."""

    name: str
    text: str
    copy: bool = False


def _filters(result: RunResult, pages: Sequence[GroupPage]) -> list[CountFilter]:
    """What is worst first."""
    signs = symbols_for("utf-8").verdicts
    counts = wording.counts(result.groups)
    order = [*(verdict for verdict in Verdict if verdict in BAD_VERDICTS), *Verdict]
    filters = [
        CountFilter(str(verdict), signs[verdict], count, wording.OUTCOMES[verdict])
        for verdict, count in sorted(counts, key=lambda entry: order.index(entry[0]))
    ]
    flaky = sum(page.tries > 0 for page in pages)
    if flaky:
        bad = sum(verdict in BAD_VERDICTS for verdict, _ in counts)
        filters.insert(bad, CountFilter("flaky", "↻", flaky, "flaky"))
    return filters


def _about(result: RunResult) -> list[RunFact]:
    origin = result.origin
    started = f"{datetime.fromtimestamp(result.started_wall, UTC):%Y-%m-%d %H:%M:%S} UTC"
    facts = [
        RunFact("run", result.run, copy=True),
        RunFact("started", started if result.started_wall else ""),
        RunFact("duration", phrases.duration(as_stored(result.duration_s))),
        RunFact("project", origin.project),
        RunFact("revision", origin.revision[:12] + (" with changes" if origin.dirty else "")),
        RunFact("host", origin.host),
        RunFact("Python", origin.python),
        RunFact("command", origin.command, copy=True),
    ]
    return [fact for fact in facts if fact.text.strip()]


#: Gives what is known of a result besides itself.
Details = Callable[[GroupResult], RunDetail]


def render(
    result: RunResult, *, cwd: Path, details: Details | None = None, dashboard: bool = False
) -> str:
    """The report of a run as an HTML document; without `details` only what the result holds.

    Within the dashboard it leads back there.
    """
    environment = make_environment()
    pages = _pages(result, details or (lambda _: RunDetail()), cwd)
    folded = [page for page in pages if not page.apart]
    words = wording.counts(group for group in result.groups if group.verdict not in BAD_VERDICTS)
    return environment.get_template("report.html.j2").render(
        run=result,
        dashboard=dashboard,
        groups=pages,
        folded=folded,
        folded_title=", ".join(f"{count} {wording.OUTCOMES[verdict]}" for verdict, count in words),
        filters=_filters(result, pages) if len(pages) > 1 else [],
        about=_about(result),
        errors=[str(problem) for problem in result.errors],
        totals=wording.totals(result.groups, as_stored(result.duration_s)),
        hop_columns=hop_columns,
        story_of=steps_of,
    )


#: The page's script, in this order; the first ones are for every page that draws.
SHARED_SCRIPTS = ("dom.js", "scale.js")

_PAGE_SCRIPTS = (*SHARED_SCRIPTS, "paths.js", "logs.js", "page.js")


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
    environment.globals.update(
        our_files(page_styles=("report.css", "page.css"), page_script=_PAGE_SCRIPTS),
        symbols=symbols_for("utf-8").verdicts,
    )
    return environment


def our_files(**names: Sequence[str]) -> dict[str, str]:
    """Our own files by what a template calls them, joined, each with its hash as `NAME_hash`.

    They are the only ones that the policy of a page lets through: their hashes say so.
    """
    folder = template_folder() / "report"
    values: dict[str, str] = {}
    for name, files in names.items():
        text = "".join((folder / file).read_text(encoding="utf-8") for file in files)
        if name.endswith("script"):
            text = f'(() => {{\n"use strict";\n{text}}})();\n'
        values |= {name: Markup(text), f"{name}_hash": _hash(text)}  # noqa: S704
    return values


def _pages(result: RunResult, details: Details, cwd: Path) -> list[GroupPage]:
    """The groups: what did not pass first, also where there is too little room for all."""
    room = Room()
    order = sorted(result.groups, key=_urgency)
    return [
        page_of(group, details(group), result, cwd=cwd, room=room, number=number)
        for number, group in enumerate(order, start=1)
    ]


def _urgency(group: GroupResult) -> int:
    """What did not pass, what passed only at another try, what passed, what was not run."""
    if group.verdict in BAD_VERDICTS:
        return 0
    return 1 if group.tries else 3 if group.verdict is Verdict.SKIP else 2


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
