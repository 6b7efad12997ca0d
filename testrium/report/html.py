"""The HTML report: one file that needs nothing else and loads nothing.

It can be read without its script, which filters, and draws what can be zoomed.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from testrium import phrases
from testrium.declared.circuits import Circuit
from testrium.evidence import Event
from testrium.record.database import collector_paused
from testrium.report import wording
from testrium.report.charts.hops import (
    ANY_UNIT,
    DrawnOperation,
    hop_columns,
    operations_of,
    steps_of,
)
from testrium.report.charts.key_paths import TIMES, DrawnPaths, Step, key_paths, latency_text
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
from testrium.report.charts.settings import WrittenFile, effective_config, written_files
from testrium.report.charts.trends import Past, series_name
from testrium.report.charts.units import Distribution, GroupTimeline, distribution, timeline
from testrium.report.escape import cut, log_line, shell_word, visible
from testrium.report.json_report import as_stored
from testrium.report.lines import symbols_for
from testrium.report.masking import mask_of
from testrium.report.view import (
    MOST_OUTPUT_LINES,
    FindingView,
    GroupView,
    view_group,
)
from testrium.resources import template_folder
from testrium.results import GroupResult, RunDetail, RunResult
from testrium.words import BAD_VERDICTS, Verdict


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


#: How many lines of logs are there for readers without the script.
_LAST_LINES = 40

#: How many steps of message paths are on one page: what is wrong first, then the slowest.
MOST_STEPS = 30_000

#: How many findings of a result a page shows; a run of ours has one for each code and place.
MOST_FINDINGS = 1_000

#: How many events are drawn on the timeline and told between the lines of logs.
MOST_EVENTS = 200_000

_SLOWEST = 10

_NAME_CELLS = 120

#: Of a message in a table; the finding has more of it.
_CELL_WIDTH = 300


class SlowKey(NamedTuple):
    """A line of the table of the slowest keys; `number` is that of its path on the page."""

    number: int
    name: str
    latency: str
    wrong: tuple[str, ...]


class CircuitPage(NamedTuple):
    """What is drawn of a circuit's latencies, with its slowest keys."""

    drawing: Distribution
    slowest: tuple[SlowKey, ...]


class WholeLog(NamedTuple):
    """A log that the page leads to: `store stdout`, with its size in words."""

    name: str
    size: str
    address: str


#: Gives the address of a log of a result, by its unit and stream; "" where it has none.
LogAddress = Callable[[GroupResult, str, str], str]


class ShownLogs(NamedTuple):
    """The logs of all units: by unit, merged in the order of time, and where all of each is."""

    units: tuple[UnitLog, ...]
    lines: Sequence[LogLine]
    whole: tuple[WholeLog, ...] = ()

    @property
    def left_out(self) -> list[str]:
        """A sentence for each unit of which not everything is here."""
        return [f"{log.unit}: left out here: {log.left_out}" for log in self.units if log.left_out]

    @property
    def last(self) -> Sequence[LogLine]:
        """The last lines, for readers without the script."""
        return self.lines[-_LAST_LINES:]


def _shown_logs(
    view: GroupView, result: GroupResult, detail: RunDetail, most: int, address: LogAddress
) -> ShownLogs:
    names = dict.fromkeys([unit.name for unit in view.units] + [log.unit for log in detail.logs])
    units = unit_logs(
        tuple(names),
        detail.logs,
        detail.moments.outputs,
        detail.events[:MOST_EVENTS],
        result.started_ns,
        mask_of(result.scenario).text,
        most,
    )
    whole = tuple(
        WholeLog(f"{log.unit} {log.stream}", phrases.figure(log.size, "B"), place)
        for log in detail.logs
        if (place := address(result, log.unit, log.stream))
    )
    return ShownLogs(units, merged_lines(units), whole)


