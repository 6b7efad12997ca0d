"""What the history and kept runs tell about a result: how its figures went, and its last pass."""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from testrium import phrases
from testrium.errors import TestriumError
from testrium.evidence import StoredLog
from testrium.history.database import FILE, History
from testrium.history.rows import ResultRecord
from testrium.phrases import figure
from testrium.record.runs import list_runs
from testrium.report import wording
from testrium.report.charts import trends
from testrium.report.charts.settings import effective_config
from testrium.report.charts.trends import Difference, LastPass, NewLines, Past, series_name
from testrium.report.escape import cut, log_line
from testrium.report.html import render
from testrium.report.masking import mask_of, masked
from testrium.report.stored import details_of, read_run
from testrium.report.writer import STDOUT_FILES, Report
from testrium.results import GroupResult, Measure, RunDetail, RunResult
from testrium.statistics import robust_deviation
from testrium.words import BAD_VERDICTS, Verdict

#: How many results are looked at.
MOST_RESULTS = 30

#: Lines that are shown of what is new in logs, and of the difference of configurations.
_MOST_LINES = 20

_CELLS = 200

#: What differs from run to run without a meaning: numbers, and what looks like an id.
_VARYING = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\d+", re.IGNORECASE)


#: Figures of the fast tail say nothing that the median does not say.
_TAIL = re.compile(r"\.(p10|min)$")

_MANY_TIMES = 5


class PastReader:
    """Reads what was before the results of one run; nothing is written, not even a history."""

    def __init__(self, run: RunResult) -> None:
        self._run = run
        self._state = None if run.folder is None else run.folder.parent.parent
        self._kept: dict[str, RunResult | None] = {}

    def past_of(self, group: GroupResult, detail: RunDetail) -> Past:
        """The results before one result; empty without a history."""
        records = self._records(group)
        if not records:
            return Past()
        results = [past_result(record) for record in reversed(records)]
        now = trends.PastResult(
            series=group.scenario.id,
            run=self._run.run,
            started=self._run.started_wall,
            verdict=group.verdict,
            duration_s=group.duration_s,
            figures={one.name: one for one in group.judgement.measures},
        )
        charts = trends.charts(
            trends.Series(group.scenario.id, (*results[1 - MOST_RESULTS :], now))
        )
        passed = [record for record in records if record.verdict is Verdict.PASS]
        wanted = group.verdict in BAD_VERDICTS or len(self._run.groups) == 1
        last = self._compared(group, detail, passed) if passed and wanted else None
        return Past(charts, last)

    def _records(self, group: GroupResult) -> list[ResultRecord]:
        """The latest comparable results before this run, the latest first."""
        if self._state is None or not (self._state / FILE).exists():
            return []
        scenario = group.scenario
        with suppress(TestriumError), History(self._state) as history:
            return [
                record
                for record in history.results(group=scenario.id, limit=4 * MOST_RESULTS)
                if record.mode == scenario.mode
                and record.params == scenario.params
                and record.verdict is not Verdict.SKIP
                and record.started < self._run.started_wall
            ][:MOST_RESULTS]
        return []

    def _compared(
        self, group: GroupResult, detail: RunDetail, passed: Sequence[ResultRecord]
    ) -> LastPass:
        record = passed[0]
        earlier = self._group_of(record, group)
        lines: tuple[NewLines, ...] = ()
        config: tuple[str, ...] = ()
        before = RunDetail() if earlier is None else details_of(earlier)
        remarks = []
        if before.logs:
            hide = mask_of(group.scenario).text
            lines = tuple(
                one._replace(lines=tuple(map(hide, one.lines)))
                for one in new_lines(before.logs, detail.logs)
            )
        if before.config and detail.config:
            config = _difference(before.config, detail.config)
        if earlier is None or earlier.files is None:
            remarks.append(
                "Logs, hops and configuration of that run are not kept (--keep all keeps them)."
            )
        differences = [
            *_revisions(record, self._run),
            *_figures(passed, group),
            *([] if earlier is None else _ends(earlier, group)),
            *_hops(before, detail),
        ]
        when = trends.moment(record.started)
        return LastPass(record.run, when, tuple(differences), lines, config, tuple(remarks))

    def _group_of(self, record: ResultRecord, group: GroupResult) -> GroupResult | None:
        """The same group in the kept report of an earlier run."""
        assert self._state is not None
        if record.run not in self._kept:
            self._kept[record.run] = None
            folder = next((one for one in list_runs(self._state) if one.name == record.run), None)
            if folder is not None:
                with suppress(TestriumError):
                    self._kept[record.run] = read_run(folder)
        run = self._kept[record.run]
        own = group.scenario
        for one in () if run is None else run.groups:
            scenario = one.scenario
            same = scenario.id == own.id and scenario.mode == own.mode
            if same and scenario.params == own.params and one.verdict is Verdict.PASS:
                return masked(one)
        return None


def past_result(record: ResultRecord, *, kept: bool = False) -> trends.PastResult:
    """A result of the history as pages draw it; `kept`: its run has a folder."""
    return trends.PastResult(
        series=series_name(record.group, record.mode),
        run=record.run,
        started=record.started,
        verdict=record.verdict,
        duration_s=record.duration_s,
        root=record.root,
        kept=kept,
        figures={} if record.verdict is Verdict.SKIP else record.measures,
        tags=record.tags,
        tries=record.tries,
    )


