"""The pages of the dashboard, made of the history and of the folders of runs; only read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from testrium import phrases
from testrium.errors import TestriumError
from testrium.history import queries
from testrium.history.database import FILE, History
from testrium.history.past import PastReader, past_result
from testrium.history.rows import ResultRecord, RunRecord
from testrium.history.trends import Change, Flaky, Slow, flaky_of, slow_of
from testrium.record.runs import is_claimed, list_runs
from testrium.report import wording
from testrium.report.charts import trends
from testrium.report.charts.logs import WINDOW, found_lines, log_window
from testrium.report.charts.trends import series_name
from testrium.report.html import make_environment, our_files, render
from testrium.report.masking import mask_of, masked_run
from testrium.report.stored import details_of, read_run
from testrium.results import GroupResult
from testrium.serve.live import LiveRun, live_runs, project_events, run_events
from testrium.words import BAD_VERDICTS, RESERVED_UNITS

#: How many runs are on the page of trends.
MOST_RUNS = 200

#: How many lines a list of the overview has.
_MOST_LINES = 6

_STYLES = ("report.css", "dashboard.css")

_SCRIPTS = ("dom.js", "chart.js", "dashboard.js")


class Page(NamedTuple):
    """An answer: its status and the document."""

    status: int
    document: str


class Figure(NamedTuple):
    """A figure of two runs, in words; `trend`: "worse", "better" or "" where nothing is sure."""

    group: str
    name: str
    first: str
    second: str
    change: str
    trend: str
    because: str


class Compared(NamedTuple):
    """The results of a group in two runs, None where it was not run. `trend` as in `Figure`."""

    name: str
    first: trends.PastResult | None
    second: trends.PastResult | None
    trend: str


class _StoredHistory(NamedTuple):
    """What the history holds.

    `runs` and `series` are of the latest runs, the oldest first. `flaky`, the most undecided first,
    and `slow`, the slowest first, are of the whole history, by the rules that `testrium history`
    has; both with the name of their series. `kept` are the runs that have a page.
    """

    runs: tuple[trends.PastRun, ...] = ()
    series: tuple[trends.Series, ...] = ()
    flaky: tuple[tuple[str, Flaky], ...] = ()
    slow: tuple[tuple[str, Slow], ...] = ()
    kept: frozenset[str] = frozenset()
    notices: tuple[str, ...] = ()

    @property
    def usual_s(self) -> Mapping[str, float]:
        """How long each series usually takes, in seconds."""
        return {name: one.median_s for name, one in self.slow}


class Pages:
    """All pages of one project."""

    def __init__(self, state: Path, cwd: Path) -> None:
        self.project = state.parent
        self._state = state
        self._cwd = cwd
        self._environment = make_environment()
        own = our_files(dashboard_styles=_STYLES, dashboard_script=_SCRIPTS)
        self._environment.globals.update(own, bad_verdicts=BAD_VERDICTS)

    def page(self, target: str) -> Page:
        """The page of an address: `/`, `/groups`, `/group/NAME`, `/run/RUN`, `/log/RUN`, ..."""
        try:
            address = urlsplit(target)
            parts = address.path.split("/", 2)[1:]
            match [unquote(part) for part in parts]:
                case [""]:
                    return self._overview()
                case ["groups"]:
                    return self._groups()
                case ["group", name]:
                    return self._group(name)
                case ["run", run]:
                    return self._run(run)
                case ["log", run]:
                    return self._log(run, _asked(address.query))
                case ["compare"]:
                    asked = _asked(address.query)
                    return self._compare(asked.get("first", ""), asked.get("second", ""))
        except TestriumError as error:
            return self.told(500, str(error))
        except ValueError:  # brackets that hold no address
            pass
        return self.told(404, "page not found")

    def events(self, target: str) -> Iterator[str] | None:
        """What a page is sent during runs, as server-sent events; None for an unknown address."""
        try:
            parts = urlsplit(target).path.split("/")[1:]
        except ValueError:
            return None
        match [unquote(part) for part in parts]:
            case ["events"]:
                return project_events(self._state)
            case ["events", run] if (folder := self._folder(run)) is not None:
                return run_events(folder)
        return None

    def told(self, status: int, text: str) -> Page:
        """A page that says one thing."""
        return Page(status, self._render("told.html.j2", status=status, text=text, project=""))

    def _overview(self) -> Page:
        past = self._history()
        latest = past.runs[-50:]
        document = self._render(
            "runs.html.j2",
            past=past,
            live=live_runs(self._state),
            chart=trends.run_chart(past.runs),
            shown={one.name for one in past.series},
            most=_MOST_LINES,
            failing=[one for one in past.series if one.last.verdict in BAD_VERDICTS],
            passed=sum(run.verdict not in BAD_VERDICTS for run in latest),
            latest=len(latest),
        )
        return Page(200, document)

    def _groups(self) -> Page:
        past = self._history()
        order = sorted(past.series, key=lambda one: one.last.verdict not in BAD_VERDICTS)
        document = self._render(
            "groups.html.j2",
            past=past,
            series=order,
            shown={one.name for one in past.series},
            owners=sorted({one.owner for one in past.series if one.owner}),
            tags=sorted({tag for one in past.series for tag in one.tags}),
        )
        return Page(200, document)

    def _group(self, name: str) -> Page:
        past = self._history(figures_of=name)
        series = next((one for one in past.series if one.name == name), None)
        if series is None:
            return self.told(404, f"the history has no group {name}")
        document = self._render(
            "group.html.j2",
            series=series,
            charts=trends.charts(series),
            flaky=[flaky for of, flaky in past.flaky if of == name],
        )
        return Page(200, document)

    def _run(self, run: str) -> Page:
        folder = self._folder(run)
        if folder is None:
            return self.told(404, f"run {run} is not kept any more: the history has its verdicts")
        if is_claimed(folder):
            live = LiveRun(folder)
            live.read()
            return Page(200, self._render("live.html.j2", live=live))
        result = masked_run(read_run(folder))
        return Page(
            200,
            render(
                result,
                cwd=self._cwd,
                details=details_of,
                past=PastReader(result).past_of,
                log_address=lambda group, unit, stream: _log_address(folder, group, unit, stream),
                dashboard=True,
            ),
        )

    def _log(self, run: str, asked: Mapping[str, str]) -> Page:
        """A part of one log, or the lines of it that have a text."""
        folder = self._folder(run)
        if folder is None:
            return self.told(404, f"run {run} is not kept any more: its logs are gone")
        unit, stream, wanted = (asked.get(name, "") for name in ("unit", "stream", "find"))
        for group in masked_run(read_run(folder)).groups:
            units = {*(end.unit for end in group.ends), *RESERVED_UNITS}
            if _place_in(folder, group) == asked.get("group") and unit in units:
                break
        else:
            return self.told(404, f"run {run} has no such log")
        assert group.run_dir is not None
        path = (
            group.run_dir / "units" / unit / ("stderr.log" if stream == "stderr" else "stdout.log")
        )
        hide = mask_of(group.scenario).text
        address = _log_address(folder, group, unit, stream)
        try:
            found = found_lines(path, wanted, hide) if wanted else (0, ())
            window = log_window(path, _whole_number(asked.get("at", "")), hide)
        except OSError:
            return self.told(404, f"unit {unit} has no log any more")
        document = self._render(
            "log.html.j2",
            run=run,
            group=wording.label(group.scenario),
            unit=unit,
            stream=path.stem,
            address_of=address,
            fields={"group": asked.get("group", ""), "unit": unit, "stream": path.stem},
            window=window,
            step=WINDOW,
            wanted=wanted,
            count=found[0],
            found=found[1],
            marked=_whole_number(asked["line"]) if "line" in asked else None,
        )
        return Page(200, document)

    def _folder(self, run: str) -> Path | None:
        """The folder of a run, by the names that exist: what a request says never is a path."""
        return next((one for one in list_runs(self._state) if one.name == run), None)

    def _compare(self, first: str, second: str) -> Page:
        past = self._history()
        known = {run.run: run for run in past.runs}
        if not second and past.runs:
            second = past.runs[-1].run
        if not first:
            first = next((run.run for run in reversed(past.runs) if run.run < second), "")
        for run in (first, second):
            if run and run not in known:
                return self.told(
                    404, f"run {run} is not among the latest {MOST_RUNS} of the history"
                )
        both = first and second
        changes = queries.compare(first, second, project=self._cwd) if both else ()
        document = self._render(
            "compare.html.j2",
            past=past,
            first=known.get(first),
            second=known.get(second),
            groups=_compared(past.series, first, second) if both else (),
            figures=[_figure(change) for change in sorted(changes, key=_importance)],
        )
        return Page(200, document)

    def _history(self, figures_of: str = "") -> _StoredHistory:
        """The history with the figures of one series: those of all would take seconds to read."""
        if not (self._state / FILE).exists():  # who only looks makes nothing
            return _StoredHistory()
        kept = frozenset(folder.name for folder in list_runs(self._state))
        with History(self._state) as history:
            records = history.list_runs(MOST_RUNS)[::-1]
            every = history.results(figures=False)
            of_runs: dict[str, list[ResultRecord]] = {one.run: [] for one in records}
            for result in reversed(every):
                if result.run in of_runs:
                    of_runs[result.run].append(result)
            shown = [result for run in records for result in of_runs[run.run]]
            group = next(
                (one.group for one in shown if series_name(one.group, one.mode) == figures_of),
                None,
            )
            if group is not None:
                with_figures = {one.id: one for one in history.results(group=group)}
                shown = [with_figures.get(one.id, one) for one in shown]
            return _StoredHistory(
                runs=tuple(_past_run(run, of_runs[run.run], run.run in kept) for run in records),
                series=trends.all_series(past_result(one, kept=one.run in kept) for one in shown),
                flaky=tuple((series_name(one.group, one.mode), one) for one in flaky_of(every)),
                slow=tuple((series_name(one.group, one.mode), one) for one in slow_of(every)),
                kept=kept,
                notices=history.notices,
            )

    def _render(self, template: str, **values: object) -> str:
        return self._environment.get_template(template).render(
            {
                "project": _named(self.project),
                "address": lambda text: quote(str(text), safe=""),
                **values,
            }
        )


def _asked(query: str) -> dict[str, str]:
    """The fields of an address; of one that is there twice the first."""
    return {name: values[0] for name, values in parse_qs(query).items()}


def _whole_number(text: str) -> int:
    """A number of an address; 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


