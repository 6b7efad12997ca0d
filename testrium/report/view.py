"""What every report shows of a group, in words: metrics, findings, events, units, faults."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from itertools import dropwhile
from pathlib import Path

from testrium import phrases
from testrium.declared.checks import Metric
from testrium.declared.groups import Combination
from testrium.evidence import CheckResult, End, Event, Finding, TestResult, Use
from testrium.load.document import named_lines, shown_path
from testrium.phrases import figure
from testrium.report import escape, wording
from testrium.report.json_report import GROUP_FILE, RUN_FILE, as_stored, since_start_s
from testrium.results import CircuitResult, GroupResult, Judgement, Measure, MetricResult
from testrium.tracebacks import without_ours
from testrium.tuples import NamedTuple
from testrium.words import EMPTY, UNKNOWN_CODES, Code, Verdict


class MetricView(NamedTuple):
    """A line of the table of metrics; None where there is nothing to tell.

    `value` is the median of `n` reports, or what Testrium measured. `verdict` is None where nothing
    is asked of it.
    """

    name: str
    verdict: Verdict | None
    value: str | None
    rule: str
    baseline: str | None
    n: int | None
    mean: str | None
    deviation: str | None
    lowest: str | None
    highest: str | None
    details: str = ""


def metric_views(judgement: Judgement) -> tuple[MetricView, ...]:
    """The results of the metrics, in the order of the judgement."""
    measures = {measure.name: measure for measure in judgement.measures}
    return tuple(_metric_view(result, measures.get(result.name)) for result in judgement.metrics)


def _metric_view(result: MetricResult, measure: Measure | None) -> MetricView:
    unit = "" if measure is None else measure.unit

    def shown(value: float | None) -> str | None:
        return None if value is None else figure(value, unit)

    return MetricView(
        name=result.name,
        verdict=_verdict(result),
        value=None if measure is None else shown(measure.value),
        rule=_rule(result.rule, unit),
        baseline=shown(result.baseline),
        n=None if measure is None or measure.source != "reported" else measure.n,
        mean=None if measure is None or measure.n < 2 else shown(measure.mean),
        deviation=None if measure is None else shown(measure.deviation),
        lowest=shown(result.lowest),
        highest=shown(result.highest),
        details="" if measure is None else _details(measure),
    )


def _details(measure: Measure) -> str:
    """The details reported with a value: `rows=100 cached=true`."""
    return " ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in measure.details.items()
    )


def _verdict(result: MetricResult) -> Verdict | None:
    if result.held is not None:
        return Verdict.PASS if result.held else Verdict.FAIL
    return None if result.rule is None else Verdict.UNKNOWN


def _rule(rule: Metric | None, unit: str) -> str:
    """`max 80 ms, at most 20% worse`; "" where there is none."""
    if rule is None:
        return ""
    parts = []
    if rule.least is not None:
        parts.append(f"min {figure(rule.least, rule.unit or unit)}")
    if rule.most is not None:
        parts.append(f"max {figure(rule.most, rule.unit or unit)}")
    if rule.max_regression is not None:
        parts.append(f"max {rule.max_regression:.0%} worse")
    return ", ".join(parts) or "must be there"


#: More events of a finding than this are shown without those in the middle.
MOST_EVENTS = 14

MOST_OUTPUT_LINES = 12

#: A diff, or a message of several lines, is read from its beginning.
MOST_CHECK_LINES = 24

#: Their messages are what a user's code says, or a diff: the first line is the sentence.
MULTILINE = frozenset({Code.CHECK, Code.TEST, Code.EXCEPTION})

_DECLARED_IN = {Code.CHECK: "checks", Code.METRIC: "metrics"}

_ABSENT = frozenset({Code.LOST, Code.MISSING})


class EventView(NamedTuple):
    """One event of a finding.

    `t_ms` counts from the first event shown; None where the clocks cannot be compared, and for an
    `absent` one, which should have happened. `bound` marks a time that is an upper bound. `skipped`
    is the number of events left out before this one.
    """

    unit: str
    step: str
    type: str = ""
    key: str | None = None
    t_ms: float | None = None
    pid: int | None = None
    bound: bool = False
    absent: bool = False
    skipped: int = 0


class UnitView(NamedTuple):
    """A unit and its end; times in seconds from the start of the group."""

    name: str
    state: str
    ended: str
    pid: int | None
    starts: int
    started_s: float | None
    ready_s: float | None
    ended_s: float | None
    output: tuple[str, ...]
    leaks: tuple[str, ...]
    use: Use = Use()


class FindingView(NamedTuple):
    """A finding with its evidence. `follow` are the findings that it explains, one short line each.

    `key` is the witness where the finding has keys; `key_count` counts also those that are not
    kept. `source` says where `output` comes from. What is longer than a person reads is cut.
    """

    code: str
    where: str
    circuit: str | None
    message: str
    key: str | None
    keys: tuple[str, ...]
    key_count: int
    undecided: bool
    events: tuple[EventView, ...]
    unit: UnitView | None
    source: str
    output: tuple[str, ...]
    hints: tuple[str, ...]
    follow: tuple[str, ...]
    #: Where the circuit, check or metric is declared that this finding is about: `config.toml:7`.
    declared: str = ""
    #: Further lines of a message that has several.
    rest: tuple[str, ...] = ()
    #: What a failed test has printed, and the files that it has attached.
    printed: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.code} at {self.where}"

    @property
    def latest_ms(self) -> float:
        """The time of the latest event: it decides how times are written."""
        return max((event.t_ms or 0.0 for event in self.events), default=0.0)


class FaultView(NamedTuple):
    """A planned fault that has happened: `at_s` counts from the start of the group.

    `pid` is the process that it was done to, where it was one. `for_s` is how long it was to last,
    or did; None where that is not limited or means nothing.
    """

    name: str
    do: str
    unit: str
    key: str | None
    pid: int | None
    at_s: float | None
    for_s: float | None


class GroupView(NamedTuple):
    """One result. `findings` are the root causes, the first one first."""

    label: str
    title: str
    mode: str
    params: Mapping[str, str]
    verdict: Verdict
    reason: str
    duration_s: float
    findings: tuple[FindingView, ...]
    notes: tuple[FindingView, ...]
    units: tuple[UnitView, ...]
    circuits: tuple[CircuitResult, ...]
    metrics: tuple[MetricView, ...]
    tests: tuple[TestResult, ...]
    checks: tuple[CheckResult, ...]
    rerun: str
    run_dir: str
    #: The group is not here: the command is one for the machine that it was run on.
    rerun_on_other_machine: bool = False
    faults: tuple[FaultView, ...] = ()
    #: Lines of an answer that is not verified.
    answer: tuple[str, ...] = ()


def view_group(result: GroupResult, *, cwd: Path) -> GroupView:
    """The view of one result; `cwd` is where its command is going to be typed."""
    builder = _Evidence(result, cwd)
    scenario = result.scenario
    return GroupView(
        label=wording.label(scenario),
        title=scenario.group.title,
        mode=scenario.mode,
        params=scenario.params,
        verdict=result.verdict,
        reason=wording.reason(result),
        duration_s=as_stored(result.duration_s),
        findings=_roots(builder, result.judgement.findings),
        notes=tuple(builder.finding(note) for note in result.judgement.notes),
        units=tuple(builder.units.values()),
        circuits=result.judgement.circuits,
        metrics=metric_views(result.judgement),
        tests=tuple(test._replace(duration_s=as_stored(test.duration_s)) for test in result.tests),
        checks=tuple(one._replace(duration_s=as_stored(one.duration_s)) for one in result.checks),
        rerun=_repeating(result) or rerun_command(scenario.group.folder, cwd, scenario.params),
        run_dir="" if result.run_dir is None else _short_path(result.run_dir, cwd),
        rerun_on_other_machine=result.unpacked is not None and not scenario.group.folder.is_dir(),
        faults=_faults(result.faults, result.started_ns),
        answer=_lines(result.answer) if result.answer else (),
    )


#: Where `testrium explore` and `testrium generate` put their runs.
SEARCHES = ("explore", "generate")


def _repeating(result: GroupResult) -> str:
    """The command that repeats its order or its drawn example; "" without one, or where it is lost.

    Runs of a search lie apart, in a folder of the state folder: only one of them is kept.
    """
    if result.run_dir is None or not result.scenario.replays:
        return ""
    folders = (result.run_dir, *result.run_dir.parents)
    for run, runs, state in zip(folders, folders[1:], folders[2:], strict=False):
        if runs.name == "runs":
            return "" if state.name in SEARCHES else f"testrium replay {run.name}"
    return ""


def rerun_command(folder: Path, cwd: Path, params: Mapping[str, str] = EMPTY) -> str:
    """The command that runs just this group again, ready to be pasted into a shell.

    With `params` just that combination of its matrix, primary or not.
    """
    command = f"testrium run {escape.shell_word(_short_path(folder, cwd))}"
    if not params:
        return command
    suffix = re.escape(Combination(params).suffix)
    return f"{command} --all-modes --grep {escape.shell_word(suffix)}"


def _short_path(path: Path, cwd: Path) -> str:
    """The path from `cwd` if it lies below, else in full: `../../..` is hard to read."""
    short = os.path.relpath(path, cwd)
    return str(path) if short.startswith(os.pardir) else short


def _roots(builder: _Evidence, findings: Sequence[Finding]) -> tuple[FindingView, ...]:
    """The findings that nothing explains, each with all that follows from it, in their order."""
    by_name = {_name(finding): finding for finding in reversed(findings)}
    follow: dict[str, list[Finding]] = {}
    roots: list[Finding] = []
    known: dict[str, Finding | None] = {}
    for finding in findings:
        root = _root_of(finding, by_name, known)
        if root is finding:
            roots.append(finding)
        else:
            follow.setdefault(_name(root), []).append(finding)
    views = []
    for root in roots:
        # Two roots of one name (in two circuits): what follows is shown once, under the first.
        views.append(builder.finding(root, tuple(map(_brief, follow.pop(_name(root), ())))))
    return tuple(views)


def _root_of(
    finding: Finding, by_name: Mapping[str, Finding], known: dict[str, Finding | None]
) -> Finding:
    """What explains it in the end: itself, where that leads into a circle, which hides no member.

    `known` keeps the roots of all on the path, None for a circle: each finding is looked at once.
    """
    path: dict[str, None] = {}
    root: Finding | None = finding
    while root is not None and root.explained_by is not None and root.explained_by in by_name:
        above = root.explained_by
        if above in known:
            root = known[above]
            break
        root = None if above in path or above == _name(finding) else by_name[above]
        path[above] = None
    known.update(dict.fromkeys(path, root))
    return finding if root is None else root


def _name(finding: Finding) -> str:
    return f"{finding.code} {finding.where}"


def _brief(finding: Finding) -> str:
    count = finding.number_of_keys
    keys = f" ({phrases.plural(count, 'key')})" if count > 1 else ""
    return f"{_name(finding)}{keys}"


class _Evidence:
    """Looks up for each finding what supports it."""

    def __init__(self, result: GroupResult, cwd: Path) -> None:
        self._folder = result.scenario.group.folder
        self._cwd = cwd
        self._whole = GROUP_FILE if result.scenario.group.save_resume else RUN_FILE
        self._witnesses = result.witnesses
        self._checks = {check.name: check.details for check in result.checks}
        self._tests = {test.name: test for test in result.tests}
        self._lines: dict[str, tuple[str, dict[tuple[str, str], int]]] = {}
        self.units = {end.unit: _unit(end, result.started_ns) for end in result.ends}

    def finding(self, finding: Finding, follow: tuple[str, ...] = ()) -> FindingView:
        events = [self._witnesses[id_] for id_ in finding.events if id_ in self._witnesses]
        unit = self.units.get(finding.unit or "")
        source, output = self._output(finding, events, unit)
        message, rest, output = self._cut(finding, source, output)
        test = self._tests.get(finding.where) if finding.code is Code.TEST else None
        return FindingView(
            code=finding.code,
            where=finding.where,
            circuit=finding.circuit,
            message=message,
            rest=rest,
            declared=self._declared(finding),
            key=finding.key,
            keys=finding.keys,
            key_count=finding.number_of_keys,
            undecided=finding.code in UNKNOWN_CODES,
            events=_history(finding, events),
            unit=unit,
            source=source,
            output=output if finding.code is Code.CHECK else _telling(output),
            hints=finding.hints,
            follow=follow,
            printed=_telling(_lines(test.output)) if test and test.output else (),
            attachments=test.attachments if test else (),
        )

    def _cut(
        self, finding: Finding, source: str, output: tuple[str, ...]
    ) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """The first line of the message, as many others as a person reads, and what it shows.

        A traceback ends with the message: they are shown once.
        """
        message = finding.message
        if finding.code not in MULTILINE:  # a key may hold anything
            return message, (), output
        first, *rest = message.rstrip().split("\n")
        if rest and source == "traceback" and output[-len(rest) :] == tuple(rest):
            if len(output) <= MOST_OUTPUT_LINES:
                return first, (), output
            output = output[: -len(rest)]
        return first, self._bounded(rest), output

    def _bounded(self, lines: Sequence[str]) -> tuple[str, ...]:
        """Lines that are read from their beginning, and where to read on."""
        left = len(lines) - MOST_CHECK_LINES
        if left > 1:
            return (*lines[:MOST_CHECK_LINES], f"… {left} more lines (see {self._whole})")
        return tuple(lines)

    def _declared(self, finding: Finding) -> str:
        """Where that is declared which is not so; "" where it is not known, or not there now."""
        table = _DECLARED_IN.get(finding.code, "")
        names: tuple[str, ...] = (finding.where,)
        file = "config.toml"
        if finding.circuit:
            table, names = "circuits", (finding.circuit,)
        elif not table:
            key, table = finding.declared_as, finding.unit or ""
            if not key or not table:
                return ""
            file = f"units/{table}.toml"
            names = (key, key.replace("_", "-"))
        if file not in self._lines:
            path = self._folder / file
            self._lines[file] = shown_path(path, self._cwd), named_lines(path)
        shown, known = self._lines[file]
        line = next((known[table, name] for name in names if (table, name) in known), None)
        return "" if line is None else f"{shown}:{line}"

    def _output(
        self, finding: Finding, events: Sequence[Event], unit: UnitView | None
    ) -> tuple[str, tuple[str, ...]]:
        """The text that shows most: a traceback if there is one, else the unit's last lines."""
        if finding.code is Code.CHECK:
            lines = self._checks.get(finding.where, ())
            source = "difference" if lines and lines[0].startswith("--- ") else "lines"
            return source, self._bounded(lines)
        if finding.code is Code.TEST:
            test = self._tests.get(finding.where)
            return ("traceback", _frames(test.traceback)) if test and test.traceback else ("", ())
        if finding.code is Code.EXCEPTION:
            for event in events:
                traceback = event.meta.get("traceback")
                if isinstance(traceback, str) and traceback:
                    return "traceback", _frames(traceback)
        if unit is None or not unit.output:
            return "", ()
        return f"last output of {unit.name}", unit.output