class GroupPage(NamedTuple):
    """One result, ready to be put into a page."""

    view: GroupView
    findings_left_out: int
    id: str  # of its element
    series: str  # its name in the history
    kinds: tuple[str, ...]  # what filters call it
    tags: tuple[str, ...]
    tries: int  # that failed before it passed
    show: str  # the command that shows more of it
    declared: tuple[Circuit, ...]
    paths: DrawnPaths
    circuits: tuple[CircuitPage, ...]
    timeline: GroupTimeline | None
    past: Past
    logs: ShownLogs
    written: tuple[WrittenFile, ...]
    effective: tuple[str, ...]  # lines of TOML
    numbers: Mapping[str, int]  # of the path of a key
    operations: Mapping[str, tuple[DrawnOperation, ...]]  # by the title of their finding
    data: Mapping[str, Any]  # for the page's script
    apart: bool  # it needs reading, or is the only one: not folded, and open


class _PageMaker:
    """Makes the pages of a run's results, and counts what is on them already."""

    def __init__(
        self, run: RunResult, cwd: Path, details: Details, past: PastOf, log_address: LogAddress
    ) -> None:
        self._log_address = log_address
        self._run = run
        self._cwd = cwd
        self._details = details
        self._past = past
        self._steps = MOST_STEPS
        self._lines = MOST_LINES

    def page(self, result: GroupResult, number: int) -> GroupPage:
        """The page of a result, the one of this number."""
        run, detail = self._run, self._details(result)
        view = view_group(result, cwd=self._cwd)
        findings = result.judgement.findings
        struck = struck_events(result.faults)
        paths = key_paths(detail.events, detail.circuits, findings, struck, max(0, self._steps))
        most = HEAD + TAIL if self._lines > 0 else LEAST_LINES
        logs = _shown_logs(view, result, detail, most, self._log_address)
        self._steps -= sum(len(path.steps) for path in paths.shown)
        self._lines -= len(logs.lines)
        shown = view.findings[:MOST_FINDINGS]
        left_out = len(view.findings) - len(shown)
        view = view._replace(findings=_with_output(shown, logs.units))
        bad = view.verdict in BAD_VERDICTS
        flaky = 0 if bad else len(result.tries)
        circuits = _circuits(result, detail, paths)
        drawn = _timeline(view, result, detail)
        operations = {
            finding.title: found
            for finding in findings
            if (found := operations_of(finding, result.witnesses))
        }
        return GroupPage(
            view=view,
            findings_left_out=left_out,
            id=f"group-{number}",
            series=series_name(result.scenario.id, result.scenario.mode),
            kinds=(str(view.verdict), "flaky") if flaky else (str(view.verdict),),
            tags=result.scenario.group.tags,
            tries=flaky,
            show=_show_command(run, result) if bad else "",
            declared=tuple(one.circuit for one in detail.circuits),
            paths=paths,
            circuits=circuits,
            timeline=drawn,
            past=self._past(result, detail),
            logs=logs,
            written=written_files(result, run.started_wall),
            effective=effective_config(detail.config, mask_of(result.scenario).text),
            numbers=paths.numbers,
            operations=operations,
            data={
                **_data(paths),
                "operations": list(operations.values()),
                "logs": log_data(logs.lines),
                "timeline": None if drawn is None else drawn.data(),
                "latencies": [circuit.drawing.data() for circuit in circuits],
            },
            apart=bad or len(run.groups) == 1,
        )


def _show_command(run: RunResult, result: GroupResult) -> str:
    """What shows more of a result in a terminal: the path of its first key, where it has one."""
    if run.folder is None:
        return ""
    findings = result.judgement.findings
    key = next((finding.key for finding in findings if finding.key is not None), None)
    return f"testrium show {run.run}" + ("" if key is None else f" --key {shell_word(key)}")


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


def _timeline(view: GroupView, result: GroupResult, detail: RunDetail) -> GroupTimeline | None:
    moments = detail.moments
    return timeline(
        view.units,
        view.duration_s,
        result.started_ns,
        states=moments.states,
        events=detail.events[:MOST_EVENTS],
        faults=view.faults,
        waits=moments.waits,
        samples=moments.samples,
    )