def _place_in(folder: Path, group: GroupResult) -> str | None:
    """The folder of a result below that of its run; None where it is not kept."""
    if group.run_dir is None or not group.run_dir.is_relative_to(folder):
        return None
    return group.run_dir.relative_to(folder).as_posix()


def _log_address(folder: Path, group: GroupResult, unit: str, stream: str) -> str:
    place = _place_in(folder, group)
    if place is None:
        return ""
    fields = urlencode({"group": place, "unit": unit, "stream": stream})
    return f"/log/{quote(folder.name, safe='')}?{fields}"


def _named(folder: Path) -> str:
    """A folder as people call it: below their home it begins with `~`."""
    try:
        home = Path.home()
    except RuntimeError:  # there is none
        return str(folder)
    return f"~/{folder.relative_to(home)}" if home in folder.parents else str(folder)


def _past_run(run: RunRecord, results: Sequence[ResultRecord], kept: bool) -> trends.PastRun:
    revision = (run.revision or "")[:10] + (" with changes" if run.dirty else "")
    counts = [f"{number} {wording.OUTCOMES[verdict]}" for verdict, number in run.verdicts.items()]
    failed = next((one for one in results if one.verdict in BAD_VERDICTS), None)
    return trends.PastRun(
        run=run.run,
        started=run.started,
        verdict=run.verdict,
        duration_s=run.duration_s,
        counts=", ".join(counts),
        revision=revision,
        kept=kept,
        command_line=run.command_line,
        finding="" if failed is None else failed.root,
        failed="" if failed is None else series_name(failed.group, failed.mode),
    )