def _revisions(record: ResultRecord, run: RunResult) -> Iterator[Difference]:
    before = (record.revision or "")[:12] + (" with changes" if record.dirty else "")
    now = run.origin.revision[:12] + (" with changes" if run.origin.dirty else "")
    if before and now and (before != now or run.origin.dirty):
        yield Difference("git revision", before, now, about="of the project that was tested")


def _figures(passed: Sequence[ResultRecord], group: GroupResult) -> Iterator[Difference]:
    """Latencies, counts and the duration, where they differ by more than they usually vary."""
    last = passed[0].measures
    for measure in group.judgement.measures:
        if measure.name not in last or measure.source == "unit" or _TAIL.search(measure.name):
            continue
        before, now = last[measure.name].value, measure.value
        values = [
            one.measures[measure.name].value for one in passed if measure.name in one.measures
        ]
        spread = robust_deviation(values) if len(values) > 1 else 0.0
        if abs(now - before) <= max(2 * spread, 0.02 * abs(before)):
            continue
        noise = ""
        if len(values) > 1:
            low, high = figure(min(values), measure.unit), figure(max(values), measure.unit)
            noise = f"{low} to {high} in {len(values)} passes"
        change = _change(before, now)
        words = figure(before, measure.unit), figure(now, measure.unit)
        yield Difference(measure.name, *words, change, noise, _about(measure))


def _about(measure: Measure) -> str:
    """What a figure is, in words."""
    part = measure.name.rpartition(".")[2]
    if part == "max":
        of_keys = "the slowest key"
    elif part == "p50":
        of_keys = "half of the keys took at most this"
    else:
        of_keys = f"{part[1:]} % of the keys took at most this"
    return {
        "circuit": f"latency of the whole route: {of_keys}",
        "hop": f"time from the hop before to this one: {of_keys}",
        "reported": "reported by a process",
    }.get(measure.source, "the whole group, from the start of its first unit")


def _change(before: float, now: float) -> str:
    """As a percentage, or how many times as much it is; "" where the ratio is undefined."""
    if before <= 0:
        return ""
    ratio = now / before
    return f"×{ratio:.0f}" if ratio >= _MANY_TIMES else f"{ratio - 1:+.0%}"  # noqa: RUF001


def _ends(before: GroupResult, now: GroupResult) -> Iterator[Difference]:
    ended = {end.unit: wording.how_ended(end) for end in before.ends}
    for end in now.ends:
        words = wording.how_ended(end)
        if ended.get(end.unit, "was not there") != words:
            was = ended.get(end.unit, "was not there")
            yield Difference(f"end of {end.unit}", was, words, about="how the unit ended")


def _hops(before: RunDetail, now: RunDetail) -> Iterator[Difference]:
    """Places that were passed more or less often."""
    if not before.events:
        return
    counts = [Counter(event.place for event in detail.events) for detail in (before, now)]
    for place in dict.fromkeys([*counts[0], *counts[1]]):
        first, second = counts[0][place], counts[1][place]
        if first != second:
            events = phrases.plural(first, "event"), phrases.plural(second, "event")
            about = "how often the unit emitted this probe"
            yield Difference(place, *events, f"{second - first:+d}", about=about)


def new_lines(before: Sequence[StoredLog], now: Sequence[StoredLog]) -> Iterator[NewLines]:
    """Lines of each unit that have no like in what it wrote before; numbers do not count."""
    known: dict[str, set[str]] = {}
    for log in before:
        known.setdefault(log.unit, set()).update(map(_normal, _lines(log)))
    found: dict[str, dict[str, str]] = {}
    for log in now:
        for line in _lines(log):
            normal = _normal(line)
            if line.strip() and normal not in known.get(log.unit, ()):
                found.setdefault(log.unit, {}).setdefault(normal, line)
    for unit, lines in found.items():
        shown = [cut(log_line(line), _CELLS) for line in list(lines.values())[:_MOST_LINES]]
        yield NewLines(unit, tuple(shown), len(lines) - len(shown))


def _normal(line: str) -> str:
    return _VARYING.sub("#", line)


def _lines(log: StoredLog) -> Iterator[str]:
    for piece in log.pieces:
        yield from piece.data.decode(log.encoding, "replace").splitlines()


def _difference(before: str, now: str) -> tuple[str, ...]:
    first, second = effective_config(before), effective_config(now)
    lines = list(difflib.unified_diff(first, second, "last pass", "this run", "", "", 1, ""))
    if len(lines) > 2 * _MOST_LINES:
        lines = [*lines[: 2 * _MOST_LINES], f"… {len(lines) - 2 * _MOST_LINES} lines more"]
    return tuple(lines)


class PageWriter(Report):
    """Writes the page, with what was before each result.

    It leads to the logs in the folders of the run, as long as they are kept.
    """

    def render(self, result: RunResult) -> str:
        """The report of a run as an HTML document."""
        return render(
            result,
            cwd=self.cwd,
            details=details_of,
            past=PastReader(result).past_of,
            log_address=self._log_address,
        )

    def _log_address(self, result: GroupResult, unit: str, stream: str) -> str:
        """Relative to the page where that is a file: both may be moved together."""
        if result.run_dir is None or result.unpacked is not None:  # it is, or soon will be, gone
            return ""
        path = self.cwd / result.run_dir / "units" / unit / f"{stream}.log"
        if self.target is None or self.target in STDOUT_FILES:
            return path.as_uri()
        try:
            place = os.path.relpath(path, (self.cwd / self.target).parent)
        except ValueError:  # on another drive
            return path.as_uri()
        return quote(Path(place).as_posix())
