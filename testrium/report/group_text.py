"""A group as text: its block with findings, its tables and events, and the summary of a run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from testrium import phrases
from testrium.evidence import CheckResult, Event
from testrium.evidence import TestResult as Test
from testrium.report import wording
from testrium.report.escape import cut, cut_names, log_line
from testrium.report.json_report import GROUP_FILE
from testrium.report.lines import STYLES, Line, Span, Style, Symbols, line, symbols_for, table
from testrium.report.view import (
    EventView,
    FaultView,
    FindingView,
    GroupView,
    MetricView,
    UnitView,
    view_group,
)
from testrium.results import CircuitResult, GroupResult, RunResult
from testrium.system.files import write_text
from testrium.words import BAD_VERDICTS, Code, Verdict

_INDENT = 2

#: Of a metric's name, which may have 200 characters: the others say more in that room.
_NAME_WIDTH = 40

#: Of the details of a metric; report.json has all of it.
_DETAILS_WIDTH = 60

_CIRCUIT_HEADS = ("name", "verdict", "instances", "p50", "p95", "p99", "max")

_VERDICT = _CIRCUIT_HEADS.index("verdict")


def tables(view: GroupView, width: int | None) -> Iterator[Line]:
    """A table for each of the five that the group has."""
    if view.circuits:
        rows = [[Span(head, "dim") for head in _CIRCUIT_HEADS], *map(_circuit_row, view.circuits)]
        yield from _titled("circuits", rows, width, right=range(2, 7))
    if view.metrics:
        rows = _metric_rows(view.metrics, width)
        details = any(metric.details for metric in view.metrics)
        figures = range(4, len(rows[0]) - details)
        yield from _titled("metrics", rows, width, right=(2, *figures))
    if view.units:
        yield from _titled("units", _unit_rows(view.units), width, right=range(2, 8))
    if view.checks:
        yield from _titled("checks", _result_rows(view.checks), width, right=(2,))
    if view.tests:
        yield from _titled("tests", _result_rows(view.tests), width, right=(2,))


def tables_of_run(views: Sequence[GroupView], width: int | None) -> Iterator[Line]:
    """The tables of a run's only group; of several groups a table of all their circuits."""
    if len(views) == 1:
        yield from tables(views[0], width)
        return
    circuits = [(view.label, circuit) for view in views for circuit in view.circuits]
    if circuits:
        labels = [label for label, _ in circuits]
        named = labels if width is None else cut_names(labels, width // 2)
        rows = [
            [
                Span(label),
                *(cell for at, cell in enumerate(_circuit_row(circuit)) if at != _VERDICT),
            ]
            for label, (_, circuit) in zip(named, circuits, strict=True)
        ]
        heads = ["group", *(head for at, head in enumerate(_CIRCUIT_HEADS) if at != _VERDICT)]
        rows.insert(0, [Span(head, "dim") for head in heads])
        yield from _titled("circuits", rows, width, right=range(2, 7))


def _titled(
    title: str, rows: list[list[Span]], width: int | None, *, right: Collection[int]
) -> Iterator[Line]:
    yield line()
    yield line(" " * _INDENT, Span(title, "strong"))
    room = None if width is None else width - 2 * _INDENT
    for row in table(rows, width=room, right=right):
        yield row.indented(2 * _INDENT)


def _circuit_row(circuit: CircuitResult) -> list[Span]:
    times = (circuit.p50_ms, circuit.p95_ms, circuit.p99_ms, circuit.max_ms)
    return [
        Span(circuit.name),
        Span(str(circuit.verdict), STYLES[circuit.verdict]),
        Span(str(circuit.instances)),
        *(Span("-" if time is None else phrases.milliseconds(time)) for time in times),
    ]


def _metric_rows(metrics: Sequence[MetricView], width: int | None) -> list[list[Span]]:
    """What was reported more than once, and what was compared, have columns of their own."""
    room = 0 if width is None else max(16, min(_NAME_WIDTH, width - 30))
    several = any(metric.mean is not None for metric in metrics)
    compared = any(metric.baseline is not None for metric in metrics)
    heads = ["name", "verdict", "value", "rule"]
    heads += ["baseline"] if compared else []
    heads += ["n", "mean", "deviation", "min", "max"] if several else []
    detailed = any(metric.details for metric in metrics)
    heads += ["details"] if detailed else []
    rows = [[Span(head, "dim") for head in heads]]
    for metric in metrics:
        verdict = metric.verdict
        rows.append(
            [
                Span(metric.name if width is None else cut(metric.name, room)),
                Span("-") if verdict is None else Span(str(verdict), STYLES[verdict]),
                Span(metric.value or "-"),
                Span(metric.rule or "-"),
                *([Span(metric.baseline or "-")] if compared else ()),
                *(_report_columns(metric) if several else ()),
                *([Span(cut(metric.details, _DETAILS_WIDTH) or "-")] if detailed else ()),
            ]
        )
    return rows


def _report_columns(metric: MetricView) -> list[Span]:
    count = "-" if metric.n is None else str(metric.n)
    texts = (metric.mean, metric.deviation, metric.lowest, metric.highest)
    return [Span(count), *(Span(text or "-") for text in texts)]


def _unit_rows(units: Sequence[UnitView]) -> list[list[Span]]:
    heads = ["name", "state", "ready", "ended", "pid", "starts"]
    measured = any(unit.use.cpu_s is not None for unit in units)
    if measured:
        heads += ["CPU", "memory"]
    rows = [[Span(head, "dim") for head in heads]]
    for unit in units:
        times = (unit.ready_s, unit.ended_s)
        rows.append(
            [
                Span(unit.name),
                Span(unit.state),
                *(Span(_moment(time)) for time in times),
                Span("-" if unit.pid is None else str(unit.pid)),
                Span(str(unit.starts)),
                *(_use_columns(unit) if measured else ()),
            ]
        )
    return rows


def _moment(time_s: float | None) -> str:
    """A moment of a unit's life; a fixture may have been ready before the group began."""
    if time_s is None:
        return "-"
    return phrases.duration(time_s) if time_s >= 0 else "before"


def _use_columns(unit: UnitView) -> tuple[Span, Span]:
    cpu_s, rss = unit.use.cpu_s, unit.use.max_rss
    return (
        Span("-" if cpu_s is None else phrases.duration(cpu_s)),
        Span("-" if rss is None else phrases.megabytes(rss)),
    )


def _result_rows(results: Sequence[Test] | Sequence[CheckResult]) -> list[list[Span]]:
    rows = []
    for test in results:
        verdict = (
            test.verdict
            if isinstance(test, Test)
            else Verdict.PASS
            if test.passed
            else Verdict.FAIL
        )
        rows.append(
            [
                Span(str(verdict), STYLES[verdict]),
                Span(test.name),
                Span(phrases.duration(test.duration_s)),
                Span(_first_line(test.message), "dim"),
            ]
        )
    return rows


def _first_line(message: str) -> str:
    """The first line of a message, and a sign that there is more: the findings show all of it."""
    first, _, rest = message.strip().partition("\n")
    return f"{' '.join(first.split())} …" if rest else " ".join(first.split())


#: Independent findings after the root cause that are shown; the rest is counted.
MOST_FURTHER = 8

#: What did not come from what is above it: shown with its own evidence.
_INDEPENDENT = frozenset({Code.CHECK, Code.TEST, Code.EXCEPTION})

_KEY_WIDTH = 60

#: Of a line of output: what is longer floods a terminal, and its file has all of it.
_LINE_WIDTH = 400

#: Findings that follow from one, by name; a page and JSON have all.
_MOST_FOLLOWING = 20

#: A message may repeat a key, and a key may be long; the report file has all of it.
_MESSAGE_WIDTH = 600


def message(result: GroupResult) -> str:
    """The root cause in one sentence, or the reason of what was not run; "" where it passed."""
    if result.verdict not in BAD_VERDICTS:
        return wording.reason(result)
    root = result.judgement.root
    return wording.outcome(result) if root is None else f"{root.title}: {root.message}"


def totals(result: RunResult) -> Line:
    """The line that counts: `3 passed, 1 failed in 2.10 s`."""
    interrupted = result.exit_code.is_interruption
    text = wording.totals(result.groups, result.duration_s)
    style = STYLES[result.verdict]
    return line(Span(f"interrupted: {text}" if interrupted else text, style))


def unproved(result: RunResult) -> Iterator[Line]:
    """What a pass does not prove: groups that declare nothing, tests that assert nothing, what a
    person must look at, and groups that are flaky."""
    names = [
        note.where
        for group in result.groups
        for note in group.judgement.notes
        if note.code is Code.VACUOUS and note.where == group.scenario.id
    ]
    if names:
        what = "nothing but exit codes was checked (--strict makes this a failure)"
        yield line(Span(f"note: vacuous at {phrases.listed(names)}: {what}", "warn"), hanging=2)
    passed = [one for one in result.groups if one.verdict not in BAD_VERDICTS]  # blocks tell theirs
    idle = [
        f"{note.where} of {wording.label(group.scenario)}"
        for group in passed
        for note in group.judgement.notes
        if note.code is Code.TEST
    ]
    if idle:
        what = "nothing is asserted, so only an exception makes it fail"
        yield line(Span(f"note: test at {phrases.listed(idle)}: {what}", "warn"), hanging=2)
    looks = 0
    for group in result.groups:
        label = wording.label(group.scenario)
        for note in group.judgement.notes:
            if note.code is Code.FLAKY:
                text = f"note: flaky at {label}: {note.message}"
            elif note.code is Code.INSPECT and group.verdict not in BAD_VERDICTS:
                looks += 1
                if looks > MOST_FURTHER:
                    continue
                text = f"note: inspect at {note.where} of {label}: {note.message}"
            else:
                continue
            yield line(Span(cut(text, _MESSAGE_WIDTH), "warn"), hanging=2)
    if looks > MOST_FURTHER:
        text = f"note: inspect at {looks - MOST_FURTHER} more: see the report"
        yield line(Span(text, "warn"), hanging=2)


def group_block(
    view: GroupView, symbols: Symbols, *, width: int | None = None, detailed: bool = False
) -> list[Line]:
    """The result of a group, the root cause first.

    `detailed` adds the tables of its circuits, units and tests. `width` None: all is shown.
    """
    lines = [_head(view)]
    if view.reason and not (view.verdict is Verdict.ERROR and view.findings):  # they say it
        lines.append(line(f"  {view.reason}", hanging=2))
    lines += _findings(view, symbols, width)
    if view.faults:
        lines.append(line())
        lines += [_fault(fault) for fault in view.faults]
    if view.notes:
        lines.append(line())
        lines += [line("  ", Span(f"note: {_sentence(n)}", "dim"), hanging=4) for n in view.notes]
    if view.answer:
        lines += [line(), line("  ", Span("answer of the command in [ai], not verified:", "dim"))]
        lines += [
            line("  ", Span(f"{symbols.bar} ", "dim"), log_line(text)) for text in view.answer
        ]
    if detailed:
        lines += tables(view, width)
    where = [Span("  (on the machine of that run)", "dim")] if view.rerun_on_other_machine else []
    lines += [line(), line("  ", Span("rerun", "dim"), f"  {view.rerun}", *where, whole=True)]
    if view.run_dir:
        lines.append(line("  ", Span("logs", "dim"), f"   {view.run_dir}", whole=True))
    return lines


def _head(view: GroupView) -> Line:
    return line(
        Span(view.verdict.upper(), STYLES[view.verdict]),
        Span(f" {view.label}", "strong"),
        Span(f"  {phrases.duration(view.duration_s)}", "dim"),
        Span(f"  {view.title}" if view.title else "", "dim"),
        hanging=2,
    )


def _fault(fault: FaultView) -> Line:
    """A planned fault: its action, its target and its time."""
    facts = [] if fault.pid is None else [f"pid {fault.pid}"]
    if fault.key is not None:
        facts.append(f"key {cut(fault.key, _KEY_WIDTH // 2)}")
    if fault.for_s is not None:
        facts.append(f"for {phrases.duration(fault.for_s)}")
    if fault.at_s is not None:
        facts.append(f"{phrases.duration(fault.at_s)} in" if fault.at_s > 0 else "from the start")
    about = Span(f"  ({', '.join(facts)})" if facts else "", "dim")
    return line("  ", Span("injected", "warn"), f" {fault.name}", about, hanging=4)


def _findings(view: GroupView, symbols: Symbols, width: int | None) -> Iterator[Line]:
    for number, finding in enumerate(view.findings[: MOST_FURTHER + 1]):
        if number == 0:
            yield from _root(finding, symbols, width)
        else:
            yield line()
            place = Span(f"  ({finding.declared})" if finding.declared else "", "dim")
            yield line(f"  also {_sentence(finding)}", place, hanging=4)
            yield from _lines_of(finding.rest, symbols, width)
            if finding.code in _INDEPENDENT:
                yield from _output(finding, symbols, width)
            yield from _folded(finding, indent=4)
    unshown = len(view.findings) - MOST_FURTHER - 1
    if unshown > 0:
        yield line()
        yield line(f"  and {phrases.plural(unshown, 'further finding')}: see {GROUP_FILE}")


def _root(finding: FindingView, symbols: Symbols, width: int | None) -> Iterator[Line]:
    about = [f"circuit {finding.circuit}"] if finding.circuit else []
    about += [finding.declared] if finding.declared else []
    declared = f"  ({', '.join(about)})" if about else ""
    style: Style = "warn" if finding.undecided else "bad"
    yield line("  ", Span(finding.title, style), Span(declared, "dim"), hanging=4)
    message = cut(finding.message, _MESSAGE_WIDTH, symbols.ellipsis)
    when = _when(finding.unit) if finding.unit and _says_its_end(finding) else ""
    yield line(f"  {message}", Span(when, "dim"), hanging=2)
    yield from _lines_of(finding.rest, symbols, width)
    if finding.events:
        yield line()
        yield from _events(finding, symbols, width)
    yield from _state(finding, symbols, width)
    if finding.hints:
        yield line()
        for hint in finding.hints:
            yield line(f"    {symbols.dot} {hint}", hanging=6)
    if finding.follow:
        yield line()
        yield from _folded(finding, indent=2)


def _folded(finding: FindingView, *, indent: int) -> Iterator[Line]:
    """What the finding explains, in one line: it is fixed with it."""
    if finding.follow:
        verb = "follows" if len(finding.follow) == 1 else "follow"
        shown = ", ".join(finding.follow[:_MOST_FOLLOWING])
        rest = f" and {more} more" if (more := len(finding.follow) - _MOST_FOLLOWING) > 0 else ""
        text = f"{len(finding.follow)} more {verb} from it: {shown}{rest}"
        yield line(" " * indent, Span(text, "dim"), hanging=indent + 2)


def _sentence(finding: FindingView) -> str:
    return cut(f"{finding.title}: {finding.message}", _MESSAGE_WIDTH)


def _lines_of(lines: Sequence[str], symbols: Symbols, width: int | None) -> Iterator[Line]:
    for text in lines:
        shown = log_line(text)
        if width is not None and len(shown) > _LINE_WIDTH:
            shown = cut(shown, _LINE_WIDTH, symbols.ellipsis)
        yield line("    ", Span(f"{symbols.bar} ", "dim"), shown, hanging=6)


def _events(finding: FindingView, symbols: Symbols, width: int | None) -> Iterator[Line]:
    if finding.key is not None:
        key = cut(finding.key, _KEY_WIDTH, symbols.ellipsis)
        yield line("    ", Span("key ", "dim"), key, hanging=8)
    several = len({event.key for event in finding.events}) > 1
    room = None if width is None else width - 4
    rows = [
        _event_row(event, symbols, finding.latest_ms, keyed=several) for event in finding.events
    ]
    for event, row in zip(finding.events, table(rows, width=room, right=(0,)), strict=True):
        if event.skipped:
            yield line(
                "    ", Span(f"{symbols.ellipsis} {event.skipped} more {symbols.ellipsis}", "dim")
            )
        yield row.indented(4)


def _event_row(event: EventView, symbols: Symbols, latest_ms: float, *, keyed: bool) -> list[Span]:
    if event.absent:
        moment = Span("never", "bad")
    elif event.t_ms is None:
        moment = Span("other clock", "warn")
    else:
        text = phrases.milliseconds(event.t_ms, latest_ms)
        moment = Span(f"<= {text}" if event.bound else text)
    style: Style = "bad" if event.absent else ""
    row = [moment, Span(event.unit, style), Span(event.step, style)]
    if keyed:
        row.append(Span(cut(event.key or "", _KEY_WIDTH // 2, symbols.ellipsis)))
    row.append(Span(event.type, "dim"))
    row.append(Span("" if event.pid is None else f"pid {event.pid}", "dim"))
    return row


def _state(finding: FindingView, symbols: Symbols, width: int | None) -> Iterator[Line]:
    unit = finding.unit
    if unit is not None:
        lines = [line(f"    {symbols.dot} left behind {leak}", hanging=6) for leak in unit.leaks]
        if not _says_its_end(finding):
            ended = Span(_when(unit), "dim")
            lines.insert(0, line(f"    {unit.name} {unit.ended}", ended, hanging=6))
        if lines:
            yield from (line(), *lines)
    yield from _output(finding, symbols, width)


def _output(finding: FindingView, symbols: Symbols, width: int | None) -> Iterator[Line]:
    if finding.output:
        yield line()
        yield line("    ", Span(f"{finding.source}:", "dim"))
        yield from _lines_of(finding.output, symbols, width)
    if finding.printed:
        yield line()
        yield line("    ", Span("printed by the test:", "dim"))
        yield from _lines_of(finding.printed, symbols, width)
    for file in finding.attachments:
        yield line("    ", Span("attached", "dim"), f"  {file}")


def _says_its_end(finding: FindingView) -> bool:
    """Whether the message is just what would be said of its unit's end."""
    unit = finding.unit
    return unit is not None and finding.message == f"{unit.name} {unit.ended}"


def _when(unit: UnitView) -> str:
    parts = [] if unit.pid is None else [f"pid {unit.pid}"]
    if unit.ended_s is not None:
        parts.append(f"{phrases.duration(unit.ended_s)} in")
    return f"  ({', '.join(parts)})" if parts else ""


def block_text(result: GroupResult, *, cwd: Path, detailed: bool = False) -> list[str]:
    """The lines of `group_block` without colours, wrapping and line ends."""
    lines = group_block(view_group(result, cwd=cwd), symbols_for("utf-8"), detailed=detailed)
    return [line.text for line in lines]


SUMMARY_FILE = "summary.txt"


def summary(result: GroupResult, *, cwd: Path) -> str:
    """The group's block as on the console, with the tables of its circuits, units and tests."""
    return "".join(f"{text}\n" for text in block_text(result, cwd=cwd, detailed=True))


def write_summary(result: GroupResult, path: Path, *, cwd: Path) -> None:
    """Write the summary. Raises InfraError where that fails."""
    text = summary(result, cwd=cwd)
    # A log line may hold what UTF-8 cannot; it is escaped already, names of folders may not be.
    write_text(path, text.encode("utf-8", "backslashreplace").decode(), among_units=True)


#: Of the key of an event, and of its metadata, where there is a line for each event.
_EVENT_KEY_WIDTH = 40

_FACTS_WIDTH = 60


def faults_among(events: Sequence[Event], faults: Sequence[Event]) -> tuple[Event, ...]:
    """The planned faults that belong beside these events: those of a key only with that key."""
    shown = {event.id for event in events}
    return tuple(
        fault
        for fault in faults
        if shown and (fault.meta.get("event") in shown or "event" not in fault.meta)
    )


def event_lines(
    title: str, events: Sequence[Event], symbols: Symbols, *, width: int | None = None
) -> list[Line]:
    """A line for each event: when it was, how long after the one before, where, and its metadata.

    Times count from the first event, on the clock that most events have; those of other clocks
    have none. A time at which a line was read is an upper bound, marked `<=`.

    Args:
        title: what the events are of.
        width: columns to fill; what does not fit is left out. None: all is shown.
    """
    ordered = sorted(events, key=lambda event: (event.attempt, event.here_ns, event.id))
    keyed = len({event.key for event in ordered}) > 1
    rows = [_told_event(*moment, symbols, keyed=keyed) for moment in _moments(ordered)]
    room = None if width is None else width - 2
    shown = table(rows, width=room, right=(0, 1)) if rows else []
    lines = [line(Span(title, "strong"), Span(f"  {phrases.plural(len(ordered), 'event')}", "dim"))]
    attempt = 1
    for event, row in zip(ordered, shown, strict=True):
        if event.attempt != attempt:
            attempt = event.attempt
            lines.append(line(Span(f"  the circuit was started again (attempt {attempt})", "dim")))
        lines.append(row.indented(2))
    return lines


def _moments(ordered: Sequence[Event]) -> Iterator[tuple[Event, float | None, float | None]]:
    """Each event with its time since the first one and since the one before, in ms."""
    clocks = Counter(event.domain for event in ordered)
    clock = clocks.most_common(1)[0][0] if clocks else ""
    first_ns: int | None = None
    previous_ns = 0
    for event in ordered:
        if event.domain != clock:
            yield event, None, None
            continue
        if first_ns is None:
            first_ns = event.t_ns
            yield event, 0.0, None
        else:
            yield event, (event.t_ns - first_ns) / 1e6, (event.t_ns - previous_ns) / 1e6
        previous_ns = event.t_ns


def _told_event(
    event: Event, since_ms: float | None, gap_ms: float | None, symbols: Symbols, *, keyed: bool
) -> list[Span]:
    if since_ms is None:
        moment = Span("other clock", "warn")
    else:
        moment = Span(f"{'<= ' if event.t_low_ns is not None else ''}{since_ms:.3f} ms")
    gap = "" if gap_ms is None else f"+{gap_ms:.3f} ms"
    style: Style = "" if event.owner else "warn"
    row = [moment, Span(gap, "dim"), Span(event.unit, style), Span(event.step, style)]
    if keyed:
        row.append(Span(cut(event.key or "", _EVENT_KEY_WIDTH, symbols.ellipsis)))
    row.append(Span(event.type, "dim"))
    row.append(Span(f"pid {event.pid}" if event.pid > 0 else "", "dim"))
    row.append(Span(cut(facts(event), _FACTS_WIDTH, symbols.ellipsis), "dim"))
    return row


def facts(event: Event) -> str:
    """Causes and metadata: `cause k1  rows=3 name="x"`."""
    told = [f"cause {', '.join(event.cause)}"] if event.cause else []
    told += [
        f"{name}={json.dumps(value, ensure_ascii=False)}"
        for name, value in event.meta.items()
        if name != "traceback"  # it does not fit in a line; the finding shows it
    ]
    return " ".join(told)