def _compared(series: Iterable[trends.Series], first: str, second: str) -> tuple[Compared, ...]:
    """The groups of two runs, those that went another way first."""
    found = []
    for one in series:
        before, after = (
            next((result for result in reversed(one.results) if result.run == run), None)
            for run in (first, second)
        )
        if before is not None or after is not None:
            found.append(Compared(one.name, before, after, _trend(before, after)))
    ranks = {"worse": 0, "better": 1}
    return tuple(sorted(found, key=lambda one: (ranks.get(one.trend, 2), one.name)))


def _trend(before: trends.PastResult | None, after: trends.PastResult | None) -> str:
    if (
        before is None
        or after is None
        or (before.verdict in BAD_VERDICTS) == (after.verdict in BAD_VERDICTS)
    ):
        return ""
    return "worse" if after.verdict in BAD_VERDICTS else "better"


def _importance(change: Change) -> tuple[bool, bool, float]:
    return not change.is_sure, not change.worse, -abs(change.change or 0.0)


def _figure(change: Change) -> Figure:
    sure = f"{change.confidence_text} sure: " if change.confidence_text else ""
    return Figure(
        group=series_name(change.group, change.mode),
        name=change.name,
        first=phrases.figure(change.first, change.unit),
        second=phrases.figure(change.second, change.unit),
        change=change.change_text or "-",
        trend=change.trend,
        because=f"{sure}{change.because}",
    )