def _unit(end: End, started_ns: int | None) -> UnitView:
    return UnitView(
        name=end.unit,
        state=end.state,
        ended=wording.how_ended(end),
        pid=end.pid,
        starts=end.starts,
        started_s=since_start_s(end.started_ns, started_ns),
        ready_s=since_start_s(end.ready_ns, started_ns),
        ended_s=since_start_s(end.ended_ns, started_ns),
        output=end.last_lines,
        leaks=tuple(f"pid {leak.pid}: {leak.command_line}" for leak in end.leaks),
        use=end.use,
    )


def _faults(faults: Sequence[Event], started_ns: int | None) -> tuple[FaultView, ...]:
    """One mark for each fault; of a link two events tell, when it was broken and when it healed."""
    healed = {event.step: event.t_ns for event in faults if event.meta.get("phase") == "end"}
    return tuple(
        _fault(event, started_ns, healed.get(event.step))
        for event in faults
        if event.meta.get("phase") != "end"
    )


def _fault(event: Event, started_ns: int | None, healed_ns: int | None) -> FaultView:
    for_ns = event.meta.get("for_ns") if healed_ns is None else healed_ns - event.t_ns
    return FaultView(
        name=event.step,
        do=str(event.meta.get("do", "")),
        unit=str(event.meta.get("unit", "")),
        key=event.key,
        pid=event.pid if event.pid > 0 else None,
        at_s=None if started_ns is None else (event.here_ns - started_ns) / 1e9,
        for_s=for_ns / 1e9 if isinstance(for_ns, int) else None,
    )