def _circuits(result: GroupResult, detail: RunDetail, paths: DrawnPaths) -> tuple[CircuitPage, ...]:
    by_name = {circuit.name: circuit for circuit in result.judgement.circuits}
    pages = []
    numbers = paths.numbers
    for one in detail.circuits:
        drawing = distribution(one, by_name.get(one.circuit.name))
        if drawing is None:
            continue
        known = [path for path in one.paths if path.high_ns is not None and path.name in numbers]
        known.sort(key=lambda path: -(path.high_ns or 0.0))
        slowest = [
            SlowKey(
                numbers[path.name],
                cut(path.name, _NAME_CELLS),
                latency_text(path.high_ns or 0.0, exact=path.low_ns == path.high_ns),
                paths.shown[numbers[path.name]].wrong,
            )
            for path in known[:_SLOWEST]
        ]
        pages.append(CircuitPage(drawing, tuple(slowest)))
    return tuple(pages)


def _data(drawn: DrawnPaths) -> dict[str, Any]:
    """The paths, short: units and texts that come again and again are numbers."""
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
            "name": cut(path.name, _NAME_CELLS),
            "others": [cut(key, _NAME_CELLS) for key in path.others[:20]],
            "latency": path.latency,
            "lost": path.latency_ms == inf,
            "wrong": [visible(text) for text in path.wrong],
            "events": path.events,
            "drawings": [
                {"circuit": visible(one.circuit), "steps": [step_of(step) for step in one.steps]}
                for one in path.drawings
            ],
        }
        for path in drawn.shown
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


def _about(result: RunResult, *, dashboard: bool) -> list[RunFact]:
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
        RunFact("dashboard", "" if dashboard or not result.folder else "testrium serve", copy=True),
    ]
    return [fact for fact in facts if fact.text.strip()]


#: Gives what is known of a result besides itself.
Details = Callable[[GroupResult], RunDetail]

#: Gives what was before a result.
PastOf = Callable[[GroupResult, RunDetail], Past]


def render(
    result: RunResult,
    *,
    cwd: Path,
    details: Details = lambda _: RunDetail(),
    past: PastOf = lambda _, __: Past(),
    log_address: LogAddress = lambda *_: "",
    dashboard: bool = False,
) -> str:
    """The report of a run as an HTML document; without `details` only what the result holds.

    `past` tells what was before a result, `log_address` where its logs are. Within the dashboard
    the page leads back there.
    """
    environment = make_environment()
    maker = _PageMaker(result, cwd, details, past, log_address)
    order = sorted(result.groups, key=_urgency)  # also where there is too little room for all
    with collector_paused():
        pages = [maker.page(group, number) for number, group in enumerate(order, start=1)]
    folded = [page for page in pages if not page.apart]
    words = wording.counts(group for group in result.groups if group.verdict not in BAD_VERDICTS)
    return environment.get_template("report.html.j2").render(
        run=result,
        dashboard=dashboard,
        groups=pages,
        folded=folded,
        folded_title=", ".join(f"{count} {wording.OUTCOMES[verdict]}" for verdict, count in words),
        filters=_filters(result, pages) if len(pages) > 1 else [],
        about=_about(result, dashboard=dashboard),
        errors=[str(problem) for problem in result.errors],
        totals=wording.totals(result.groups, as_stored(result.duration_s)),
        hop_columns=hop_columns,
        steps_of=steps_of,
    )


#: The page's script, in this order; the first ones are for every page that draws.
SHARED_SCRIPTS = ("dom.js", "scale.js")

_PAGE_SCRIPTS = (
    *SHARED_SCRIPTS,
    *("chart.js", "paths.js", "timeline.js", "latency.js", "logs.js", "page.js"),
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
        cut=cut,
        first_line=_first_line,
        as_data=htmlsafe_json_dumps,
    )
    environment.globals.update(
        our_files(page_styles=("report.css", "page.css"), page_script=_PAGE_SCRIPTS),
        symbols=symbols_for("utf-8").verdicts,
    )
    return environment


def _first_line(text: str) -> str:
    """The first line of a message for a table, and a sign that there is more."""
    first, _, rest = text.strip().partition("\n")
    return cut(first, _CELL_WIDTH) + (" …" if rest else "")


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