def _history(finding: Finding, events: Sequence[Event]) -> tuple[EventView, ...]:
    views: list[EventView] = []
    middle = len(events) - MOST_EVENTS
    first = events[0] if events else None
    for index, event in enumerate(events):
        if middle > 0 and MOST_EVENTS // 2 <= index < MOST_EVENTS // 2 + middle:
            continue
        same_clock = first is not None and event.domain == first.domain
        views.append(
            EventView(
                unit=event.unit,
                step=event.step,
                type=event.type,
                key=event.key,
                t_ms=(event.t_ns - first.t_ns) / 1e6 if first and same_clock else None,
                pid=event.pid if event.pid > 0 else None,  # 0: a program that did not say
                bound=event.t_low_ns is not None,
                skipped=middle if middle > 0 and index == MOST_EVENTS // 2 + middle else 0,
            )
        )
    if views and finding.code in _ABSENT and all(event.place != finding.where for event in events):
        unit, step = wording.split_place(finding.where)
        views.append(EventView(unit, step, key=finding.key, absent=True))
    return tuple(views)


def _telling(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The end of an output; of what Python writes when it dies, the beginning."""
    for index, text in enumerate(lines):
        if text.startswith("Fatal Python error"):
            return lines[index : index + MOST_OUTPUT_LINES]
    return tuple(dropwhile(lambda text: not text.strip(), lines[-MOST_OUTPUT_LINES:]))


def _lines(text: str) -> tuple[str, ...]:
    return tuple(text.rstrip().split("\n"))


def _frames(text: str) -> tuple[str, ...]:
    return without_ours(_lines(text))
